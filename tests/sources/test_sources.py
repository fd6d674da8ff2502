"""Every source, through the real driver, over rows in the upstream file format (tests/rows/<source>/).

tests/rows/<source>.yaml says what must come out of every row: its pairs, or the reason it gives none.
"""

import json
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from curate import sources
from curate.config import build
from curate.engines.local import Local
from curate.hashing import Hashes
from curate.images.store import ImageStore
from curate.pairs.normalize import Job, locate, normalize_all
from curate.schema import combine
from curate.workspace import Workspace
from tests.support.paths import ROWS


def cases() -> list[Any]:
    found = []
    for name in sources.names():
        path = ROWS / f"{name}.yaml"
        listed = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else [None]
        found += [pytest.param(name, case, id=f"{name}-{i}") for i, case in enumerate(listed)]
    return found


@pytest.mark.parametrize(("name", "case"), cases())
def test_every_row_has_its_outcome(name, case, tmp_path):
    assert case is not None, f"tests/rows/{name}.yaml is missing"
    workspace = Workspace(tmp_path)
    source = sources.get(name)
    options = build(case.get("options", {}), source.options, "$.options") if source.options else None
    job = Job(name=name, source=source, raw=ROWS / name, options=options, max_skip=1.0)
    (artefact,) = normalize_all([locate(job, workspace, Hashes(tmp_path))], workspace, Local())
    assert outcomes(artefact, ImageStore(workspace.images)) == expected(name, case["outcomes"])


def expected(name: str, given: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for row, outcome in given.items():
        if isinstance(outcome, str):
            out[row] = outcome
            continue
        out[row] = sorted((dict(pair) for pair in outcome), key=str_key)
        for pair in out[row]:
            if "group" in pair:
                pair["group"] = combine(name, b"named group", str(pair["group"]).encode())
    return out


def outcomes(artefact: Any, store: ImageStore) -> dict[str, Any]:
    """What the driver made of every row, in the words of the yaml files."""
    store.refresh()
    facts = {row["key"]: row for row in store.facts().to_pylist()}
    out: dict[str, Any] = {}
    named = named_groups(artefact)
    for path in sorted(artefact.directory.glob("skips-*.parquet")):
        out.update({row["row"]: f"skip {row['reason']}" for row in pq.read_table(path).to_pylist()})
    for part in artefact.parts:
        for row in pq.read_table(artefact.directory / part).to_pylist():
            out.setdefault(row["row"], []).append(plain(row, facts, artefact.job.source, named))
    return {
        row: outcome if isinstance(outcome, str) else sorted(outcome, key=str_key) for row, outcome in out.items()
    }


def named_groups(artefact: Any) -> set[str]:
    """Group ids that stand for a group named by upstream, found by asking the adapter again."""
    from curate.rawfiles.rows import rows, slices

    job, found = artefact.job, set()
    for part in slices(job.raw, artefact.files):
        for _, row in rows(part):
            try:
                drafts = list(job.source.to_pairs(row, job.options) if job.options else job.source.to_pairs(row))
            except Exception:  # noqa: BLE001 - the driver's outcome is judged elsewhere
                continue
            found |= {combine(job.name, b"named group", d.group.encode()) for d in drafts if d.group is not None}
    return found


def plain(row: dict[str, Any], facts: dict[str, Any], source: Any, named: set[str]) -> dict[str, Any]:
    pair: dict[str, Any] = {side: [turn(m) for m in row[side]] for side in ("prompt", "chosen", "rejected")}
    if row["media"]:
        pair["media"] = [medium(item, facts) for item in row["media"]]
    for column in ("margin", "chosen_score", "rejected_score", "chosen_critique", "rejected_critique", "category"):
        if row[column] is not None:
            pair[column] = row[column]
    for column in ("annotator", "license"):
        if row[column] != getattr(source, column):
            pair[column] = row[column]
    if row["extra"]:
        pair["extra"] = json.loads(row["extra"])
    if row["group_id"] in named:
        pair["group"] = row["group_id"]
    return pair


def turn(message: dict[str, Any]) -> str:
    return f"{message['role']}: " + "".join(
        f"[{block['type']}]" if block["text"] is None else block["text"] for block in message["content"]
    )


def medium(item: dict[str, Any], facts: dict[str, Any]) -> str:
    frames = [facts[key] for key in item["keys"]]
    shape = f"{frames[0]['format']} {frames[0]['width']}x{frames[0]['height']}" if frames else "nothing"
    return f"image {shape}" if item["kind"] == "image" else f"video {len(frames)} x {shape}"


def str_key(pair: dict[str, Any]) -> str:
    return json.dumps(pair, sort_keys=True, ensure_ascii=False, default=str)


def test_every_source_states_its_facts():
    for name in sources.names():
        source = sources.get(name)
        assert source.repo.count("/") == 1, name
        assert source.files or source.row_files, name
        assert 0 <= source.max_skip < 1, name
        has_media = source.media or source.local_media or name in EMBEDDED
        assert (source.modality == "text") == (not has_media), name


EMBEDDED = {"rlaif_v", "rlhf_v", "llava_critic", "wildvision_battle", "r1_reward", "vision_arena", "edit_reward"}
"""Sources whose images are inside their rows."""


def test_an_unknown_source_names_the_closest():
    with pytest.raises(sources.ConfigError) as caught:
        sources.get("helpster3")
    assert str(caught.value) == "source: no source is called 'helpster3'; expected a bundled source or a manifest"
    assert "helpsteer3" in caught.value.hint
