"""Seeded runs of pin, fetch and publish against a Hub with all kinds of faults, and another host beside it.

A run repeats its command until it succeeds; each attempt that does not must end with one line and a hint. What it
found is counted, for a test or a script to judge.

    python -m tests.support.hub_runs --runs 500 --save benchmarks/results/hub_faults.json
"""

import argparse
import functools
import hashlib
import json
import multiprocessing
import re
import shutil
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.support import command
from tests.support.hub import ANEW, HOSTILE, KINDS, Hub, OtherHost, Plan

TOKEN, REPO, MIX = "hf_runs_secret", "nvidia/HelpSteer3", "me/mix"
FILE = "preference/train.jsonl.gz"
DATA = hashlib.shake_256(b"rows").digest(60_000)
ATTEMPTS, SECONDS, READ_SECONDS = 4, 20.0, 2.0
SENDERS = 4  # requests that publish has under way at the same time, each with attempts of its own
RUNS = 40  # of one command until it succeeds
ENDLESS = ("429-retry-after", "503", "drop")
WALL = 240.0  # seconds after which a command is counted as one that never ends


@dataclass(slots=True)
class Outcome:
    """What a run found; all but `commands` and `faults` should be 0."""

    seed: int
    kind: str
    commands: int = 0
    tokens: int = 0
    wrong_bytes: int = 0
    tracebacks: int = 0
    not_one_line: int = 0
    beyond_retries: int = 0
    unfinished: int = 0
    faults: dict[str, int] = field(default_factory=dict)

    def faultless(self) -> bool:
        """Whether nothing went wrong."""
        facts = asdict(self)
        return not any(facts[name] for name in facts if name not in ("seed", "kind", "commands", "faults"))


def draw(seed: int, *words: object) -> int:
    """A number of 64 bits."""
    return int.from_bytes(hashlib.sha256(repr((seed, *words)).encode()).digest()[:8], "big")


def fetch_run(seed: int, root: Path) -> Outcome:
    """Pin and fetch a private repository of four files, one of them large."""
    out = Outcome(seed, "fetch")
    files = {FILE: DATA, "README.md": b"---\nlicense: cc-by-4.0\n---\n", "a/b.txt": b"b"}
    with OtherHost() as other_host, _hub(seed, root, other_host, rate=0.35) as hub:
        hub.add_token(TOKEN, "nvidia")
        commit = hub.add_repo(REPO, files, private=True)
        _endless(seed, hub, ("info", "tree", "get"))
        for words in (("pin", "helpsteer3"), ("fetch", "helpsteer3")):
            _until_done(out, hub, root, words)
        found = root / "data/raw/helpsteer3" / commit / FILE
        out.wrong_bytes += not out.unfinished and found.read_bytes() != DATA
        _close(out, hub, other_host)
    return out


def publish_run(seed: int, root: Path, mixes: Path, expected: dict[str, bytes]) -> Outcome:
    """Publish a mix, whose directory is in `mixes`; the repository must then hold `expected`."""
    out = Outcome(seed, "publish")
    shutil.copytree(mixes, root / "data/mixes")
    with OtherHost() as other_host, _hub(seed, root, other_host, rate=0.08) as hub:
        hub.add_token(TOKEN, "me")
        _endless(seed, hub, ("whoami", "refs", "info", "preupload", "batch", "put", "verify", "commit"))
        _until_done(out, hub, root, ("publish", "blend", MIX, "--private", "--i-have-the-rights"))
        if not out.unfinished:
            held = {path: data for path, data in hub.files(MIX).items() if path != ".gitattributes"}
            titles = [commit.title for commit in hub.commits(MIX)]
            out.wrong_bytes += held != expected
            out.wrong_bytes += sum(title.startswith("blend@") for title in titles) != 1
        _close(out, hub, other_host)
    return out


def _hub(seed: int, root: Path, other_host: OtherHost, *, rate: float) -> Hub:
    plan = Plan(seed=seed, rate=rate, most=2, kinds=(*KINDS, *HOSTILE, ANEW), seconds=0.1)
    return Hub(root / "hub", faults=plan, page=7, cdn=seed % 3 == 0, away=other_host.endpoint)


def _endless(seed: int, hub: Hub, endpoints: tuple[str, ...]) -> None:
    """In one run of five an endpoint fails for as long as the first command runs."""
    if seed % 5 == 0:
        on = endpoints[draw(seed, "on") % len(endpoints)]
        hub.fail(ENDLESS[draw(seed, "kind") % len(ENDLESS)], on=on, times=10_000, seconds=3600)


def _until_done(out: Outcome, hub: Hub, root: Path, words: tuple[str, ...]) -> None:
    settings = {
        "CURATE_HUB_FIRST_WAIT": "0.01",
        "CURATE_HUB_ATTEMPTS": str(ATTEMPTS),
        "CURATE_HUB_SECONDS": str(SECONDS),
        "HF_HUB_DOWNLOAD_TIMEOUT": f"{READ_SECONDS:g}",
        "HF_HUB_DISABLE_XET": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "0",
    }
    for _ in range(RUNS):
        out.commands += 1
        before = len(hub.log)
        running = command.Command(*words, env=hub.env(root / "home", TOKEN, **settings), cwd=root)
        try:
            stdout, stderr_text = running.communicate(WALL)
        except TimeoutError:
            out.beyond_retries += 1
            continue
        out.tokens += TOKEN in stdout + stderr_text
        out.tracebacks += "Traceback" in stderr_text
        out.beyond_retries += _beyond(stderr_text) or _asked_too_often(hub, before)
        if running.returncode == 0:
            return
        lines = [line.split(maxsplit=1)[0] for line in stderr_text.splitlines()[-2:]]
        out.not_one_line += lines != ["error:", "hint:"] or stderr_text.count("error:") > 1
        hub.forgive()
    out.unfinished += 1


def _beyond(stderr_text: str) -> bool:
    """Whether a command says that it tried for longer than the policy allows and one more request takes."""
    stated = re.findall(r"times in ([\d,]+) s", stderr_text)
    return any(float(seconds.replace(",", "")) > SECONDS + READ_SECONDS + 1 for seconds in stated)


def _asked_too_often(hub: Hub, since: int) -> bool:
    """Whether a request that failed was repeated more often in a row than all its attempts allow."""
    struck = Counter((one.endpoint, one.path) for one in hub.log[since:])
    most = {"preupload": SENDERS, "batch": SENDERS, "commit": 2, "refs": 6, "info": 6}
    return any(count > ATTEMPTS * most.get(endpoint, 1) for (endpoint, _), count in struck.items())


def _close(out: Outcome, hub: Hub, other_host: OtherHost) -> None:
    out.tokens += len(other_host.saw(TOKEN))
    out.faults = dict(Counter(struck.kind for struck in hub.log))


# ---------------------------------------------------------------------------------------------- the script

RECIPE = """
name: blend
seed: 3
sources: {rlaif_v: {rows: 20}, hh_rlhf: {rows: 25}}
steps: [identical]
shards: {max_mb: 0.05, media: embed}
"""


def make_mix(root: Path) -> tuple[Path, dict[str, bytes]]:
    """Build the mix `blend`: the directory of mixes, and the files that a repository must hold of it."""
    from curate.build import build  # later than the processes of commands are forked from: it starts threads
    from curate.cards.recipe_text import recipe_text
    from curate.engines.local import Local
    from curate.inputs import Inputs
    from curate.recipe import load
    from curate.workspace import Workspace
    from tests.support.samples import SAMPLES, Silent

    (root / "blend.yaml").write_text(RECIPE)
    with Local(1) as engine:
        inputs = Inputs(workspace=Workspace(root / "data"), raw=SAMPLES)
        there = build(load(root / "blend.yaml"), inputs, engine, Silent()).directory
    found = {path.relative_to(there).as_posix(): path.read_bytes() for path in there.rglob("*") if path.is_file()}
    del found["review.parquet"], found["lock.json.xxh3"]  # these stay at home
    lock = json.loads(found["lock.json"])
    del lock["review"]
    found["lock.json"] = (json.dumps(lock, indent=2, ensure_ascii=False) + "\n").encode()
    return root / "data/mixes", {**found, "recipe.yaml": recipe_text(lock["recipe"]).encode()}


def run(seed: int, root: Path, mixes: Path, expected: dict[str, bytes]) -> Outcome:
    """A fetch for an even seed, a publish for an odd one."""
    return publish_run(seed, root, mixes, expected) if seed % 2 else fetch_run(seed, root)


def summary(outcomes: list[Outcome]) -> dict[str, object]:
    """The counts of all runs, with the seeds of those that were not faultless."""
    names = ("commands", "tokens", "wrong_bytes", "tracebacks", "not_one_line", "beyond_retries", "unfinished")
    faults: Counter[str] = Counter()
    for outcome in outcomes:
        faults.update(outcome.faults)
    policy = {"attempts": ATTEMPTS, "seconds": SECONDS, "read_seconds": READ_SECONDS}
    return {
        "runs": len(outcomes),
        "seeds": [outcomes[0].seed, outcomes[-1].seed],
        "kinds": dict(Counter(outcome.kind for outcome in outcomes)),
        "policy": policy,
        **{name: sum(getattr(outcome, name) for outcome in outcomes) for name in names},
        "faulty_seeds": [outcome.seed for outcome in outcomes if not outcome.faultless()],
        "faults": dict(sorted(faults.items())),
    }


def main() -> None:
    """Run the seeds, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, each in a process of its own")
    parser.add_argument("--save", type=Path, help="where the counts are written")
    args = parser.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as base:
        one = functools.partial(_alone, mixes_and_files=make_mix(Path(base)))
        # spawned: a fork would have the threads that building a mix started
        with ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn")) as pool:
            for outcome in pool.map(one, range(args.first, args.first + args.runs)):
                outcomes.append(outcome)
                if not outcome.faultless():
                    print(outcome, flush=True)  # noqa: T201
                if args.save:
                    args.save.write_text(json.dumps(summary(outcomes), indent=2) + "\n")
    print(json.dumps(summary(outcomes), indent=2))  # noqa: T201


def _alone(seed: int, mixes_and_files: tuple[Path, dict[str, bytes]]) -> Outcome:
    with tempfile.TemporaryDirectory() as root:
        return run(seed, Path(root), *mixes_and_files)


if __name__ == "__main__":
    main()
