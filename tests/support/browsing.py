"""A small mix to browse: pictures, duplicates, contradictions, hostile texts, and an eval set that leaks."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from PIL import Image
from starlette.testclient import TestClient

from curate.analysis.traits import Traits
from curate.checksums import published
from curate.evaluation.items import EvalSetFolders
from curate.inspect.artefacts import mixes
from curate.pairs import scores
from curate.pairs.files import column
from curate.pairs.pool import PairsPool
from curate.parquet import count_rows
from curate.screening.row_steps import fingerprint_of
from curate.web.browse.evals import EvalSets
from curate.web.browse.labelling import LabelBook
from curate.web.browse.routes import Browser, Choices
from curate.web.browse.site import Site, targets
from curate.web.settings import Listening
from curate.workspace import Workspace
from tests.support.finished_work import mix, write_rows
from tests.support.hostile import HOSTILE

TALK = """
adapter: preference
files: ["*.jsonl"]
columns: {margin: gap, images: pictures, category: kind}
optional: [margin, images, category]
media: [pictures]
license: mit
annotator: human
"""
RECIPE = """
name: talks
sources: {first: all, second: all}
holdout: {rows_per_source: 1}
steps:
  - decontaminate: {against: [vl_rewardbench]}
  - length: {min_reply: 2}
  - label_conflicts: {policy: keep_priority}
  - exact_duplicates
"""
LEAK = " ".join(f"leaked word number {i}" for i in range(12))
MARKDOWN = "# Steps\n\n1. **Add** $a_1 * b$\n2. [here](https://evil.example)\n\n```py\nprint('<b>')\n```"
FIRST = [
    {"prompt": "What is 2 + 2?", "chosen": "It is 4.", "rejected": "It is 5.", "gap": 2, "kind": "sums"},
    {"prompt": "What is shown?", "chosen": "A red square.", "rejected": "A blue square.", "pictures": ["red.png"]},
    {"prompt": "Order?", "chosen": "It is alpha.", "rejected": "It is beta."},
    {"prompt": "Order?", "chosen": "It is beta.", "rejected": "It is gamma."},
    {"prompt": "Order?", "chosen": "It is gamma.", "rejected": "It is alpha."},
    {"prompt": "How?", "chosen": MARKDOWN, "rejected": MARKDOWN.replace("Add", "Take"), "gap": 0.5},
    {"prompt": LEAK, "chosen": "Leaked, yes.", "rejected": "Leaked, no."},
    *({"prompt": f"{i} {text}", "chosen": f"good {text}", "rejected": f"bad {i}", "kind": "hostile"}
      for i, text in enumerate(text.encode(errors="replace").decode() for text in HOSTILE)),
]  # fmt: skip
SECOND = [
    {"prompt": "What is 2 + 2?", "chosen": "It is 4.", "rejected": "It is 5.", "gap": 2, "kind": "sums"},
    {"prompt": "Ä word: ÜBER?", "chosen": "Über means over.", "rejected": "X"},
    {"prompt": "A colour?", "chosen": "Green is one.", "rejected": "Nine is one."},
    {"prompt": "A city?", "chosen": "Paris is one.", "rejected": "Two is one."},
]
ITEMS = [
    {"id": f"wildvision-{i}", "query": query, "response": ["good reply", "bad reply"], "human_ranking": [0, 1],
     "image": f"images/{i}.png"}
    for i, query in enumerate([LEAK, "What else?", "<script>alert(2)</script>"])
]  # fmt: skip
SCORES = ((2.0, 1.0), (1.0, 2.0), (3.0, 3.0))


def make_talks(root: Path) -> None:
    """Raw files, manifests, the mix and two score files in a directory, which is the current one."""
    for name, rows in (("first", FIRST), ("second", SECOND)):
        write_rows(root / f"raw/{name}/a.jsonl", rows)
        (root / "manifests").mkdir(exist_ok=True)
        (root / f"manifests/{name}.yaml").write_text(TALK)
    (root / "raw/first/pictures").mkdir()
    Image.new("RGB", (160, 120), "red").save(root / "raw/first/pictures/red.png")
    folder = root / "raw/vl_rewardbench"
    (folder / "images").mkdir(parents=True)
    for i in range(len(ITEMS)):
        Image.new("RGB", (64, 48), (20, 90 * i, 200)).save(folder / f"images/{i}.png")
    (folder / "data.json").write_text(json.dumps(ITEMS))
    for model, sign in (("model-a", 1), ("model-b", -1)):
        lines = [
            {"benchmark": "vl_rewardbench", "row": row, "candidate": at, "score": sign * score}
            for row, scores in enumerate(SCORES, 1)
            for at, score in enumerate(scores)
        ]
        write_rows(root / f"data/scores/{model}/vl_rewardbench-x.jsonl", lines)
    mix(RECIPE)


@pytest.fixture(scope="module")
def talks(tmp_path_factory):
    """The directory of a finished mix."""
    root = tmp_path_factory.mktemp("browse")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("CURATE_HOME", raising=False)
        make_talks(root)
        cache_scores(root)
        score(root)
        yield root


def browser(root: Path, labels: Path, target: str | None = None, **settings: object) -> Browser:
    """The application over a finished mix."""
    workspace = Workspace(root / "data")
    site = Site(targets(target, workspace), workspace, LabelBook(labels))
    site.loaded()
    folders = EvalSetFolders(workspace=workspace, raw=root / "raw", manifests=root / "manifests")
    choices = Choices(who="ada", manifests=root / "manifests")
    return Browser(site, EvalSets(folders), Listening(**settings), choices)  # type: ignore[arg-type]


@contextmanager
def visiting(app: Browser, host: str = "127.0.0.1:8001") -> Iterator[TestClient]:
    with TestClient(app.app(), base_url=f"http://{host}", follow_redirects=False) as client:
        yield client


def cache_scores(root: Path) -> None:
    """What a step language and curate doctor leave beside the pairs."""
    for part in (root / "data/pairs").glob("*/*/part-*.parquet"):
        rows = count_rows(part)
        languages = ["de" if part.parent.parent.name == "second" and i == 1 else "en" for i in range(rows)]
        folder = part.parent / "scores/languages-0123"
        folder.mkdir(parents=True)
        pl.DataFrame({"language": languages, "language_score": [i / 10 for i in range(rows)]}).write_parquet(
            folder / part.name
        )
        with published(part.parent / f"sketches/traits-{fingerprint_of(Traits())}" / part.name) as temporary:
            Traits().make(part, temporary)


def score(root: Path) -> None:
    """What `curate score` and `curate audit --review` leave: scores of a source, a sheet of its first pair."""
    [part] = (root / "data/pairs/second").glob("*/part-*.parquet")
    pool = PairsPool(label="second", source="second", directory=part.parent, priority=0, parts=(part.name,))
    margins = [1.5, -2.0, None, 0.5]
    frame = pl.DataFrame({name: margins if name == "margin" else [None] * 4 for name in scores.SCORES})
    scores.write_part(frame, scores.folder(part.parent, "mine") / part.name)
    scores.finish(
        pool, "mine", {"provenance": "external", "by": {"kind": "model"}, "trained_on": None, "overlap": None}
    )
    write_rows(root / "data/audits/one/audit.json", [])
    write_rows(root / "data/audits/one/sheet.jsonl", [{"pair_id": column(part, "pair_id")["pair_id"][0].as_py()}])


def lock(root: Path) -> dict:
    """The lock of the mix that was built last."""
    return mixes(Workspace(root / "data"))[0].lock
