"""The page to look at pairs: what it shows, what it refuses, and the labels that it writes."""

import asyncio
import html
import json
import re
from urllib.parse import quote, urlencode

import numpy as np
import pytest

from curate.errors import ConfigError
from curate.inspect.text_diff import differences, plain
from curate.labels import read_labels
from curate.web.browse.labelling import LabelBook, is_swapped
from curate.web.browse.rich_text import text_html
from curate.web.browse.routes import label_of
from curate.web.browse.search import Search, terms_of
from curate.web.browse.site import targets
from curate.web.browse.state import State
from curate.workspace import Workspace
from tests.support.browse_pages import OWN, facets, found_by, ids, label, total
from tests.support.browsing import FIRST, SECOND, browser, lock, visiting
from tests.support.browsing import talks as talks
from tests.support.finished_work import write_rows
from tests.support.hostile import HOSTILE


@pytest.fixture(scope="module")
def app(talks):
    return browser(talks, talks / "labels.jsonl")


@pytest.fixture(scope="module")
def client(app):
    with visiting(app) as found:
        yield found


def test_counts_are_those_of_the_lock(client, talks):
    page, funnel = client.get("/").text, lock(talks)["funnel"]
    found = facets(page)
    assert total(page) == len(FIRST) + len(SECOND)
    assert found["source"] == {name: account["pairs"] for name, account in funnel.items()}
    dropped = {}
    for account in funnel.values():
        for reason, count in account["dropped"].items():
            dropped[reason] = dropped.get(reason, 0) + count
    assert {name: count for name, count in found["reason"].items() if name != "none"} == dropped
    outcomes = {name: sum(account[field] for account in funnel.values()) for name, field in
                (("in the mix", "selected"), ("held out", "held_out"))}  # fmt: skip
    assert outcomes.items() <= found["outcome"].items()
    assert found["outcome"]["dropped"] == sum(dropped.values())
    assert found["category"] == {
        "hostile": len(HOSTILE),
        "none": len(FIRST) + len(SECOND) - len(HOSTILE) - 2,
        "sums": 2,
    }
    # a filter narrows the other facets and not its own
    narrowed = facets(client.get("/", params={"f": "source:second"}).text)
    assert narrowed["source"] == found["source"]
    assert sum(narrowed["outcome"].values()) == len(SECOND)


def test_the_mix_comes_first_in_its_order(client, talks):
    import pyarrow.parquet as pq

    [shard] = (talks / "data/mixes/talks").glob("*/shard-00000.parquet")
    mixed = pq.read_table(shard)["pair_id"].to_pylist()
    assert ids(client.get("/").text) == mixed[:10]
    assert ids(client.get("/?page=2").text)[: len(mixed) - 10] == mixed[10:20]
    assert ids(client.get("/?page=99").text) == []


def test_filters_search_and_order_find_what_they_say(client, app):
    table = app.site.view().table
    dropped = found_by(client, f="outcome:dropped")
    assert len(dropped) == int((table.facets["outcome"].codes == 3).sum())
    assert len(found_by(client, q="über")) == len(found_by(client, q="ÜBER means")) == 1
    assert len(found_by(client, q='"a blue square"')) == 1
    assert found_by(client, q="blue green") == []
    one = found_by(client, q="PARIS")[0]
    assert found_by(client, q=one[:9]) == found_by(client, q=one) == [one]
    ratios = [
        float(table.numbers["length_ratio"][table.rows_of(one)[0]])
        for one in found_by(client, order="-length_ratio")
    ]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] == table.numbers["length_ratio"].max()
    margins = found_by(client, order="margin")  # those without a margin are last
    assert [float(table.numbers["margin"][table.rows_of(one)[0]]) for one in margins[:3]] == [0.5, 2.0, 2.0]
    assert found_by(client, f="nothing:here") == []


def test_cached_scores_and_rulers_are_facets_and_orders(client):
    page = client.get("/").text
    assert facets(page)["language"] == {"en": len(FIRST) + len(SECOND) - 1, "de": 1}
    assert found_by(client, f="language:de") == found_by(client, q="über")
    assert "language_score, largest first" in page
    assert sum(facets(page)["language_score"].values()) == len(FIRST) + len(SECOND)
    assert len(facets(page)["language_score"]) == 5
    longest = found_by(client, order="-ruler: code_blocks")
    assert len(longest) == 10
    page = client.get("/", params={"order": "-ruler: longer"}).text
    found = [int(float(one)) for one in re.findall(r"<li>ruler: longer ([-\d.e+]+)</li>", page)]
    assert found == sorted(found, reverse=True)
    assert found[0] == max(len(row["chosen"]) - len(row["rejected"]) for row in [*FIRST, *SECOND])


def test_scores_of_models_and_review_sheets_are_looked_at(client):
    page = client.get("/").text
    assert facets(page)["score mine"]["none"] == len(FIRST) + 1
    best = found_by(client, order="-score mine")
    card = client.get("/", params={"order": "-score mine"}).text.partition("</article>")[0]
    assert "<li>score mine 1.5</li>" in card
    assert found_by(client, f="drawn for review by:one") == best[:1]


def test_a_pair_shows_what_became_of_it(client):
    [lost, *_] = found_by(client, f="reason:exact_duplicates/duplicate_pair")
    page = client.get(f"/pair/{lost}?why=1").text
    assert "Beside the pair that it lost to" in page
    assert "mix talks@" in page
    assert "dropped: exact_duplicates/duplicate_pair" in page
    [won] = re.findall(r'lost to <a href="/pair/([0-9a-f]{32})', page)
    assert "1 pair lost to this one" in client.get(f"/pair/{won}").text
    assert set(found_by(client, cluster=won)) == {won, lost}
    [cycle] = found_by(client, f="reason:label_conflicts/cycle")
    page = client.get(f"/pair/{cycle}").text
    assert "3 pairs have this prompt" in page
    assert re.findall(r"</a> ([A-C] &gt; [A-C])", page) == ["A &gt; B", "B &gt; C", "C &gt; A"]
    assert len(found_by(client, prompt=cycle)) == 3
    [leaked] = found_by(client, f="reason:decontaminate/prompt")
    page = client.get(f"/pair/{leaked}").text
    address = html.unescape(re.search(r'<a href="(/evalset/vl_rewardbench\?item=[^"]*)"', page)[1])
    assert "1 of 3 items" in client.get(address).text
    missing = client.get(f"/pair/{'0' * 32}")
    assert missing.status_code == 404
    assert "no pair" in missing.text


def test_pictures_are_at_their_places_and_drawn_anew(client):
    page = client.get("/", params={"f": "media:images or video"}).text
    assert re.search(r"user</h4>\s*<figure class=\"media\"><a class=\"zoom\"", page)
    [address] = re.findall(r'href="(/image/[0-9a-f]{32}/large)"', page)
    for path in (address, address.replace("large", "small")):
        found = client.get(path)
        assert (found.status_code, found.headers["content-type"]) == (200, "image/jpeg")
        assert found.content[:2] == b"\xff\xd8"
    for path in (f"/image/{'0' * 32}/large", address.replace("large", "raw"), "/image/..%2f/large"):
        assert client.get(path).status_code == 404


def test_eval_sets_say_who_is_right(client):
    page = client.get("/evalset/vl_rewardbench", params={"a": "0", "b": "1", "outcome": "only A right"}).text
    assert "1 of 3 items" in page
    assert "wildvision-0" in page
    page = client.get("/evalset/vl_rewardbench", params={"a": "0", "b": "1", "outcome": "both wrong"}).text
    assert "1 of 3 items" in page
    assert "alert(2)&lt;/script&gt;" in page
    assert client.get("/evalset/rewardbench").status_code == 404
    [small] = re.findall(r'src="(/evalimage/vl_rewardbench/3/0/0/small)"', page)
    found = client.get(small)
    assert (found.headers["content-type"], found.content[:2]) == ("image/jpeg", b"\xff\xd8")
    for path in ("vl_rewardbench/3/1/0/small", "vl_rewardbench/9/0/0/small", "rewardbench/3/0/0/small"):
        assert client.get(f"/evalimage/{path}").status_code == 404


def test_texts_are_inert(client):
    pages = [client.get("/", params={"f": "category:hostile", "page": page, "way": way}).text
             for page in (1, 2) for way in ("rendered", "raw")]  # fmt: skip
    for page in pages:
        inside = page.partition('<main id="main">')[2]
        tags = set(re.findall(r"<(/?[a-zA-Z!][\w-]*)", inside))
        assert not tags & {"script", "svg", "iframe", "style", "object", "!--"}, tags
        assert "<img" not in inside
        assert all(
            href.startswith(("/", "#main")) for href in re.findall(r'href="([^"]*)"', page) if href != "data:,"
        )
        assert not re.search(r'\son\w+="|\sstyle="', inside)
        assert not set(inside) & set("\x1b\x07\u202e\u2066\x9b")
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    for path in ("/", "/labels", "/page.css", "/nowhere/such"):
        headers = client.get(path).headers
        assert path == "/nowhere/such" or headers["x-content-type-options"] == "nosniff"
    for query in ({"q": "<script>"}, {"who": '"><script>'}, {"f": "a:<script>"}, {"order": "<script>"}):
        assert "<script>" not in client.get("/", params=query).text.replace('<script src="/browse.js" defer>', "")


def test_markdown_is_drawn_and_words_that_differ_are_marked():
    left, right = differences(FIRST[5]["chosen"], FIRST[5]["rejected"])
    drawn = text_html(left, "rendered")
    assert '<ol>\n<li><strong><ins>Add</ins></strong> <code class="math">$a_1 * b$</code></li>' in drawn
    assert '<span class="link">here</span> <span class="url">(https://evil.example)</span>' in drawn
    assert "<pre><code>print(&#x27;&lt;b&gt;&#x27;)\n</code></pre>" in drawn
    assert "<del>Take</del>" in text_html(right, "rendered")
    assert "<mark>Take</mark>" in text_html(right, "rendered", alike=True)
    assert text_html(left, "raw").startswith('<p class="text" dir="auto"># Steps\n\n1. <ins>**Add**</ins>')
    assert "<ins>" not in text_html(plain("\ue000fake\ue001"), "rendered")
    assert "<script" not in text_html(plain("![x](javascript:a) [y](javascript:b) <script>"), "rendered")
    assert 'style="' not in text_html(plain("| a |\n|:-:|\n| b |"), "rendered")


def test_the_url_is_the_state():
    query = [("f", "source:a"), ("f", "margin:0 to 0.5"), ("q", "two words"), ("order", "-margin"), ("way", "raw"),
             ("blind", "1"), ("page", "3"), ("who", "bob")]  # fmt: skip
    state = State.read(query)
    assert sorted(state.items()) == sorted(query)
    assert state.toggled("source", "a") == (("margin", "0 to 0.5"),)
    assert State.read([("page", "-1"), ("way", "x"), ("f", "none"), ("z", "1")]) == State()
    assert terms_of('one "two three" "four') == ["one", "two three", "four"]


ODD = (
    "",
    "\0",
    '"',
    "%",
    "\u0663",
    "\u00b2",
    "9" * 5000,
    "-1",
    "1e9",
    "page:",
    "ruler: ",
    "\u202e",
    "-margin",
    "0" * 32,
)


def test_odd_values_in_an_address_are_no_fault(client):
    [image] = set(re.findall(r"/image/([0-9a-f]{32})/", client.get("/?f=media%3Aimages+or+video").text))
    pair_id = ids(client.get("/").text)[0]
    names = ("q", "f", "order", "page", "who", "prompt", "cluster", "a", "item", "outcome")
    addresses = [f"/{path}?{urlencode(dict.fromkeys(names, one))}" for one in ODD
                 for path in ("", f"pair/{pair_id}", "evalset/vl_rewardbench")]  # fmt: skip
    addresses += [f"/pair/{pair_id}?{urlencode({'arm': one})}" for one in ODD]
    for one in map(quote, ODD):
        addresses += [f"/pair/{one}", f"/evalset/{one}", f"/image/{image}/{one}", f"/image/{one}/small"]
        addresses += [f"/evalimage/vl_rewardbench/{one}/0/0/small", f"/evalimage/vl_rewardbench/3/{one}/0/small"]
    assert {client.get(address).status_code for address in addresses} == {200, 404}


def test_labels_are_appended_by_this_page_only(talks, tmp_path):
    path = tmp_path / "labels.jsonl"
    with visiting(browser(talks, path)) as client:
        first, second, third = found_by(client)[:3]
        for headers in (
            {},
            {"Origin": "http://evil.example"},
            OWN | {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "null"},
        ):
            assert label(client, first, "1", headers).status_code == 403
        assert client.get("/label").status_code == 405
        assert label(client, "0" * 32, "1").json() == {"error": "no such pair here"}
        assert label(client, first, "x").status_code == 400
        assert "note has 4,001" in label(client, first, "1", note="n" * 4001).json()["error"]
        assert label(client, first, "1", note="n" * 70_000).status_code == 413
        assert not path.exists()
        back = label(client, first, "2", note="why?")
        assert (back.status_code, back.headers["location"]) == (303, "/?page=2")
        assert label(client, first, "t", back="//evil.example").headers["location"] == "/"
        answer = label(client, second, "b", OWN | {"Accept": "application/json"}, who="bob")
        assert answer.json() == {"labels": "bob: bad", "pressed": "b"}
        label(client, second, "t")
        label(client, third, "1"), label(client, third, "1", who="bob")
        rows = [(row.pair_id, row.label, row.note, row.who) for row in read_labels(path)]
        assert rows[:3] == [(first, "flip", "why?", "ada"), (first, "tie", "", "ada"), (second, "bad", "", "bob")]
        counted = {"not labelled": len(FIRST) + len(SECOND) - 3, "agree": 1, "tie": 1, "labellers disagree": 1}
        assert facets(client.get("/").text)["label"] == counted
        assert set(found_by(client, f="label:tie")) == {first}
        page = client.get("/labels").text
        assert "Cohen" in page
        assert re.search(r"ada</th><td>bob</td><td[^>]*>2</td><td[^>]*>1</td>", page)
    again = LabelBook(path)
    assert again.counts() == {"ada": 3, "bob": 2}


def test_labels_of_others_are_seen_at_once(talks, tmp_path):
    path = tmp_path / "labels.jsonl"
    with visiting(browser(talks, path)) as client:
        first, second = found_by(client)[:2]
        label(client, first, "t")
        other = LabelBook(path)
        other.add(second, "bad", "", "bob")
        assert set(found_by(client, f="label:bad")) == {second}
        label(client, second, "t", who="bob")  # after a line that this process has not written itself
        other.refresh()
        assert set(found_by(client, f="label:tie")) == {first, second}
        assert {row.label for row in other.of(second).values()} == {"tie"}
        path.write_text(path.read_text().replace('"tie"', '"bad"', 1))  # as long as it was
        assert set(found_by(client, f="label:bad")) == {first}
        with open(path, "a") as file:
            file.write("no label\n")
        page = client.get("/")
        assert (page.status_code, "labels.jsonl, line 4: not JSON" in page.text) == (404, True)
        path.unlink()
        assert "label" not in facets(client.get("/").text)  # a facet of one value is not shown
        label(client, first, "b")
        assert [row.label for row in read_labels(path)] == ["bad"]


