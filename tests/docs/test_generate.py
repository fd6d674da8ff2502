"""What the pages take from the code is all of it."""

import dataclasses

import pytest

from curate import evalsets, sources, steps
from curate.cli import commands
from curate.exports.formats import FORMATS
from docs import generate, outputs
from trainer.config import TrainConfig


def test_each_part_is_on_one_page_and_each_mark_names_one():
    marks = [name for page in outputs.pages() for name in generate.MARK.findall(page.read_text())]
    assert sorted(marks) == sorted(generate.PARTS)
    with pytest.raises(KeyError, match="nothing"):
        generate.filled("<!-- generate: nothing -->\n")


def test_every_step_is_described_with_its_options_and_reasons():
    text = generate.filled("<!-- generate: steps -->")
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == sorted(steps.STEPS)
    for step in steps.STEPS.values():
        for field in dataclasses.fields(step):
            assert f"| `{field.name}` |" in text, f"{step.__name__}.{field.name}"
    assert "| `min_score` | number | `0.8` |" in text
    assert "| `keep` | list of text | required |" in text
    assert "Reasons `tie` (margin 0) and `margin_below` (margin under `min_margin`)." in text


def test_every_source_eval_set_and_command_is_described():
    text = {
        name: generate.filled(f"<!-- generate: {name} -->")
        for name in ("sources", "eval_sets", "exports", "commands")
    }
    assert [name for name in sources.names() if f"## {name}\n" not in text["sources"]] == []
    assert [name for name in evalsets.names() if f"## {name}\n" not in text["eval_sets"]] == []
    assert [name for name in FORMATS if f"## {name}\n" not in text["exports"]] == []
    assert [name for name in commands.COMMANDS if f"### curate {name}\n" not in text["commands"]] == []
    assert "- rows as published: 83,132" in text["sources"]
    assert "- licence: cc-by-nc-4.0" in text["sources"]
    assert "| `--engine local\\|ray` |" in text["commands"]
    assert "None" not in text["commands"]


def test_every_setting_of_the_trainer_is_there_with_its_comment():
    text = generate.filled("<!-- generate: settings -->")
    assert [field.name for field in dataclasses.fields(TrainConfig) if f"\n{field.name}: " not in text] == []
    assert "max_steps: int | None = None  # 0: a judge as it is, without training" in text
    assert "__post_init__" not in text


def test_text_of_a_docstring_is_text_on_its_page():
    prose = generate.prose
    assert (
        prose("An `<image>` and <image> of x_y, an *edge*.") == "An `<image>` and \\<image> of x\\_y, an *edge*."
    )
    assert prose("All of *.jsonl and *.csv") == "All of \\*.jsonl and \\*.csv"
    assert prose("*.jsonl") == "\\*.jsonl"


def test_names_with_their_meanings_are_a_table_and_other_laid_out_text_is_as_written():
    rows = "keep   what stays,\n       or more\nno: a  one | two"
    head = "| name | meaning |\n| --- | --- |\n"
    assert generate.prose(f"One.\n\n{rows}") == (
        f"One.\n\n{head}| `keep` | what stays, or more |\n| `no: a` | one \\| two |"
    )
    for other in ("a  b\n  c", "  a\n b", "a   b\nc  d"):
        assert generate.prose(f"One.\n\n{other}") == f"One.\n\n```text\n{other}\n```"
