"""The import contracts of pyproject.toml have no holes: an import planted anywhere is named, with its contract."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINT = Path(sys.executable).parent / "lint-imports"

PLANTS = {
    "curate/steps/ties.py": ("from PIL import Image", "PIL only in"),
    "curate/images/copies.py": ("import PIL.Image", "PIL only in"),
    "trainer/batch.py": ("from PIL import Image", "PIL only in"),
    "curate/recipe/entries.py": ("from curate.build import build", "layers"),
    "curate/cards/markdown.py": ("from curate.build import Watcher", "layers"),
    "curate/text/buffers.py": ("import numba", "numba only in"),
    "curate/mixing/select.py": ("from llvmlite import ir", "numba only in"),
    "curate/evaluation/metrics.py": ("import huggingface_hub", "the Hub's client only in"),
    "curate/hub/retry.py": ("from httpx2 import get", "the Hub's client only in"),
    "curate/rawfiles/rows.py": ("import datasets", "datasets only in"),
    "curate/build.py": ("import ray", "Ray only in"),
    "curate/engines/base.py": ("import ray.data", "Ray only in"),
    "curate/pairs/columns.py": ("import torch", "curate never imports the trainer or its libraries"),
    "curate/svg.py": ("import trainer.losses", "curate never imports the trainer or its libraries"),
    "curate/licenses.py": ("import transformers", "curate never imports the trainer or its libraries"),
    "curate/sources/shp.py": ("from peft import LoraConfig", "curate never imports the trainer or its libraries"),
    "curate/schema.py": ("import deepspeed", "curate never imports the trainer or its libraries"),
    "curate/html_report/page.py": ("import starlette", "web servers only in curate.web"),
    "curate/inspect/show.py": ("import uvicorn", "web servers only in curate.web"),
    "curate/cards/figures.py": ("import jinja2", "web servers only in curate.web"),
    "trainer/serve.py": ("import uvicorn", "web servers only in curate.web"),
    "curate/web/bodies.py": ("import torch", "curate never imports the trainer or its libraries"),
    "curate/order.py": ("import random", "order is a function of content"),
    "trainer/checkpoint.py": ("import pickle", "order is a function of content"),
    "trainer/packing.py": ("from trainer.encode import Encoder", "the trainer's layers"),
    "trainer/losses.py": ("from curate.pairs import columns", "what the trainer may know of curate"),
    "curate/__init__.py": ("from curate.errors import CurateError", "curate/__init__.py imports nothing"),
    "curate/images/packs.py": ("from curate.images.store import ImageStore", "no circles"),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what lint-imports looks at."""
    for name in ("curate", "trainer"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(tree: Path) -> tuple[int, str]:
    # PYTHONPATH: an installed curate is this checkout, and the copy must be found before it
    done = subprocess.run(
        [LINT, "--no-cache"],
        cwd=tree,
        env={"PYTHONPATH": str(tree), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def sections(output: str) -> Mapping[str, str]:
    """The text below the name of each broken contract."""
    lines = output.partition("Broken contracts")[2].splitlines()
    heads = [at for at in range(len(lines) - 1) if lines[at + 1] and set(lines[at + 1]) == {"-"}]
    return {lines[a]: "\n".join(lines[a:b]) for a, b in zip(heads, [*heads[1:], None], strict=True)}


def test_the_tree_keeps_its_contracts(tree: Path):
    code, output = lint(tree)
    assert code == 0, output


def test_a_planted_import_of_each_kind_breaks_its_contract_and_is_named(tree: Path):
    for name, (line, _) in PLANTS.items():
        path = tree / name
        path.write_text(path.read_text() + f"\n\ndef planted():\n    {line}\n")
    code, output = lint(tree)
    assert code == 1, output
    broken = sections(output)
    for name, (line, contract) in PLANTS.items():
        (text,) = [text for head, text in broken.items() if head.startswith(contract)]
        module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        module_name = module.rpartition(".")[2] if contract == "no circles" else module
        assert module_name in text, f"{line} in {name}: not named by the contract {contract!r}\n{text}"


def test_a_module_in_no_layer_breaks_the_layers(tree: Path):
    (tree / "curate" / "attic.py").write_text('"""Nobody said where this belongs."""\n')
    code, output = lint(tree)
    assert code == 1
    assert "attic" in output


# ---- what import-linter cannot say


def modules() -> list[tuple[str, ast.Module]]:
    return [
        (str(path.relative_to(ROOT)), ast.parse(path.read_text()))
        for path in sorted((ROOT / "curate").rglob("*.py"))
    ]


def imported(node: ast.AST) -> list[str]:
    """The modules, or names in modules, that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else []


def test_only_kernels_modules_hold_kernels():
    for name, tree in modules():
        names = [one for node in ast.walk(tree) for one in imported(node)]
        if any(one.startswith("curate.compiled") for one in names):
            assert name.endswith("kernels.py"), f"{name} compiles functions"


def test_kernels_are_imported_where_they_work():
    for name, tree in modules():
        if not name.endswith("kernels.py"):
            early = [one for node in tree.body for one in imported(node) if "kernels" in one]
            assert not early, f"{name} imports {early} when it is imported itself, and numba with them"
