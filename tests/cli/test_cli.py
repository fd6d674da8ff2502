"""The command line names all commands without importing what they need."""

import json
import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from curate.cli import app, commands
from tests.support.paths import ROOT

HEAVY = ("numpy", "polars", "pyarrow", "numba", "yaml", "huggingface_hub", "PIL")


TERMINAL = re.compile(r"typer\.echo\(|\bConsole\(|(?<![\w.])print\(|sys\.std(out|err)\.write")


def test_nothing_but_cli_output_prints():
    """Every text and table passes there what makes it inert; `show --raw-text` and the version are our own."""
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "curate").rglob("*.py"))
        for line in path.read_text().splitlines()
        if TERMINAL.search(line) and path.name not in ("output.py", "terminal_table.py")
    ]
    assert found == [
        'curate/cli/__init__.py: typer.echo(f"curate {__version__}")',
        "curate/cli/__init__.py: typer.echo(context.get_help())",
        "curate/cli/__init__.py: sys.stderr.write(terminal_text(text))",
        "curate/cli/inspect.py: console = Console(highlight=False)",
        "curate/cli/inspect.py: typer.echo()",
        "curate/cli/inspect.py: typer.echo(stored, color=True)  # as stored, terminal codes and all",
    ]


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_a_command_is_listed_with_the_first_line_of_its_help(name):
    assert commands.load(name).help.split("\n\n")[0].replace("\n", " ") == commands.COMMANDS[name][1]


def test_without_a_command_help_is_printed():
    done = subprocess.run([sys.executable, "-m", "curate"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.splitlines()[-1].strip() == "looks at rows of your own."
    assert done.stdout == subprocess.check_output([sys.executable, "-m", "curate", "-h"], text=True)


def test_a_choice_that_is_none_has_the_closest():
    done = CliRunner().invoke(app, ["export", "mine", "--to", "trl-txt"], env={"COLUMNS": "300"})
    assert "Invalid value for '--to': 'trl-txt' is not one of 'trl', 'trl-text'" in done.stderr
    assert "'mosaicml'. Did you mean 'trl-text'?" in done.stderr


TALK = """
from curate.cli.output import fail, messages, say
from curate.errors import ConfigError
messages()._force_terminal, messages()._width = True, 30
say("one two three four five six seven")
say("next: curate report quickstart --workspace work")
fail(ConfigError("mine.yaml", "found a word", "another word than this", "curate plan mine.yaml --workspace w"))
"""


def test_messages_break_between_words_on_a_terminal():
    plain = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run([sys.executable, "-c", TALK], capture_output=True, text=True, check=True, env=plain)
    assert done.stderr.splitlines() == [
        "one two three four five six",
        "  seven",
        "next: curate report quickstart --workspace work",
        "error: mine.yaml: found a",
        "  word; expected another word",
        "  than this",
        "hint: curate plan mine.yaml --workspace w",
    ]


@pytest.mark.parametrize("name", ["mix", "pin", "ablate"])
def test_defaults_that_are_words_are_shown(name):
    help_text = " ".join(CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "300"}).stdout.split())
    written = re.findall(r"\[default: [^]]+\]", " ".join(param.help or "" for param in commands.load(name).params))
    assert written
    for default in written:
        assert default in help_text


@pytest.mark.parametrize("name", ["", *commands.COMMANDS])
def test_help_names_values_in_plain_words(name):
    done = CliRunner().invoke(app, [*filter(None, [name]), "--help"], env={"COLUMNS": "300"})
    assert done.exit_code == 0
    assert not re.findall(r"\[\[|\.\.\.[}\]]?\.\.\.|[{}]|<[a-z\[]+[^>]*>", done.stdout)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("mix", "Missing argument 'RECIPE'. A recipe: its name (curate recipes lists them; quickstart is one"),
        ("init", "Missing argument 'TARGET'. A file, a folder, or a dataset on the Hub (owner/name)."),
        ("why", "Missing argument 'PAIR'. A pair id or its first 6 or more digits"),
        ("evaluate", "Missing option '--eval-set' / '-e'. An eval set (curate sources --evalsets lists them)"),
    ],
)
def test_what_is_missing_is_described_as_in_help(name, advice):
    done = CliRunner().invoke(app, [name], env={"COLUMNS": "300"})
    assert done.exit_code == 2
    assert advice in done.output


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("mix", "[OPTIONS] RECIPE"),
        ("ablate", "[OPTIONS] [ABLATION]"),
        ("pin", "[OPTIONS] [SOURCE...]"),
        ("fetch", "[OPTIONS] SOURCE|RECIPE..."),
        ("show", "[OPTIONS] TARGET [REASON]"),
        ("train", "[OPTIONS] [MIX|RECIPE] [KEY=VALUE...]"),
    ],
)
def test_usage_names_each_argument_once(name, usage):
    out = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "300"}).stdout
    assert out.split(f" {name} ", 1)[1].splitlines()[0].strip() == usage


