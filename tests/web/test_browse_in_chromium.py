"""The browse page in a real browser: a tour by mouse and keyboard, at two widths, light and dark; hostile texts.

apt-get install chromium; pip install -e '.[browser]'; pytest -m slow tests/web/test_browse_in_chromium.py
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curate.labels import read_labels
from tests.support.browsing import FIRST, RECIPE, SECOND
from tests.support.browsing import talks as talks
from tests.support.finished_work import mix, run

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install -e '.[browser]'"
)
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore"),
]
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
           "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip
SHOTS = os.environ.get("CURATE_SHOTS")
"""A directory for screenshots, for people to look at."""

CONTRAST = """() => {
  const linear = (x) => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4;
  const light = (c) => { const [r, g, b] = c.map((x) => linear(x / 255));
    return .2126 * r + .7152 * g + .0722 * b; };
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
  const low = [];
  const seen = "a, h1, h2, h3, h4, p, li, button, label, code, kbd, summary, output, ins, del, mark, .count";
  for (const e of document.querySelectorAll(seen)) {
    if (!e.innerText?.trim() || !e.checkVisibility()) continue;
    const a = light(parse(getComputedStyle(e).color).slice(0, 3)), b = light(behind(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) low.push(`${e.tagName} ${e.className} ${ratio.toFixed(2)}`);
  }
  return low; }"""
NAMELESS = """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), select, img")]
  .filter((e) => !(e.textContent?.trim() || e.labels?.length || e.getAttribute("aria-label") || e.alt))
  .map((e) => e.outerHTML)"""


@pytest.fixture(scope="module")
def server(talks):
    """The address of `curate browse` in a process of its own, and its label file."""
    labels = talks / "tour.jsonl"
    command = [sys.executable, "-m", "curate", "browse", "talks", "--port", "0", "--who", "ada", "--raw", "raw",
               "--labels", str(labels)]  # fmt: skip
    with subprocess.Popen(command, cwd=talks, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if found := re.search(r"http://\S+", line):
                break
        else:
            raise AssertionError("the server did not start")
        yield found[0], labels
        process.terminate()


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


class Visit:
    """A page, with what went wrong on it and where it asked."""

    def __init__(self, chromium, address: str, width: int, scheme: str):
        self.address, self.name = address, f"{width}-{scheme}"
        self.context = chromium.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.problems, self.asked = [], []
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: self.problems.append(f"dialog {dialog.message}"))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def go(self, path: str) -> None:
        self.page.goto(self.address + path)
        self.page.wait_for_load_state("networkidle")

    def shot(self, name: str) -> None:
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{SHOTS}/{name}-{self.name}.png")

    def check(self) -> None:
        """Nothing wrong, nothing asked elsewhere, no sideways scrolling, contrast and names for all."""
        width = self.page.viewport_size["width"]
        assert self.page.evaluate("document.documentElement.scrollWidth") <= width
        assert self.page.evaluate(CONTRAST) == []
        assert self.page.evaluate(NAMELESS) == []
        assert self.problems == []
        assert [url for url in self.asked if not url.startswith((self.address, "data:"))] == []

    def total(self) -> str:
        return self.page.locator(".status").inner_text()


def until(page, expression: str) -> None:
    """Wait until the expression is true; the page's policy lets no script of ours wait inside it."""
    deadline = time.monotonic() + 20
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        time.sleep(0.05)


