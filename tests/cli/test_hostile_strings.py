"""Hostile strings in every field that comes from outside, through every command: none is alive in any output."""

import contextlib
import html.parser
import io
import json
import re
import zipfile
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt
from PIL import Image
from typer.testing import CliRunner

from curate.cli import app
from curate.cli.output import fail
from curate.errors import CurateError
from tests.support.hostile import HOSTILE
from tests.support.hub import Hub
from tests.support.hub_commands import curate
from tests.support.terminal import on_terminal

FILE = "a\x1b[31m\x9b\u202e[/INST]*<b>`|\n.jsonl"
LABEL = "[link=https://evil.example]c[/link]\x1b]52;c;QQ==\x07<img src=x onerror=alert(1)>"
LICENSE = "[mit](https://evil.example)<script>alert(1)</script>\x1b[2J\u202e|`_x_`"
COLUMN = "[/b]\x1b[31m\u202e\x07<b>spam`"
REPO = "people/[votes](https://evil.example)<b>\x07\n# head"
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff]")


def acting(text: str, *, terminal: bool = False) -> list[str]:
    """What would act on a terminal in a text; those that `curate` itself writes to one are left out."""
    if terminal:
        text = re.sub("\x1b\\[[0-9;?]*[A-Zahlm]|\r", "", text)
    return [text[max(found.start() - 30, 0) : found.end() + 10] for found in ACTS.finditer(text)]


OURS = ("https://huggingface.co/datasets/", "https://arxiv.org/abs/")


