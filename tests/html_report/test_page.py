"""curate report: one HTML file that opens offline."""

import io
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curate.html_report import charts, sample
from curate.html_report.markup import Shade, heat, percent, table, words
from curate.html_report.pair_cards import SIDE, Pictures, cards
from curate.images.decode import preview
from curate.images.store import ImageStore
from curate.inspect.artefacts import find_mix
from curate.tables import Table
from curate.text.invisible import visible
from curate.workspace import Workspace
from tests.support.finished_work import ids, mix, run, write_rows

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \"q\" 'p' "
    "\u202eevil\u2066 \x1b[31m \x07 \x85 }"
)
MANIFEST = """
adapter: preference
files: ["*.jsonl"]
columns: {images: pictures}
optional: [images]
media: [pictures]
license: mit
annotator: human
repo: people/NAME
"""
RECIPE = """
name: hostile
about: "<b>bold</b> & more"
sources: {forum: all, album: all}
holdout: {rows_per_source: 1}
steps:
  - exact_duplicates
  - near_dedup
  - decontaminate: {text: [bench.txt], images: [bench]}
"""
ESSAY = "The river runs from the hills past the old mill and under the stone bridge to the sea, slowly and wide"
LEAKED = "How many moons does the large ringed planet beyond the asteroid belt have in total"


def two(prompt: str, chosen: str, rejected: str, **more: object) -> dict:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


FORUM = [
    two("Tell of the river.", ESSAY + ".", "No."),
    two("What is this?", HOSTILE + " one two three four", HOSTILE + " one two three five"),
    two("Same in both?", "Yes, it is.", "Not at all."),
    two(LEAKED, "Many.", "None."),
    *(two(f"Count to {n}.", " ".join(map(str, range(n))), "I can not.") for n in range(3, 9)),
]
ALBUM = [
    two("Tell of the river.", ESSAY + "!", "No."),
    two("Same in both?", "Not at all.", "Yes, it is."),
    two("Which colour is it?", "Red, I think.", "Blue, I think.", pictures=["red.png"]),
    two("And which is this?", "Green.", "Pink.", pictures=["green.png"]),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("CURATE_HOME", raising=False)
        (root / "manifests").mkdir()
        (root / "bench").mkdir()
        for name, rows in (("forum", FORUM), ("album", ALBUM)):
            write_rows(root / f"raw/{name}/a.jsonl", rows)
            (root / f"manifests/{name}.yaml").write_text(MANIFEST.replace("NAME", name))
        (root / "raw/album/pictures").mkdir()
        draw(root / "raw/album/pictures/red.png", (200, 30, 30))
        draw(root / "raw/album/pictures/green.png", (30, 200, 30))
        shutil.copy(root / "raw/album/pictures/green.png", root / "bench/leak.png")
        (root / "bench.txt").write_text(LEAKED + "\n")
        mix(RECIPE)
        run("report", "hostile", "--workers", "1", "--out", "whole.html", "--workspace", str(root / "data"))
    return root


def draw(path: Path, colour: tuple[int, int, int]) -> None:
    """A picture of that colour with a shape of its own, so that no two are alike."""
    pixels = np.zeros((48, 64, 3), np.uint8) + np.array(colour, np.uint8)
    pixels[:, : 8 + colour[0] // 8] //= 3
    Image.fromarray(pixels).save(path)


@pytest.fixture
def here(made, monkeypatch):
    monkeypatch.chdir(made)
    return made


def text_of(here: Path) -> str:
    return (here / "whole.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Every element with its attributes, and the text below each id; raises where tags do not match."""

    VOID = ("meta", "link", "img")

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict]] = []
        self.elements: list[tuple[str, dict]] = []
        self.texts: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes), f"an attribute twice in {tag}"
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append((tag, dict(attributes)))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, attributes in self.open:
            if "id" in attributes:
                self.texts[attributes["id"]] = self.texts.get(attributes["id"], "") + data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def section(text: str, name: str) -> str:
    """The markup of one section."""
    found = re.search(f'<section id="{name}".*?</section>', text, re.DOTALL)
    assert found is not None
    return found[0]


# ------------------------------------------------------------------------------------------- the document


