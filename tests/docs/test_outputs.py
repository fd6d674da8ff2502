"""The outputs that README and the pages show are what their commands print on the bundled samples."""

import os

import pytest

from docs import outputs


@pytest.fixture(autouse=True)
def _one_cpu():
    """One worker: the outputs are the same with any number, and one needs no processes of its own."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def differing(home, *, slow):
    ran = list(outputs.ran(home, slow=slow))
    wrong = [
        f"{block.page.name}: $ {line}\n--- in_page\n{in_page}--- now\n{now}"
        for block, line, in_page, now in ran
        if not outputs.agrees(in_page, now)
    ]
    hint = "python -m docs.outputs puts what is printed now into the pages"
    assert not wrong, "\n".join([*wrong, hint])
    return [line for _, line, _, _ in ran]


def test_the_outputs_of_the_pages_are_those_of_their_commands(tmp_path):
    lines = differing(tmp_path, slow=False)
    assert {"curate mix quickstart", "curate diff quickstart mine", "curate mix votes"} <= set(lines)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_those_that_take_longer_too_and_the_mix_opens_as_the_first_hour_says(tmp_path, monkeypatch):
    differing(tmp_path, slow=True)
    monkeypatch.chdir(tmp_path)
    page = outputs.HERE / "pages" / "first-hour.md"
    [snippet] = [block.text for block in outputs.blocks(page) if block.kind == "python"]
    known = {}
    exec(snippet, known)
    assert known["mix"].num_rows == 279
    assert known["mix"][0]["prompt"][0]["role"] == "user"


def test_what_a_page_shows_is_compared_line_by_line():
    now = "plan\nmmpr  36  30\nall   40  32\nbuilt: data/mixes/a/48d37bf9a503e634\n"
    assert outputs.agrees(now, now)
    assert outputs.agrees("plan\n...\nall   40  32\nbuilt: data/mixes/a/0123456789abcdef\n", now)
    assert outputs.agrees("...\nall 40 32\n...\n", now)
    assert not outputs.agrees("plan\nall   40  32\nbuilt: data/mixes/a/48d37bf9a503e634\n", now)
    assert not outputs.agrees(now.replace("36", "37"), now)
    assert not outputs.agrees(now + "more\n", now)
    assert not outputs.agrees("", now)


def test_an_output_that_changed_is_written_into_its_page():
    page = "Text\n\n```console\n$ curate a\nold\n$ curate b\nx\n```\n\nMore\n"
    assert outputs.written(page, {"curate a": "1\n2\n"}) == page.replace("old", "1\n2")
    assert outputs.written(page, {"curate b": "y\n"}) == page.replace("x\n", "y\n")