def test_values_of_options_have_names():
    out = CliRunner().invoke(app, ["mix", "--help"], env={"COLUMNS": "300"}).stdout
    found = dict(re.findall(r"(--[a-z]+) +(\S+)", out))
    assert (found["--raw"], found["--engine"], found["--workers"]) == ("DIR", "local|ray", "N")
    assert found["--wait"] == "Wait"  # a flag takes no value: its help follows


def test_every_command_that_computes_takes_the_same_block_of_options():
    block = {"raw", "workspace", "manifests", "engine", "address", "workers", "wait"}
    for name in ("normalize", "mix", "rethreshold", "doctor", "overlap", "report", "ablate", "search"):
        assert block <= {parameter.name for parameter in commands.load(name).params}


WORKING = (
    "pyarrow.compute",
    "pyarrow.dataset",
    "numba",
    "transformers",
    "tokenizers",
    "ray",
    "duckdb",
    "starlette",
)
"""What only work needs."""


def imported(among: tuple[str, ...], *arguments: str) -> tuple[str, list[str]]:
    """What a command prints on stdout, and which of the modules it imports."""
    code = f"""
import sys
from curate.cli import main
try:
    main()
except SystemExit:
    print("heavy:", *(name for name in {among} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    *lines, last = done.stdout.splitlines()
    assert last.startswith("heavy:")
    return "\n".join(lines), last.split()[1:]


def test_help_imports_nothing_heavy():
    text, heavy = imported((*HEAVY, "rich.console", "pydantic", "multiprocessing", "curate.cli.options"), "--help")
    assert heavy == []
    assert "normalize" in text


def test_a_build_imports_neither_datasets_nor_the_client_of_the_hub(tmp_path):
    (tmp_path / "small.yaml").write_text("name: small\nsources: {hh_rlhf: {rows: 3}}\n")
    places = ("--raw", "samples", "--workspace", str(tmp_path / "data"), "--workers", "1")
    among = ("datasets", "huggingface_hub", "torch")
    assert imported(among, "plan", "basereward", "--workspace", str(tmp_path / "data"))[1] == []
    text, heavy = imported(among, "mix", str(tmp_path / "small.yaml"), *places)
    assert heavy == []
    assert "shard-00000.parquet" in text
    for command in ("mix", "plan"):  # of a mix that is up to date
        assert imported((*among, *WORKING), command, str(tmp_path / "small.yaml"), *places[:4])[1] == []


def test_an_unknown_command_gets_the_nearest_names():
    done = CliRunner().invoke(app, ["mixx"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "No such command 'mixx'. Did you mean 'mix'?" in done.stderr


def test_a_mix_without_rows_says_so(tmp_path):
    recipe = tmp_path / "nothing.yaml"
    recipe.write_text("name: nothing\nsources: {hh_rlhf: all}\nsteps: [length: {max_reply: 0}]\n")
    places = ["--raw", "samples", "--workspace", str(tmp_path / "data"), "--workers", "1"]
    done = CliRunner().invoke(app, ["mix", str(recipe), *places])
    assert done.exit_code == 0
    assert done.stderr.splitlines()[-1] == "nothing is in this mix: the funnel above says where all pairs went"


def test_check_reads_raw_files_again_whose_size_and_time_are_as_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CURATE_HOME", raising=False)
    manifest, raw = tmp_path / "manifests/mine.yaml", tmp_path / "raw/mine/a.jsonl"
    for path in (manifest, raw):
        path.parent.mkdir(parents=True)
    manifest.write_text("adapter: preference\nfiles: ['*.jsonl']\n")
    (tmp_path / "r.yaml").write_text("name: r\nsources: {mine: all}\n")
    raw.write_text('{"prompt": "Q?", "chosen": "good", "rejected": "bad"}\n')
    place = ["--raw", str(tmp_path / "raw"), "--workers", "1", "--json"]

    def directory(*command: str) -> str:
        done = CliRunner().invoke(app, [*command, *place])
        assert done.exit_code == 0, done.exception
        found = json.loads(done.stdout)
        return str((found if isinstance(found, dict) else found[0])["directory"])

    commands = (("normalize", "mine"), ("mix", "r.yaml"))
    before = [directory(*command) for command in commands]
    time = raw.stat().st_mtime_ns
    raw.write_text(raw.read_text().replace("good", "fine"))
    os.utime(raw, ns=(time, time))
    assert [directory(*command) for command in commands] == before
    after = [directory(*command, "--check") for command in commands]
    assert set(after).isdisjoint(before)
    assert [directory(*command) for command in commands] == after  # it is known from now on