def test_the_report_is_one_document_that_refers_to_nothing_outside(here):
    page = Page(text_of(here))
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    for _, attributes in page.elements:
        assert attributes.get("aria-labelledby", names[0]) in names
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:")), attributes
        assert not any(name.startswith("on") for name in attributes)
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= set(names)
    [style] = re.findall("<style>(.*?)</style>", text_of(here), re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    assert (here / "whole.html").stat().st_size < 200_000


def test_headings_tables_and_pictures_can_be_understood_without_seeing(here):
    page = Page(text_of(here))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert len(page.all("caption")) == len(page.all("table")) > 5
    assert all(head["scope"] in ("col", "row") for head in page.all("th"))
    assert len(page.all("img")) == 1
    assert all(picture["alt"].startswith("image, 64x48 PNG") for picture in page.all("img"))
    assert page.all("html") == [{"lang": "en"}]


def test_hostile_text_stays_text(here):
    text = text_of(here)
    page = Page(text)
    assert len(page.all("script")) == 1
    assert not any(picture.get("src") == "x" for picture in page.all("img"))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert "script><script>alert(1)</script>" in page.texts["pairs"]
    assert "\\u202eevil\\u2066 ␛[31m ␇ \\u0085" in page.texts["pairs"]
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; more" in text
    [policy] = [x["content"] for x in page.all("meta") if x.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-")


def test_a_mix_and_a_seed_give_the_same_bytes(here, tmp_path):
    def report(name: str, *more: str) -> bytes:
        run("report", "hostile", "--workers", "1", "--out", str(tmp_path / name), *more)
        return (tmp_path / name).read_bytes()

    assert report("again.html", "--seed", "0") == (here / "whole.html").read_bytes()
    few = ("--quick", "--pairs", "2")
    assert report("few.html", *few) != report("other.html", *few, "--seed", "5")


def test_the_command_says_where_the_report_is(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = find_mix("hostile", Workspace(here / "data")).directory / "report.html"
    done = run("report", "hostile", "--quick", "--pairs", "0", "--workspace", str(here / "data"))
    assert done.lines == [str(path)]
    assert done.messages == ["0.0 MB; open it in a browser"]
    text = path.read_text()
    assert text.count("Not computed: run curate report without --quick.") == 4
    assert "<article" not in text


# ----------------------------------------------------------------------------------------------- what it says


def test_the_funnel_and_the_decontamination(here):
    text = text_of(here)
    assert "forum, dropped: decontaminate: 1" in section(text, "funnel")
    assert "album, dropped: near_dedup: 1" in section(text, "funnel")
    assert "dropped: exact_duplicates" in section(text, "funnel")
    leaks = section(text, "decontamination")
    assert '<th scope="row">prompt</th><td>the prompt of an item</td><td class="number">1</td>' in leaks
    assert f"100% of its text in prompt: {LEAKED}" in leaks
    assert "bench leak.png: its image" in leaks
    assert "No other step flagged a pair." in section(text, "flagged")


def test_what_the_sources_have_in_common_before_anything_was_dropped(here):
    text = text_of(here)
    exact, near = re.findall(r"<caption>Overlap, (?:exact|near).*?</table>", section(text, "overlap"), re.DOTALL)
    assert 'title="1 of 10 pairs">10.0 %' in exact
    assert 'title="2 of 4 pairs">50.0 %' in near, "a reversed pair counts"
    assert "Overlap, image (an image of both; of an eval set, also a copy of one): none." in section(
        text, "overlap"
    )
    assert ">50.0 %" in section(text, "agreement")
    assert "Share of pairs that each ruler wins, by source" in section(text, "rulers")


def test_a_pair_has_its_replies_side_by_side_with_the_difference_marked(here):
    text = section(text_of(here), "pairs")
    assert "one two three <ins>four</ins>" in text
    assert "one two three <del>five</del>" in text
    assert text.count("<article") == 9


def test_a_dropped_pair_stands_beside_its_winner(here):
    text = section(text_of(here), "dropped")
    assert text.count("<article") == 3
    [lost] = [x for x in text.split("<article")[1:] if "near_dedup/near_duplicate" in x]
    assert ids("album")["a.jsonl:1"] in lost
    assert f"lost to {ids('forum')['a.jsonl:1']}" in lost
    assert "jaccard prompt 1.000" in lost
    assert '<h4 class="role">dropped</h4><p class="facts">album, a.jsonl:1</p>' in lost
    assert '<h4 class="role">winner</h4><p class="facts">forum, a.jsonl:1</p>' in lost
    assert "<ins>wide.</ins>" in lost
    assert "<del>wide!</del>" in lost
    winners = [line for line in run("show", "hostile", "--dropped", "near_dedup").lines if "a.jsonl:1)" in line]
    assert winners == ["  (forum, a.jsonl:1)"]
    [leak] = [x for x in text.split("<article")[1:] if "decontaminate/prompt" in x]
    assert f"100% of its text in prompt: {LEAKED}" in leak


@pytest.mark.usefixtures("here")
def test_a_sample_has_as_many_of_every_source_and_a_larger_one_holds_it():
    found = find_mix("hostile", Workspace(Path("data")))
    drawn = {n: sample.mixed(found, n, 0) for n in (4, 8)}
    sources = [item["pair"]["source"] for item in drawn[4]]
    assert {"album", "forum"} == {*sources}
    later = [item["pair"]["source"] for item in drawn[8]]
    assert later not in (sorted(later), sorted(later, reverse=True)), "not source by source"
    assert sources.count("album") == min(2, sum(x["pair"]["source"] == "album" for x in drawn[8]))
    ids = [{item["pair"]["pair_id"] for item in items} for items in drawn.values()]
    assert ids[0] < ids[1]
    assert [x["pair"]["pair_id"] for x in sample.mixed(found, 4, 1)] != [x["pair"]["pair_id"] for x in drawn[4]]


# --------------------------------------------------------------------------------------------------- its pieces


@given(st.text())
def test_words_are_never_markup(text):
    escaped = words(text)
    assert unescape(escaped) == visible(text)
    assert not re.search("[<>\"'\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", escaped)


def test_tables_escape_and_align():
    made = table(Table("<t>", ("a", "n", "share"), [("<x>", 1234, "1.0 %"), ("y", None, "–")], ("all", 1234, "")))
    assert "<caption>&lt;t&gt;</caption>" in made
    assert (
        '<tr><th scope="row">&lt;x&gt;</th><td class="number">1,234</td><td class="number">1.0 %</td></tr>' in made
    )
    assert '<td class="number">–</td>' in made
    shades = heat("h", "", ["<c>"], [("r", [Shade("5", -0.5, '"more"')])])
    assert '<td class="less" style="--depth:40%" title="&quot;more&quot;">5</td>' in shades
    assert [percent(x) for x in (None, 0, 0.0004, 0.118, 1)] == ["–", "0.0 %", "<0.1 %", "11.8 %", "100.0 %"]


def test_a_flow_is_as_tall_as_its_pairs():
    ends = {"a<b": {"in the mix": 30, "dropped: x": 10}, "c": {"in the mix": 40}, "none": {}}
    made = charts.flow("f", ends, {"in the mix": ", 90 with repeats"})
    assert "in the mix  70, 90 with repeats" in made
    assert "<title>a&lt;b, dropped: x: 10</title>" in made
    tall = [float(x) for x in re.findall(r'<rect x="\d+\.0" y="[\d.]+" width="10.0" height="([\d.]+)"', made)]
    assert tall == [190.0, 190.0, 332.5, 47.5]
    assert "none" not in made


def noise(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), np.uint8))


def saved(image: Image.Image, kind: str, **more: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def test_a_preview_is_small_upright_and_opaque():
    data, *size = preview(saved(Image.new("RGBA", (40, 20), (255, 0, 0, 0)), "PNG"), SIDE)
    assert size == [40, 20]
    with Image.open(io.BytesIO(data)) as image:
        assert image.convert("RGB").getpixel((5, 5)) == (255, 255, 255)
    turned = Image.Exif()
    turned[0x0112] = 6
    assert preview(saved(Image.new("RGB", (640, 480)), "JPEG", exif=turned), SIDE)[1:] == (168, 224)
    for mode in ("L", "P", "I;16", "CMYK", "1", "LA"):
        kind = "JPEG" if mode == "CMYK" else "PNG"
        assert preview(saved(Image.new(mode, (300, 30)), kind), SIDE)[1:] == (224, 22)


def test_a_thousand_pairs_with_pictures_are_below_30_mb(tmp_path):
    """Also where every picture is noise and every text is long."""
    store = ImageStore(tmp_path / "images")
    with store.writer() as writer:
        key = writer.put(saved(noise((640, 480)), "PNG")).key
    nothing = ("row", "license", "annotator", "revision", "category", "repeat", "margin", "chosen_score")
    nothing += ("rejected_score", "chosen_critique", "rejected_critique")
    pair = {
        **dict.fromkeys(nothing),
        **{side: turns_of("& <tags> and words. " * 4000) for side in ("prompt", "chosen")},
        "rejected": turns_of("& <tags> or words. " * 4000),
        "media": [{"kind": "image", "keys": [key]}],
        "pair_id": "0" * 32,
        "source": "s",
    }
    made = cards([{"pair": pair, "at": "here"}], Pictures(store, {}), {}, "p")
    assert "<img" in made
    assert len(made.encode()) < 30_000


def turns_of(text: str) -> list[dict]:
    return [{"role": "user", "content": [{"type": "text", "text": text}]}]


# -------------------------------------------------------------------------------------------------- a browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NARROW = """<script>
const select = document.querySelector("#pairs select");
select.value = "album";
select.dispatchEvent(new Event("input"));
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_shows_it_without_a_complaint_and_the_filter_narrows(here, tmp_path):
    text = text_of(here)
    without_policy = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    (tmp_path / "narrow.html").write_text(without_policy.replace("</body>", NARROW), encoding="utf-8")
    shown, narrowed = (opened(path, tmp_path) for path in (here / "whole.html", tmp_path / "narrow.html"))
    assert "9 of 9 shown" in shown
    assert shown.count('<form class="filter"') == 2
    albums = section(text, "pairs").count('data-source="album"')
    assert f"{albums} of 9 shown" in narrowed
    assert narrowed.count(' hidden=""') == 9 - albums


def opened(path: Path, scratch: Path) -> str:
    """The document after a browser has run it; nothing may have been said on its console."""
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom")
    command = [str(CHROMIUM), *flags, f"--user-data-dir={scratch}/profile", f"file://{path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    return done.stdout