class Elements(html.parser.HTMLParser):
    """The elements of a page that load, run or lead anywhere outside it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            leads = name in ("href", "src", "action", "style") and "evil" in (value or "")
            if name.startswith("on") or (leads and not (value or "").startswith(OURS)):
                self.found.append(f"{tag} {name}={value}")
        if tag in ("iframe", "object", "embed", "form", "base"):
            self.found.append(tag)


def elements(page: str) -> list[str]:
    parser = Elements()
    parser.feed(page)
    return parser.found + re.findall(r"<script>alert|<svg onload|<img src=x", page)


def rendered(text: str) -> str:
    body = text.removeprefix("---\n").partition("\n---\n")[2] if text.startswith("---\n") else text
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(body)


def write_manifest(path: Path, **facts: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(facts))  # plain ASCII: PyYAML escapes what YAML does not allow


def plant(root: Path) -> None:
    """A source and an eval set full of hostile strings, and a recipe for them."""
    raw = root / "raw/votes"
    raw.mkdir(parents=True)
    rows = []
    for number, text in enumerate(HOSTILE):
        row = {"q": f"{number} {text}", "good": f"It is {text} {number}.", "bad": f"Not {text} at all.",
               "kind": text, "by": text, "under": LICENSE if number % 2 else text}  # fmt: skip
        rows += [row, {**row, "good": f"It is {text} {number}!"}]
    rows += [{"q": LABEL, "good": "a reply", "bad": "another reply", "pictures": [f"{LABEL}.png"]}]
    rows += [{"q": LABEL, COLUMN: 1}, {"q": "Q?", "good": 3, "bad": LABEL}, rows[0], rows[2]]
    lines = [json.dumps({COLUMN: 1, **row}) for row in rows]
    (raw / FILE).parent.mkdir()
    (raw / FILE).write_text("\n".join([*lines, f"{{broken {LABEL}"]) + "\n")
    Image.new("RGB", (16, 12), "red").save(raw / "red.png")
    with zipfile.ZipFile(raw / "[bold]\x1b[1m.zip", "w") as archive:
        archive.writestr("b\x1b[31m\u202e.jsonl", lines[0])
    write_manifest(
        root / "manifests/votes.yaml", adapter="preference", files=["**/*.jsonl"], media=["*.zip"], repo=REPO,
        max_skip=0.5,
        license=LICENSE, annotator=LABEL, paper=f"arXiv:{LABEL}", languages=["en", LABEL],
        columns={"prompt": "q", "chosen": "good", "rejected": "bad", "category": "kind", "annotator": "by",
                 "license": "under", "images": "pictures"},
        optional=["category", "annotator", "license", "images"],
    )  # fmt: skip
    (root / "recipe.yaml").write_text(
        "name: hostile\n" + yaml.safe_dump({"about": f"{LABEL}\n# {LICENSE}"})
        + "sources: {votes: all}\nholdout: {rows_per_source: 2}\nmax_skip: {votes: 0.5}\n"
        "steps: [identical, exact_duplicates, near_dedup, length: {max_reply: 60}]\n"
    )  # fmt: skip
    (root / "other.yaml").write_text((root / "recipe.yaml").read_text().replace("name: hostile", "name: other"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    plant(folder)
    return folder


def run(*arguments: str) -> str:
    """All that a command prints, errors and their hints as `main` prints them included."""
    done = CliRunner(env={"COLUMNS": "120"}).invoke(app, arguments)
    printed = done.stdout + done.stderr
    assert "--json" not in arguments or done.exit_code or json.loads(done.stdout) is not None, arguments
    if isinstance(done.exception, CurateError):
        with contextlib.redirect_stderr(io.StringIO()) as caught:
            fail(done.exception)
        return printed + caught.getvalue()
    assert done.exception is None or isinstance(done.exception, SystemExit), (arguments, done.exception)
    return printed


COMMANDS = (
    ("init", "raw/votes", "--name", "new"), ("init", f"raw/votes/{FILE}", "--name", "new", "--yes"),
    ("init", LABEL),
    ("sources",), ("recipes",), ("plan", "recipe.yaml"), ("normalize", "votes"),
    ("mix", "recipe.yaml"), ("mix", "other.yaml"), ("verify",), ("diff", "hostile", "other"),
    ("show", "hostile", "--rows", "99", "--full"), ("show", "votes", "--rows", "99"),
    ("show", "hostile", "--dropped", "--rows", "99"), ("show", "votes", "--skipped", "--rows", "99", "--full"),
    ("doctor", "votes"), ("doctor", "hostile"), ("overlap", "votes", "--against", "rewardbench"),
    ("rethreshold", "recipe.yaml"), ("card", "hostile"), ("card", "votes"), ("report", "hostile"),
    ("show", LABEL), ("why", LABEL), ("why", f"{FILE}:1", "--source", "votes"), ("card", LABEL), ("mix", LABEL),
    ("gc",), ("engines",), ("engines", "--address", LABEL), ("train", LABEL), ("train", "--merge", LABEL),
    ("ablate", LABEL), ("ablate", "--recipe", "recipe.yaml", "--all", "--preset", LABEL),
    ("ablate", "--recipe", "recipe.yaml", "-d", LABEL, "--preset", "tiny_cpu"),
    ("ablate", "--recipe", "recipe.yaml", "--all", "--mode", LABEL, "--preset", "tiny_cpu"),
    ("ablate", "--recipe", "recipe.yaml", "--all", "--preset", "tiny_cpu", "--plan", "--set", "model=tiny/text"),
    ("evaluate", LABEL), ("fetch", LABEL), ("diff", LABEL, "hostile"), ("verify", LABEL),
    ("show", "votes", LABEL, "--skipped"), ("publish", LABEL, "me/x"), ("overlap", LABEL, "votes"),
)  # fmt: skip
JSON = {"init", "sources", "recipes", "plan", "normalize", "mix", "verify", "diff", "show", "why", "doctor",
        "overlap", "rethreshold"}  # fmt: skip
USAGE = (
    (LABEL,), (f"--{LABEL}",), ("mix", f"--{LABEL}"), ("mix", "a", f"\u202e{LABEL}", "b"),
    ("show", "a", "--rows", LABEL), ("evaluate", "-e", "judgebench", "--template", LABEL),
    ("report", "hostile", "--out", LABEL, LABEL),
    ("fetch", f"--wait={LABEL}"), ("diff", "a"),
)  # fmt: skip
PLACED = {"normalize", "plan", "mix", "doctor", "overlap", "report", "rethreshold", "evaluate"}


def test_no_command_prints_what_acts(root, monkeypatch, capfd):
    monkeypatch.chdir(root)
    monkeypatch.delenv("CURATE_HOME", raising=False)
    for command in COMMANDS:
        placed = [*command, *(["--raw", str(root / "raw")] if command[0] in PLACED else [])]
        placed += ["--workers", "1"] if command[0] in {"normalize", "mix", "doctor", "overlap", "report"} else []
        for arguments in (placed, [*placed, "--json"]) if command[0] in JSON else (placed,):
            printed = run(*arguments) + "".join(capfd.readouterr())  # a process of its own writes past the runner
            assert printed, arguments
            assert not acting(printed), arguments
    [pair] = [line for line in run("show", "votes", "--rows", "1").splitlines() if line.startswith("pair ")]
    for more in ((), ("--json",)):
        assert not acting(run("why", pair.split()[1], *more))
    assert "[/INST] [bold]b[/bold]" in " ".join(run("show", "votes", "--rows", "99").split())


def test_errors_of_usage_repeat_nothing_that_acts(root, monkeypatch):
    monkeypatch.chdir(root)
    for arguments in USAGE:
        printed = run(*arguments)
        assert printed, arguments
        assert not acting(printed), arguments


def write_eval_set(raw: Path) -> None:
    """JudgeBench with hostile names, sources and replies."""
    (raw / "judgebench/data").mkdir(parents=True)
    rows = [
        {"pair_id": f"{number} {text}", "source": text, "question": f"{number} {text}", "response_A": f"{text} A",
         "response_B": f"{text} B", "label": "A>B" if number % 3 else LABEL}
        for number, text in enumerate((*HOSTILE, LABEL, COLUMN))
    ]  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (raw / "judgebench/data/gpt-00000-of-00001.jsonl").write_text(text)


def scored(line: dict, **other: object) -> str:
    return json.dumps({**line, "score": 1.0 - line["candidate"], **other}) + "\n"


def test_eval_sets_and_score_files_print_nothing_that_acts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_eval_set(tmp_path / "raw")
    common = ("evaluate", "-e", "judgebench", "--raw", "raw")
    for name in ("t.jsonl", "t.csv"):
        assert not acting(run(*common, "--template", name))
    lines = [json.loads(line) for line in Path("t.jsonl").read_text().splitlines()]
    assert len(lines) > 20
    Path("whole.jsonl").write_text("".join(map(scored, lines)))
    Path("half.jsonl").write_text("".join(map(scored, lines[5:])))
    Path("unscored.jsonl").write_text(
        "".join(scored(line, score=None, unscored=LABEL) if line["row"] == 2 else scored(line) for line in lines)
    )
    Path("item.jsonl").write_text(scored(lines[0], item=LABEL))
    Path("set.jsonl").write_text(scored(lines[0], benchmark=LABEL))
    Path("column.jsonl").write_text(json.dumps({LABEL: 1}) + "\n")
    Path("score.jsonl").write_text(scored(lines[0], score=LABEL))
    Path("line.jsonl").write_text(f"{{{LABEL}\n")
    files = ("half", "item", "set", "column", "score", "line", "unscored", LABEL)
    for command in (
        *((*common, "--scores", f"{name}.jsonl") for name in files),
        (*common, "--scores", "whole.jsonl", "--per-item", "items.csv"),
        (*common, "--split", LABEL, "--scores", "x"),
        (*common, "--scores", "unscored.jsonl", "--allow-unscored"), ("evaluate", "-e", LABEL, "--scores", "x"),
        (*common, "--compare", "whole.jsonl", "whole.jsonl", "--per-item", "items.jsonl"),
    ):  # fmt: skip
        for more in ((), ("--json",)):
            printed = run(*command, *more)
            assert printed, command
            assert not acting(printed), command
    table = " ".join(run(*common, "--scores", "whole.jsonl").split())
    assert "[/INST] [bold]b[/bold]" in table
    assert [json.loads(line)["item"] for line in Path("items.jsonl").read_text().splitlines()] == [
        line["item"] for line in lines if not line["candidate"]
    ]


def test_cards_pages_drawings_and_facts_hold_nothing_alive(root, monkeypatch):
    monkeypatch.chdir(root)
    [folder] = (root / "data/mixes/hostile").iterdir()
    cards = [(folder / "README.md").read_text(), run("card", "votes")]
    for text in cards:
        assert not acting(text)
        assert elements(rendered(text)) == []
        assert rendered(text).count("<h1>") == 1
    assert yaml.safe_load(cards[0].split("---\n")[1])["license_name"]
    page = (folder / "report.html").read_text()
    assert not acting(page)
    assert elements(page) == []
    for path in [*folder.rglob("*.svg"), *folder.rglob("*.json"), *root.glob("data/pairs/*/*/*.json")]:
        text = path.read_text()
        assert not acting(text), path
        assert path.suffix == ".json" or elements(text) == [], path
        assert path.suffix == ".svg" or json.loads(text), path


def test_a_terminal_gets_only_our_own_codes(root):
    for arguments in (
        ["show", "hostile", "--rows", "99", "--full"],
        ["show", "hostile", "--rows", "99", "--raw-text"],
        ["normalize", "votes", "--raw", "raw", "--workspace", "again", "--workers", "1"],
        ["mix", LABEL],
    ):
        code, output = on_terminal(["-m", "curate", *arguments], root)
        assert code == (1 if LABEL in arguments else 0), output
        assert not acting(output.replace("\r\n", "\n"), terminal=True)
        assert "\x1b]" not in output


def test_what_the_hub_answers_is_printed_inert(root, tmp_path):
    name = "data/a\x1b[31m\u202e[bold]`.jsonl"
    write_manifest(
        tmp_path / "manifests/web.yaml", adapter="preference", files=["data/*.jsonl"], repo="people/web",
        license="mit",
    )  # fmt: skip
    (tmp_path / "data").symlink_to(root / "data")
    with Hub(tmp_path / "hub") as hub:
        hub.add_token("hf_writer", "me")
        row = {"prompt": "Q?", "chosen": "good", "rejected": "bad"}
        hub.add_repo("people/web", {name: json.dumps(row).encode() + b"\n"}, license=LICENSE)
        for command in (
            ("pin", "web"), ("pin", "web", "--check"), ("pin", "web", "--json"),
            ("fetch", "web", "--workspace", "new"), ("normalize", "web", "--workspace", "new"),
            ("publish", "hostile", "me/mix", "--dry-run"),
            ("publish", "hostile", "me/mix"), ("publish", "hostile", "me/mix", "--i-have-the-rights"),
        ):  # fmt: skip
            done = curate(hub, tmp_path, *command, HF_TOKEN="hf_writer")
            assert done.stdout + done.stderr, command
            assert not acting(done.stdout + done.stderr), command
            assert "Traceback" not in done.stderr, command
            assert done.returncode == ("--i-have-the-rights" not in command and command[0] == "publish"), command
        sent = hub.files("me/mix")["README.md"].decode()
        assert not acting(sent)
        assert elements(rendered(sent)) == []
