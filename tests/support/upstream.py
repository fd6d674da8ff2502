"""What tests of the multimodal sources share."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from curate.engines.local import Local
from curate.errors import SkipRow
from curate.hashing import Hashes
from curate.pairs.normalize import Job, locate, normalize_all
from curate.sources.base import Draft, Source
from curate.workspace import Workspace
from tests.support.paths import ROWS

REAL = Path("/work/shared/real")


def _formats() -> ModuleType:
    """What the test rows are written with."""
    spec = importlib.util.spec_from_file_location("formats", ROWS / "formats.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


draw = _formats()


def real(path: str) -> Any:
    """A real upstream row file, or a skip with its reason."""
    if not (REAL / path).exists():
        pytest.skip(f"no real rows on this machine: {REAL / path}")
    return json.loads((REAL / path).read_text(encoding="utf-8"))


def reason(call: Any, *args: Any) -> str:
    """The reason for which the call skips the row."""
    with pytest.raises(SkipRow) as caught:
        list(call(*args) or ())
    return caught.value.reason


def turn_texts(messages: Any) -> list[str]:
    return [
        f"{turn.role}: {''.join(f'[{b.type}]' if b.text is None else b.text for b in turn.content)}"
        for turn in messages
    ]


def sides(draft: Draft) -> tuple[list[str], list[str], list[str]]:
    return turn_texts(draft.prompt), turn_texts(draft.chosen), turn_texts(draft.rejected)


def run(name: str, source: Source, raw: Path, workspace: Path, options: Any = None) -> tuple[list[Any], list[Any]]:
    """(pairs, skips) of the real driver over a raw directory."""
    space = Workspace(workspace)
    job = Job(name=name, source=source, raw=raw, options=options, max_skip=1.0)
    (artefact,) = normalize_all([locate(job, space, Hashes(workspace))], space, Local())
    pairs = [row for part in artefact.parts for row in pq.read_table(artefact.directory / part).to_pylist()]
    skips = [row for p in artefact.directory.glob("skips-*") for row in pq.read_table(p).to_pylist()]
    return pairs, skips


WORDS = st.text(st.sampled_from("ab1 ,.\n\"'éß"), min_size=1, max_size=20).map(str.strip).filter(bool)
