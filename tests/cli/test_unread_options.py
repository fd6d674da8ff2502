"""Options that nothing would read are refused, and the line says what does what was meant."""

from pathlib import Path

import pytest

from tests.support.finished_work import fault, made, project, run  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("project")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("plan", "recipe.yaml", "--manifests", "nowhere"),
            "--manifests nowhere: no such directory; expected a directory",
        ),
        (
            ("plan", "recipe.yaml", "--manifests", "recipe.yaml"),
            "--manifests recipe.yaml: is no directory; expected",
        ),
        (
            ("train", "small", "mix=elsewhere"),
            "mix=elsewhere: mix is not a setting here; expected the mix as the first",
        ),
        (("train", "small", "out=run"), "out=run: out is not a setting here; expected --out DIR"),
        (
            ("ablate", "heads", "--set", "head.layers=1"),
            "--set head.layers=1: every arm sets head.layers itself; expected another setting",
        ),
        (
            ("ablate", "heads", "--set", "seed=3"),
            "--set seed=3: every run is given its own seed; expected --seeds",
        ),
        (("search", "recipe.yaml", "--budget", "pairs=9"), "--preset: not given; expected a preset"),
        (
            ("search", "recipe.yaml", "--preset", "tiny_cpu", "--budget", "steps=9"),
            "--budget: found 'steps=9'; expected pairs=N: every small run has a mix of exactly N rows",
        ),
        (
            ("search", "recipe.yaml", "--preset", "tiny_cpu", "--budget", "pairs=9", "--floor", "vote=0.1"),
            "--floor vote=0.1: no entry 'vote'; expected NAME=SHARE, of ",
        ),
        (
            ("search", "recipe.yaml", "--preset", "tiny_cpu", "--budget", "pairs=9", "--cap", "votes=some"),
            "--cap votes=some: found 'some'; expected a share from 0 to 1",
        ),
        (("doctor", "small", "votes"), "votes: there 2 times: in small, votes; expected every source once"),
    ],
)
def test_what_nothing_reads_is_refused(arguments: tuple[str, ...], message: str):
    assert message in fault(*arguments)


def test_least_without_a_baseline_is_refused():
    assert "--least is about --baseline, which is not given" in " ".join(
        run("doctor", "small", "--least", "0.1", code=2).messages
    )


def test_tokens_of_no_model_are_refused():
    Path("scores.jsonl").write_text("")
    done = run("evaluate", "-e", "judgebench", "--scores", "scores.jsonl", "--max-tokens", "9", code=2)
    assert "--max-tokens is about a model, and none is scored" in " ".join(done.messages)


def test_a_baseline_of_other_sources_is_no_comparison():
    run("doctor", "votes", "--workers", "1", "--write", "before.json")
    message = fault("doctor", "web", "--workers", "1", "--baseline", "before.json")
    assert "--baseline: none of its sources is here, nothing was compared; expected a source of both" in message
