"""Every command and snippet of README and the pages is what the program takes."""

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from curate import recipe, steps
from curate.ablation import spec
from curate.cli import commands
from curate.recipe import Holdout, ShardSettings, _RecipeFields
from curate.recipe.entries import _EntryFields
from curate.sources import generic
from docs import outputs
from tests.support.paths import ROOT

BLOCKS = [block for page in outputs.pages() for block in outputs.blocks(page)]
TARGETS = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
EXTRAS = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
FIRST = ("prompt  ", "source  ", "POST ")
"""How the blocks of README begin that are neither commands nor code: a pair, a funnel, routes."""


def named(block):
    return f"{block.page.name}: {block.text.splitlines()[0]}"


def lines():
    """Every command line that is shown, those of outputs with them."""
    for block in BLOCKS:
        listed = [line for line, _ in block.commands] if block.kind == "console" else []
        if block.kind in ("", "sh") and not block.text.startswith(FIRST):
            listed = block.text.splitlines()
        for line in listed:
            yield block, line


def parsed(name, arguments):
    """The parameters that a command reads from its arguments. Raises what a wrong call raises."""
    return commands.load(name).make_context(name, list(arguments)).params


def test_every_command_line_is_understood(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = set()
    for block, line in lines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        at = f"{block.page.name}: {line}"
        if words[0] == "curate":
            assert words[1] in commands.COMMANDS, at
            for word in words[2:]:
                if re.fullmatch(r"\w+\.\w+|token", word):
                    Path(word).touch()  # a file that the command reads
            try:
                parsed(words[1], words[2:])
            except Exception as error:
                raise AssertionError(f"{at}: {error}") from error
            seen.add(words[1])
        elif words[0] == "make":
            assert words[1] in TARGETS, at
        else:
            assert words[:3] == ["pip", "install", "-e"], at
            assert set(re.findall(r"\w+", words[3])) <= {*EXTRAS}, at
    assert seen == set(commands.COMMANDS)  # each has an example


def test_an_option_that_a_command_lacks_is_seen():
    for wrong in (["quickstart", "--nope"], [], ["quickstart", "--workers", "many"]):
        with pytest.raises(Exception, match=r"(?i)no such option|missing|a valid integer"):
            parsed("mix", wrong)


def as_recipe(table, block):
    """The recipe that a snippet is, or is a part of."""
    whole = {"name": "one", "sources": {"rlaif_v": "all"}, **table}
    return recipe.from_table(whole, Path(f"{block.page.name}.yaml"))


def test_every_yaml_snippet_is_read_by_the_loader_of_its_kind(tmp_path):
    kinds = []
    for block in BLOCKS:
        if block.kind != "yaml":
            continue
        table = yaml.safe_load(block.text)
        if "adapter" in table:
            kinds.append("manifest")
            generic.from_table(table, tmp_path / "mine.yaml")
        elif "arms" in table:
            kinds.append("ablation")
            path = tmp_path / "study.yaml"
            path.write_text(block.text)
            assert list(spec.load(path).arms)
        else:
            kinds.append("recipe")
            read = as_recipe(table, block)
            assert steps.build_all(read.steps, read.where), named(block)
    assert set(kinds) == {"manifest", "ablation", "recipe"}


def test_every_json_snippet_is_json_and_every_python_snippet_compiles():
    for block in BLOCKS:
        if block.kind == "json":
            whole = block.text if block.text.count("\n{") == 0 else None
            for text in [whole] if whole else block.text.splitlines():
                json.loads(text)
        elif block.kind == "python":
            compile(block.text, named(block), "exec")
        else:
            assert block.kind in ("", "sh", "console", "yaml", "text"), named(block)


def test_every_key_of_a_recipe_is_described():
    text = (ROOT / "docs" / "pages" / "recipes.md").read_text()
    keys = {field.name for one in (_RecipeFields, _EntryFields, Holdout, ShardSettings) for field in fields(one)}
    assert [key for key in sorted(keys) if f"`{key}`" not in text and f"`{key}:" not in text] == []


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / "README.md").read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []
