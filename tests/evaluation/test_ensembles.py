"""Ensembles and routers: every number by hand, on score files and on a model."""

import json
import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from curate import evalsets
from curate.cli import app
from curate.errors import ConfigError, RawError
from curate.evalsets.base import Item
from curate.evaluation import ensembles, held_out, items
from curate.evaluation.ensembles import Ensemble, Fit, Member, combined, fit, kind_of, names, weighted
from curate.evaluation.items import KeyedItems
from curate.schema import Block, Message
from tests.support.paths import ROOT, ROWS
from tests.support.questions import saved
from tests.support.trainer_shards import IMAGES, key, make, name_mix

EVAL_ROWS = ROWS / "evalsets"
A, B = Path("a.jsonl"), Path("b.jsonl")
PAIRS_A = [(2.0, 1.0), (1.0, 2.0), (3.0, 1.0), (1.0, 0.0)]  # 3 of 4 right, margins 1 -1 2 1
PAIRS_B = [(10.0, 0.0), (0.0, 5.0), (1.0, 1.0), (4.0, 0.0)]  # 2 of 4 right, margins 10 -5 0 4


# --- numbers by hand


def members(method, scale="raw"):
    fits = [fit(A, PAIRS_A, scale), fit(B, PAIRS_B, scale)]
    return weighted([Member(scores="a.jsonl"), Member(scores="b.jsonl")], fits, method)


@pytest.mark.parametrize(
    ("method", "weights", "scores"),
    [
        ("mean", [0.5, 0.5], [6.0, 0.5]),
        ("accuracy", [0.6, 0.4], [5.2, 0.6]),
        ("margin", [0.25, 0.75], [8.0, 0.25]),
    ],
)
def test_weights_and_scores_by_hand(method, weights, scores):
    assert fit(A, PAIRS_A, "raw") == Fit(A, 0.75, 0.75, 0.0, 1.0)
    assert fit(B, PAIRS_B, "raw") == Fit(B, 0.5, 2.25, 0.0, 1.0)
    found = members(method)
    assert [one.weight for one in found] == pytest.approx(weights)
    assert combined(found, [[2.0, 1.0], [10.0, 0.0]]) == pytest.approx(scores)


def test_standardised_scores_by_hand():
    """A's eight scores have the mean 11/8 and the variance 47/64, B's 21/8 and 703/64."""
    one, two = members("margin", "standardised")
    assert (one.mean, two.mean) == (11 / 8, 21 / 8)
    assert (one.std, two.std) == pytest.approx((math.sqrt(47) / 8, math.sqrt(703) / 8))
    margins = 0.75 * 8 / math.sqrt(47), 2.25 * 8 / math.sqrt(703)
    assert [one.weight, two.weight] == pytest.approx([each / sum(margins) for each in margins])
    expected = one.weight * (2 - 11 / 8) / one.std + two.weight * (10 - 21 / 8) / two.std
    assert combined([one, two], [[2.0], [10.0]]) == pytest.approx([expected])


def test_weights_that_a_method_cannot_give():
    wrong = fit(A, [(0.0, 1.0)], "raw")
    with pytest.raises(ConfigError) as error:
        weighted([Member(scores="a.jsonl")], [wrong], "margin")
    assert str(error.value) == "a.jsonl: a mean margin of -1 on the held-out pairs; expected one above 0"
    assert error.value.hint == "leave it out, or --ensemble accuracy"
    with pytest.raises(ConfigError, match="no member is right about any held-out pair"):
        weighted([Member(scores="a.jsonl")], [wrong], "accuracy")
    with pytest.raises(ConfigError, match=r"a\.jsonl: all its scores of held-out pairs are equal"):
        fit(A, [(1.0, 1.0)], "standardised")


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=5), st.permutations([0, 1, 2])
)
def test_the_order_of_members_changes_no_score(replies, order):
    route = [Member(scores=f"{i}", weight=i + 0.1) for i in range(3)]
    scores = [[i * one + two / 7 for one, two in replies] for i in range(3)]
    assert combined(route, scores) == combined([route[i] for i in order], [scores[i] for i in order])


def item(*kinds: str) -> Item:
    prompt = (Message("user", tuple(Block(kind, "?" if kind == "text" else None) for kind in kinds)),)
    replies = tuple((Message("assistant", (Block("text", text),)),) for text in "xy")
    return Item(id="", prompt=prompt, replies=replies, correct=(0,), category="", subset="", cluster="")


def test_a_kind_goes_its_route():
    assert [kind_of(item(*kinds)) for kinds in (["text"], ["image", "text"], ["image", "video"])] == [
        "text", "image", "video",
    ]  # fmt: skip
    a, b = (Member(scores="a"),), (Member(scores="b"),)
    assert Ensemble(members=a).route("video") == ""
    assert Ensemble(routes={"image": a, "text": b}).route("video") == "image", "a video is its frames"
    assert Ensemble(routes={"image": a, "video": b}).route("video") == "video"
    with pytest.raises(ConfigError) as error:
        Ensemble(routes={"image": a, "video": b}).route("text")
    assert str(error.value) == (
        "ensemble: items of kind text, and routes of image, video alone; expected a route for every kind of items"
    )
    assert error.value.hint == "--route text=MEMBER"


def test_short_names_tell_members_apart():
    paths = [Path("runs/a/final"), Path("runs/b/final"), Path("x/s.jsonl")]
    assert list(names(paths).values()) == ["a/final", "b/final", "s.jsonl"]


def test_a_sample_is_even_over_sources():
    sources = ["a"] * 50 + ["b"] * 5 + ["c"] * 50
    made = [Item(**{**vars_of(item("text")), "id": f"{i}", "subset": source}) for i, source in enumerate(sources)]
    keyed = KeyedItems(made, [one.id for one in made], range(1, len(made) + 1))
    every = range(len(made))
    for most, counts in ((9, (3, 3, 3)), (25, (10, 5, 10)), (1000, (50, 5, 50))):
        chosen = held_out.sample(keyed, every, most)
        found = Counter(made[at].subset for at in chosen)
        assert tuple(found[name] for name in "abc") == counts
        assert set(chosen) <= set(held_out.sample(keyed, every, most + 7))
    assert {made[at].subset for at in held_out.sample(keyed, range(50), 20)} == {"a"}, "only of the wanted ones"


def vars_of(one: Item) -> dict:
    return {name: getattr(one, name) for name in one.__slots__}


# --- files


def test_a_file_comes_back(tmp_path):
    routed = Ensemble(
        method="accuracy", scale="standardised", fitted={"image": {"pairs": 4, "sources": 2}},
        routes={
            "image": (Member(model=str(tmp_path / "m"), weight=0.25, mean=1.5, std=2.0), Member(scores="s.jsonl")),
            "text": (Member(scores=str(tmp_path / "s.jsonl")),),
        },
    )  # fmt: skip
    (tmp_path / "deep").mkdir()
    ensembles.write(tmp_path / "deep/e.yaml", routed)
    text = (tmp_path / "deep/e.yaml").read_text()
    assert "model: ../m" in text
    found = ensembles.read(tmp_path / "deep/e.yaml")
    assert found.routes["image"][0] == routed.routes["image"][0]
    assert (found.method, found.scale, found.fitted) == ("accuracy", "standardised", routed.fitted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "$: expected one of members and routes"),
        ("members: [{scores: a, model: b}]", "$.members[0]: expected one of model and scores"),
        (
            "members: [{scores: a, weight: -1}]",
            "$.members[0]: weight: found -1.0; expected a finite number of at least 0",
        ),
        (
            "members: [{scores: a, weight: 1.0e999}]",
            "$.members[0]: weight: found inf; expected a finite number of at least 0",
        ),
        ("members: [{scores: a, std: 0}]", "$.members[0]: std: found 0.0; expected a finite number above 0"),
        ("members: [{scores: a, wait: 0}]", "$.members[0].wait: unknown key"),
        ("members: [{scores: a}, {scores: a}]", "$: members: found a twice; expected each member once"),
        (
            "members: [{scores: a, weight: 0}]",
            "$: members: found no member with a weight; expected a weight above 0",
        ),
        ("routes: {audio: [{scores: a}]}", "$: routes: found audio; expected some of text, image, video"),
        (
            "method: vote\nmembers: [{scores: a}]",
            "$.method: found text 'vote'; expected mean or accuracy or margin",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong(tmp_path, text, message):
    (tmp_path / "e.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        ensembles.read(tmp_path / "e.yaml")
    assert str(error.value) == f"{tmp_path}/e.yaml: {message}"


# --- the command


@pytest.fixture(scope="module")
def mix(tmp_path_factory) -> Path:
    """A mix that holds out twelve pairs, every third with an image, of the sources a and b."""
    root = tmp_path_factory.mktemp("mix")
    rows = [
        {"source": "ab"[i % 2], "prompt": f"Question {i}?", "chosen": f"Yes {i}.", "rejected": f"No {i}.",
         "media": [key(IMAGES[i % 4])] if i % 3 == 0 else [], "media_bytes": len(IMAGES[0]) * (i % 3 == 0)}
        for i in range(30)
    ]  # fmt: skip
    return name_mix(make(root, rows, IMAGES, held=12))


def pairs_of(mix: Path) -> KeyedItems:
    return held_out.load(sorted(mix.glob("holdout-*.parquet")))


def keyed(name: str) -> KeyedItems:
    return items.load(evalsets.get(name), EVAL_ROWS / name).items


def lines(name: str, scores, of: KeyedItems | None = None) -> list[dict]:
    """The lines of the items that `scores` has a position of: (right, wrong) of each."""
    found = of or keyed(name)
    return [
        {
            "benchmark": name,
            "item": found.keys[at],
            "candidate": i,
            "score": pair[0] if i in one.correct else pair[1],
        }
        for at, pair in scores.items()
        for one in [found.items[at]]
        for i in range(len(one.replies))
    ]


def write(path: Path, *parts: list[dict]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for part in parts for line in part))
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env={"COLUMNS": "200"})


def result(*arguments):
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


# right and wrong scores of judgebench's five items: A is right about 0 1 2, B about 1 2 3 4, both about 1 2
ONE = {0: (3.0, 0.0), 1: (1.0, 0.0), 2: (1.0, 0.0), 3: (0.0, 1.0), 4: (0.0, 9.0)}
TWO = {0: (0.0, 1.0), 1: (2.0, 0.0), 2: (1.0, 0.5), 3: (4.0, 0.0), 4: (3.0, 0.0)}


def overall(found, which=0):
    return next(m for m in found["results"][which]["measures"] if m["name"] == "overall")


@pytest.fixture
def files(tmp_path, mix):
    """Score files of judgebench; on the held-out pairs A is right about 3 of 4 by 1, B about half of them by 4."""
    pairs = pairs_of(mix)
    assert len(pairs.items) == 12
    shown_a = {at: (1.0, 0.0) if at % 4 else (0.0, 1.0) for at in range(12)}
    shown_b = {at: (4.0, 0.0) if at % 2 else (0.0, 2.0) for at in range(12)}
    a = write(tmp_path / "a.jsonl", lines("judgebench", ONE), lines("holdout", shown_a, pairs))
    b = write(tmp_path / "b.jsonl", lines("judgebench", TWO), lines("holdout", shown_b, pairs))
    return a, b


# by hand: mean adds up ONE and TWO: item 0 by 3 - 1, 1 2 3 right, 4 by 3 - 9
# accuracy 0.75 to 0.5 is 3:2, so item 0 by 9 - 2, 4 by 6 - 27; margin 0.5 to 1 is 1:2: item 0 by 3 - 2, 4 by 6 - 9
@pytest.mark.parametrize(
    ("method", "weights", "first"),
    [("mean", [1.0, 1.0], 1.0), ("accuracy", [0.6, 0.4], 1.4), ("margin", [1 / 3, 2 / 3], 1 / 3)],
)
def test_the_command_by_hand(tmp_path, files, mix, method, weights, first):
    a, b = files
    where = ("-e", "judgebench", "--raw", EVAL_ROWS, "--workspace", tmp_path / "w")
    weighed = () if method == "mean" else ("--weights-on", mix)
    found = result("--ensemble", method, a, b, *where, *weighed)
    assert [one["weight"] for one in found["ensemble"]["members"]] == pytest.approx(weights)
    assert (overall(found)["right"], overall(found)["trials"]) == (4.0, 5)
    written = [json.loads(line) for line in Path(found["results"][0]["scores"]).read_text().splitlines()]
    right = keyed("judgebench").items[0].correct[0]
    zero = [line["score"] for line in written if line["item"] == keyed("judgebench").keys[0]]
    assert zero[right] - zero[1 - right] == pytest.approx(first)
    if method != "mean":
        assert found["ensemble"]["fitted"] == {"all": {"pairs": 12, "sources": 2}}
        held_out = {Path(one["path"]).name: (one["accuracy"], one["margin"]) for one in found["held_out"]["all"]}
        assert held_out == {"a.jsonl": (0.75, 0.5), "b.jsonl": (0.5, 1.0)}


def test_members_whole_best_and_without_each(tmp_path, files):
    a, b = files
    found = result("--ensemble", "mean", a, b, "-e", "judgebench", "--raw", EVAL_ROWS, "--workspace", tmp_path)
    alone = {Path(one["member"]).name: one["measures"][0]["right"] for one in found["members"]}
    assert alone == {"a.jsonl": 3.0, "b.jsonl": 4.0}
    assert Path(found["best"]["judgebench"]).name == "b.jsonl"
    (tested,) = [delta for delta in found["compare"] if delta["headline"]]
    assert (tested["a"], tested["b"], tested["gained"], tested["lost"]) == (0.8, 0.8, 1, 1)
    assert (tested["test"], tested["p"], tested["corrected"]) == ("McNemar", 1.0, 1.0)
    without = {
        Path(one["member"]).name: (one["a"], one["b"], one["gained"], one["lost"]) for one in found["without"]
    }
    assert without == {"a.jsonl": (0.8, 0.8, 1, 1), "b.jsonl": (0.8, 0.6, 0, 1)}
    done = run("--ensemble", "mean", a, b, "-e", "judgebench", "--raw", EVAL_ROWS, "--workspace", tmp_path)
    text = done.stdout.splitlines()
    for line in (
        "ensemble: mean, raw scores",
        "judgebench, gpt split: ensemble",
        "judgebench: member a.jsonl",
        "judgebench: ensemble (B) against its best member, b.jsonl (A); "
        "corrected: Holm's p over 1 headline measure",
        "judgebench: without a member (B) against the ensemble (A); corrected: Holm's p over 2 tests",
    ):
        assert line in text


def test_without_a_member_the_weights_are_normalised_again():
    """Of three with the weights 1, 2 and 3, the scores without the second are those of 1 and 3 of 4."""
    three = Ensemble(members=tuple(Member(scores=name, weight=i + 1.0) for i, name in enumerate("abc")))
    rest = three.without(Path("b"))
    assert combined(rest.members, [[8.0], [4.0]]) == [8 / 4 + 4 * 3 / 4]
    assert Ensemble(routes={"text": three.members[:1], "image": three.members}).without(Path("a")) is None


def test_a_saved_ensemble_is_taken_as_a_model(tmp_path, files, mix):
    a, b = files
    where = ("-e", "judgebench", "--raw", EVAL_ROWS, "--workspace", tmp_path / "w")
    made = result("--ensemble", "margin", a, b, *where, "--weights-on", mix, "--save", tmp_path / "e.yaml",
                  "--scale", "standardised")  # fmt: skip
    found = result("--model", tmp_path / "e.yaml", *where)
    assert found["results"][0]["scores"] == made["results"][0]["scores"]
    assert overall(found) == overall(made)
    assert found["results"][0]["model"] == str(tmp_path / "e.yaml")
    compared = result("--compare", made["results"][0]["scores"], tmp_path / "e.yaml", *where)
    headline = next(delta for delta in compared["compare"] if delta["headline"])
    assert (headline["a"], headline["b"], headline["gained"], headline["lost"]) == (0.6, 0.6, 0, 0)


# --- routes


def test_a_router_never_mixes_kinds(tmp_path, mix):
    """Members have scores of their own kind alone; of the other kind one has none, the other has nonsense."""
    pairs = pairs_of(mix)
    kinds = [kind_of(item) for item in pairs.items]
    assert Counter(kinds) == {"image": kinds.count("image"), "text": kinds.count("text")}
    assert min(kinds.count("image"), kinds.count("text")) >= 3
    of_kind = {kind: [at for at, one in enumerate(kinds) if one == kind] for kind in ("image", "text")}
    vl = {at: (1.0, 0.0) if at else (0.0, 1.0) for at in range(7)}
    image_scores = dict.fromkeys(of_kind["image"], (2.0, 0.0))
    a = write(tmp_path / "a.jsonl", lines("vl_rewardbench", vl), lines("holdout", image_scores, pairs))
    nonsense = dict.fromkeys(range(7), (-1000000000.0, 1000000000.0))
    wrong = dict.fromkeys(of_kind["image"], (-1000000000.0, 1000000000.0)) | dict.fromkeys(
        of_kind["text"], (0.5, 0.0)
    )
    b = write(
        tmp_path / "b.jsonl",
        lines("judgebench", TWO),
        lines("vl_rewardbench", nonsense),
        lines("holdout", wrong, pairs),
    )
    found = result(
        "--route", f"image={a}", f"text={b}", "--ensemble", "accuracy", "--weights-on", mix,
        "-e", "vl_rewardbench", "-e", "judgebench", "--raw", EVAL_ROWS, "--workspace", tmp_path / "w",
    )  # fmt: skip
    assert found["ensemble"]["routes"] == {
        "image": [{"scores": str(a), "weight": 1.0}], "text": [{"scores": str(b), "weight": 1.0}],
    }  # fmt: skip
    assert found["ensemble"]["fitted"] == {
        kind: {"pairs": len(at), "sources": len({pairs.items[i].subset for i in at})}
        for kind, at in of_kind.items()
    }
    assert [one["accuracy"] for route in found["held_out"].values() for one in route] == [1.0, 1.0]
    assert [(overall(found, i)["right"], overall(found, i)["trials"]) for i in (0, 1)] == [(6.0, 7), (4.0, 5)]
    for benchmark, own, name in (("vl_rewardbench", vl, 0), ("judgebench", TWO, 1)):
        written = [json.loads(line) for line in Path(found["results"][name]["scores"]).read_text().splitlines()]
        assert written == [{**line, "score": float(line["score"])} for line in lines(benchmark, own)]
    assert {(Path(one["member"]).name, one["benchmark"], one["items"]) for one in found["members"]} == {
        ("a.jsonl", "vl_rewardbench", 7), ("b.jsonl", "judgebench", 5),
    }  # fmt: skip
    assert found["without"] == [], "a route of one member cannot do without it"


def test_a_member_may_be_in_two_routes(tmp_path, files):
    """Text items: A and B; images: A alone."""
    _, b = files
    vl = dict.fromkeys(range(7), (1.0, 0.0))
    a = write(tmp_path / "both.jsonl", lines("judgebench", ONE), lines("vl_rewardbench", vl))
    found = result(
        "--route", f"image={a}", f"text={a}", f"text={b}", "-e", "vl_rewardbench", "-e", "judgebench",
        "--raw", EVAL_ROWS, "--workspace", tmp_path / "w",
    )  # fmt: skip
    assert [overall(found, i)["right"] for i in (0, 1)] == [7.0, 4.0]
    assert {(Path(one["member"]).name, one["benchmark"]) for one in found["without"]} == {
        ("b.jsonl", "judgebench"), ("b.jsonl", "vl_rewardbench"),
    }  # fmt: skip


# --- models


def test_a_model_and_a_score_file(tmp_path, monkeypatch, files):
    monkeypatch.chdir(ROOT)
    where = ("-e", "judgebench", "--raw", EVAL_ROWS, "--workspace", tmp_path / "w")
    model, a = saved("text"), files[0]
    alone = result("--model", model, *where)
    found = result("--ensemble", "mean", model, a, *where)

    def scores(one):
        written = [json.loads(line) for line in Path(one["results"][0]["scores"]).read_text().splitlines()]
        return {(line["item"], line["candidate"]): line["score"] for line in written}

    given = {(line["item"], line["candidate"]): line["score"] for line in lines("judgebench", ONE)}
    assert scores(found) == {at: pytest.approx((score + given[at]) / 2) for at, score in scores(alone).items()}


def test_a_text_model_scores_no_images(tmp_path, monkeypatch, mix):
    """Its held-out pairs and items are those of its route."""
    monkeypatch.chdir(ROOT)
    vl = dict.fromkeys(range(7), (1.0, 0.0))
    pairs = pairs_of(mix)
    image_scores = {at: (1.0, 0.0) for at, item in enumerate(pairs.items) if kind_of(item) == "image"}
    a = write(tmp_path / "a.jsonl", lines("vl_rewardbench", vl), lines("holdout", image_scores, pairs))
    found = result(
        "--route", f"image={a}", f"text={saved('text')}", "--scale", "standardised", "--weights-on", mix,
        "-e", "vl_rewardbench", "-e", "judgebench", "--raw", EVAL_ROWS,
        "--workspace", mix.parents[2],
    )  # fmt: skip
    assert found["ensemble"]["fitted"]["text"]["pairs"] == len(pairs.items) - len(image_scores)
    assert all(not one["unscored"] for one in found["results"])


# --- what may be wrong


def test_an_item_that_a_member_cannot_score(tmp_path, files):
    a, b = files
    text = b.read_text().splitlines()
    refused_key = keyed("judgebench").keys[3]
    kept = [line for line in text if refused_key not in line]
    refused = {"benchmark": "judgebench", "item": refused_key, "unscored": "too_long"}
    b.write_text("\n".join([*kept, json.dumps(refused)]) + "\n")
    where = ("--ensemble", "mean", a, b, "-e", "judgebench", "--raw", EVAL_ROWS, "--workspace", tmp_path / "w")
    done = run(*where)
    assert isinstance(done.exception, RawError)
    assert f"1 of 5 items could not be scored: row 4 ({refused_key}): b.jsonl: too_long" in str(done.exception)
    found = result(*where, "--allow-unscored")
    assert found["results"][0]["unscored"] == {refused_key: "b.jsonl: too_long"}
    assert overall(found)["right"] == 3.0
    left = {Path(one["member"]).name: one["b"] for one in found["without"]}
    assert left == {"a.jsonl": 0.6, "b.jsonl": 0.6}, "without b it has scores again"


MEAN = ("--ensemble", "mean")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["A", "B"],
            "evaluate: members given without an ensemble; expected --ensemble mean|accuracy|margin A B, or "
            "--route KIND=MEMBER",
        ),
        ([*MEAN, "A"], "--ensemble: 1 member; expected two or more: --ensemble mean A B"),
        ([*MEAN, "A", "A"], "--ensemble: members: found A twice; expected each member once"),
        ([*MEAN, "A", "gone"], "gone: no such file or directory; expected a model's directory, or a score file"),
        ([*MEAN, "A", "e.yaml"], "e.yaml: an ensemble as a member; expected models and score files"),
        (
            ["--ensemble", "margin", "A", "B"],
            "--ensemble margin: no held-out pairs; expected --weights-on MIX, a mix with a holdout",
        ),
        (
            [*MEAN, "A", "B", "--scale", "standardised"],
            "--scale standardised: no held-out pairs; expected --weights-on MIX, a mix with a holdout",
        ),
        ([*MEAN, "A", "B", "--weights-on", "M"], "--weights-on: given, and a mean of raw scores has no weights"),
        (
            ["--weights-on", "M", "--scores", "A"],
            "evaluate: --weights-on given without an ensemble; expected --ensemble mean|accuracy|margin A "
            "B, or --route KIND=MEMBER",
        ),
        ([*MEAN, "A", "B", "--save", "e.json"], "--save: e.json; expected a file that ends in .yaml"),
        (
            [*MEAN, "A", "B", "--scores", "A"],
            "evaluate: --scores and --ensemble given; expected one of --model DIR, --scores FILE, "
            "--verdicts FILE, --compare A B, --ensemble",
        ),
        (["--route", "sound=A"], "--route: found 'sound=A'; expected KIND=MEMBER, KIND one of text, image, video"),
        (["--route", "text=A", "B"], "--route: found 'B'; expected KIND=MEMBER, KIND one of text, image, video"),
        (
            ["--route", "image=A"],
            "ensemble: items of kind text, and routes of image alone; expected a route for every kind of "
            "items",
        ),
        (["--model", "gone.yaml"], "gone.yaml: no such file; expected a YAML file"),
    ],
)  # fmt: skip
def test_wrong_options(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    for name in "AB":
        write(tmp_path / name, lines("judgebench", ONE))
    done = run("-e", "judgebench", "--raw", EVAL_ROWS, *arguments)
    assert str(done.exception) == message


def test_a_mix_without_a_holdout(tmp_path, files, mix):
    lock = json.loads((mix / "lock.json").read_text())
    lock["files"] = [one for one in lock["files"] if not one["name"].startswith("holdout")]
    (tmp_path / "m").mkdir()
    (tmp_path / "m/lock.json").write_text(json.dumps(lock))
    done = run(
        "--ensemble", "accuracy", *files, "-e", "judgebench", "--raw", EVAL_ROWS, "--weights-on", tmp_path / "m"
    )
    assert str(done.exception) == (
        "--weights-on: r@ffffffff holds out no pairs; expected a mix whose recipe has a holdout"
    )


def test_a_template_has_the_held_out_pairs(tmp_path, mix):
    path = tmp_path / "t.jsonl"
    done = run("-e", "judgebench", "--raw", EVAL_ROWS, "--template", path, "--weights-on", mix)
    assert done.exit_code == 0, done.output
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert Counter(line["benchmark"] for line in written) == {"judgebench": 10, "holdout": 24}
    filled = write(tmp_path / "a.jsonl", [{**line, "score": 1.0 - line["candidate"]} for line in written])
    other = write(tmp_path / "b.jsonl", [{**line, "score": line["candidate"] - 0.5} for line in written])
    found = result("--ensemble", "accuracy", filled, other, "-e", "judgebench", "--raw", EVAL_ROWS,
                   "--weights-on", mix, "--workspace", tmp_path)  # fmt: skip
    assert [one["weight"] for one in found["ensemble"]["members"]] == [1.0, 0.0]