def test_the_tour(talks, server, chromium, monkeypatch):
    address, labels = server
    visit = Visit(chromium, address, 1280, "light")
    page = visit.page
    visit.go("/")  # open
    assert f"of {len(FIRST) + len(SECOND)} pairs" in visit.total()
    visit.shot("open")
    page.get_by_role("link", name="second", exact=True).click()  # filter
    assert f"of {len(SECOND)} pairs" in visit.total()
    assert "f=source%3Asecond" in page.url
    page.get_by_role("link", name="clear all filters").click()
    page.get_by_label("words, or the beginning of an id").fill("red square")  # search
    page.keyboard.press("Enter")
    page.wait_for_url("**q=red**")
    until(page, "!document.querySelector('[data-searching]')")
    assert "1 to 1 of 1 pairs" in visit.total()
    picture = page.locator("article img")  # look at an image pair
    until(page, "document.querySelector('article img')?.naturalWidth > 0")
    assert picture.get_attribute("alt") == "image 1 of 1"
    page.locator("a.zoom").click()
    until(page, "document.querySelector('dialog[open] img')?.naturalWidth == 160")
    visit.shot("zoom")
    page.keyboard.press("Escape")
    page.locator("article h3 a").click()  # why
    page.wait_for_url("**/pair/**")
    page.get_by_role("link", name="What every mix did with this pair").click()
    assert "mix talks@" in page.locator("pre.lines").inner_text()
    visit.shot("why")
    visit.check()
    visit.go("/")  # label blind, by keyboard
    page.get_by_label("blind").check()
    page.wait_for_url("**blind=1**")
    assert page.get_by_text("rejected", exact=True).count() == 0
    for number, key in enumerate("12tb"):
        page.keyboard.press("j")
        page.keyboard.press(key)
        card = page.locator("article").nth(number)
        card.locator(f'button[value="{key}"][aria-pressed="true"]').wait_for()
        assert card.locator("output").inner_text() == "labelled"
    visit.shot("blind")
    rows = read_labels(labels)
    assert [row.label for row in rows[2:]] == ["tie", "bad"]
    assert {row.label for row in rows[:2]} <= {"agree", "flip"}
    visit.check()
    monkeypatch.chdir(talks)  # use the labels in a recipe
    mix(RECIPE.replace("name: talks", "name: labelled") + "  - labels: {file: tour.jsonl}\n")
    history = run("why", rows[3].pair_id).text
    assert "labels/bad" in history.partition("mix labelled")[2]
    [lock] = (talks / "data/mixes/labelled").glob("*/lock.json")
    dropped = json.loads(lock.read_text())["funnel"]
    assert sum(account["dropped"].get("labels/bad", 0) for account in dropped.values()) == 1


def test_everything_but_keys_works_without_scripts(server, chromium):
    address, labels = server
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/?f=category:sums&who=eve")
    page.get_by_label("note").first.fill("seen")
    page.get_by_role("button", name="flip").first.click()
    page.wait_for_url(f"{address}/?f=category%3Asums&who=eve")
    assert page.locator('button[value="2"][aria-pressed="true"]').count() == 1
    row = read_labels(labels)[-1]
    assert (row.label, row.note, row.who) == ("flip", "seen", "eve")
    page.locator("a.zoom, article h3 a").first.click()
    page.wait_for_url("**/pair/**")
    context.close()


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_readable_and_inert(server, chromium, width, scheme):
    visit = Visit(chromium, server[0], width, scheme)
    visit.go("/?f=reason:label_conflicts/cycle")
    cycle = visit.page.locator("article h3 a").get_attribute("href")
    paths = {"list": "/", "how": "/?q=How", "raw": "/?q=How&way=raw", "dropped": "/?f=outcome:dropped",
             "cycle": cycle, "evals": "/evalset/vl_rewardbench?a=0&b=1", "labels": "/labels",
             "hostile": "/?f=category:hostile", "hostile2": "/?f=category:hostile&page=2&way=raw"}  # fmt: skip
    for name, path in paths.items():
        visit.go(path)
        visit.shot(name)
        visit.check()
    assert visit.page.locator("main script, main svg, main iframe").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_is_readable_on_a_phone(talks, chromium, monkeypatch, tmp_path, scheme):
    here = shutil.copytree(
        talks, tmp_path / "talks", ignore=shutil.ignore_patterns("audits")
    )  # theirs is no audit
    monkeypatch.chdir(here)
    run("report", "talks", "--raw", "raw", "--out", "report.html")
    visit = Visit(chromium, f"file://{here}", 400, scheme)
    visit.go("/report.html")
    visit.page.evaluate("document.querySelectorAll('details').forEach((e) => e.open = true)")
    visit.shot("report")
    visit.check()
    cut = visit.page.evaluate("""() => [...document.querySelectorAll(".wide")].filter((e) =>
    e.querySelector("table"))
      .map((e) => { e.scrollLeft = 9999; const left = e.getBoundingClientRect().left;
        return [...e.querySelectorAll("tbody tr > th, caption")].filter((x) =>
          x.getBoundingClientRect().left < left - 1 || x.getBoundingClientRect().right > innerWidth).length; })""")
    assert len(cut) > 5
    assert sum(cut) == 0  # what a row is stays there when its columns move