def test_a_label_that_does_not_arrive_is_given_up(talks, tmp_path, monkeypatch):
    app = browser(talks, tmp_path / "l").app()
    monkeypatch.setattr("curate.web.browse.routes.BODY_SECONDS", 0.05)
    sent = []

    async def never():
        await asyncio.sleep(9)

    async def send(message):
        sent.append(message)

    headers = {"host": "127.0.0.1:8001", "origin": "http://127.0.0.1:8001", "content-length": "9",
               "content-type": "application/x-www-form-urlencoded"}  # fmt: skip
    scope = {"type": "http", "method": "POST", "path": "/label", "raw_path": b"/label", "query_string": b"",
             "root_path": "", "scheme": "http", "http_version": "1.1", "client": None, "server": None,
             "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}  # fmt: skip
    asyncio.run(app(scope, never, send))
    assert (sent[0]["status"], json.loads(sent[1]["body"])) == (408, {"error": "the label did not arrive"})


def test_blind_labels_are_of_the_reply_that_was_meant(talks, tmp_path):
    path = tmp_path / "labels.jsonl"
    with visiting(browser(talks, path)) as client:
        page = client.get("/", params={"blind": "1"}).text
        pair_ids = ids(page)
        swapped = next(one for one in pair_ids if is_swapped(one, "ada"))
        straight = next(one for one in pair_ids if not is_swapped(one, "ada"))
        inside = page.partition('<main id="main">')[2]
        for secret in ("chosen", "rejected", "first,", "second,", "margin", "in the mix", "<ins>", "<del>"):
            assert secret not in inside, secret
        for pair_id in (swapped, straight):
            label(client, pair_id, "1", blind="1")
        assert [row.label for row in read_labels(path)] == ["flip", "agree"]
        articles = re.findall(
            rf'data-pair="{swapped}".*?</article>', client.get("/", params={"blind": "1"}).text, re.DOTALL
        )
        assert re.search(r'value="1" aria-pressed="true"', articles[0])
    assert [label_of(choice, swapped=True) for choice in "12tbx"] == ["flip", "agree", "tie", "bad", None]


def test_who_may_ask(talks, tmp_path):
    with pytest.raises(ConfigError, match="no token"):
        browser(talks, tmp_path / "l", host="0.0.0.0")
    token = "a long enough token"
    with visiting(browser(talks, tmp_path / "l", host="0.0.0.0", token=token), "box:8001") as client:
        assert client.get("/").status_code == 401
        assert client.get("/image/x/small").status_code == 401
        assert label(client, "0" * 32, "1", {"Origin": "http://box:8001"}).status_code == 401
        entered = client.get("/evalset/vl_rewardbench", params={"token": token, "a": "0", "item": "x y"})
        assert (entered.status_code, entered.headers["location"]) == (303, "/evalset/vl_rewardbench?a=0&item=x+y")
        cookie = entered.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert client.get("/").status_code == 200
    with visiting(browser(talks, tmp_path / "l"), "evil.example") as client:
        assert client.get("/").status_code == 403
        assert label(client, "0" * 32, "1", {"Origin": "http://evil.example"}).status_code == 403


def test_a_source_an_arm_and_what_is_not_there(talks, tmp_path):
    with visiting(browser(talks, tmp_path / "l", "second")) as client:
        page = client.get("/").text
        assert total(page) == len(SECOND)
        assert "outcome" not in facets(page)
    workspace = Workspace(talks / "data")
    [directory] = (talks / "data/mixes/talks").iterdir()
    facts = {"arms": {name: {"fingerprint": directory.name} for name in ("all", "less")}}
    write = talks / "data/runs/study/ablation.json"
    write_rows(write, [])
    write.write_text(json.dumps(facts))
    with visiting(browser(talks, tmp_path / "l", "study")) as client:
        page = client.get("/?arm=less").text
        assert '<a href="/?arm=less" aria-current="page">arm less</a>' in page
        assert total(page) == len(FIRST) + len(SECOND)
    with pytest.raises(ConfigError, match="no mix and no source"):
        targets("nobody", workspace)
    with pytest.raises(ConfigError, match="no mix and no pairs"):
        targets(None, Workspace(tmp_path))


def test_a_search_that_is_stopped_or_fails_says_so(app, talks, monkeypatch):
    table = app.site.view().table
    search = Search(table, "is")
    search.wait(5, len(table) + 1)
    assert search.finished
    assert np.count_nonzero(search.hits)
    monkeypatch.setattr(table, "paths", [talks / "gone.parquet"])
    broken = Search(table, "the")
    broken.wait(5, 1)
    assert "no such file" in broken.problem
