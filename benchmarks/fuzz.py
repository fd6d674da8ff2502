"""Fuzzing of the way from raw files to pairs: mutated files and rows of every format, adapter and bundled source.

    python benchmarks/fuzz.py --seeds 0:10000 --minutes 30      # goes on where it was stopped (--state)
    python benchmarks/fuzz.py --one 4711 --keep DIR             # one seed again, its files in DIR

Every seed makes one raw directory with something wrong in it, normalizes it, and gives some mutated rows straight
to an adapter (fuzz_trials.py says what must hold); every `--cli-every`-th is run through the command line too. The
seeds are worked on in a process of their own, so that one that ends the process is found and passed over.
"""

import argparse
import contextlib
import gc
import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import fuzz_cases as cases
import fuzz_trials as trials
import measure

CHUNK = 500  # seeds of one process
SECONDS = 30  # a seed may take so long in this process
COMMAND_SECONDS = 180  # and so long on the command line, where others may be at work too
MEMORY = 8 << 30  # address space of the process: a file that asks for more must be refused in words


class TooSlow(BaseException):
    """A seed took too long; not an Exception, so that nothing but the fuzzer catches it."""


def _too_slow(_signal: int, _frame: FrameType | None) -> None:
    raise TooSlow


def try_seed(seed: int, root: Path, *, cli: bool, keep: bool = False) -> dict[str, Any]:
    """What a seed tried and found: trial, name, format, outcome, and its faults."""
    rng, scratch = random.Random(seed), root / f"seed-{seed}"
    found: dict[str, Any] = {"seed": seed, "faults": []}
    with _faults(found, SECONDS):
        name, _, outcomes = trials.try_direct(random.Random(f"direct {seed}"), root)
        found |= {"direct": name, "rows": outcomes}
    scratch.mkdir(parents=True)
    case = cases.make_case(rng, scratch)
    found |= {"trial": case.trial, "name": case.name, "format": case.format, "outcome": "fault"}
    with _faults(found, SECONDS):
        found["outcome"] = trials.run(case, scratch / "workspace")
    if cli:
        with _faults(found, COMMAND_SECONDS):
            found["cli"] = trials.run_command(case, scratch, found["outcome"])
    if not keep:
        shutil.rmtree(scratch)
    return found


@contextlib.contextmanager
def _faults(found: dict[str, Any], seconds: int) -> Iterator[None]:
    signal.alarm(seconds)
    try:
        yield
    except trials.Fault as fault:
        found["faults"].append(str(fault)[:4000])
    except TooSlow:
        found["faults"].append(f"took more than {seconds} s\n{traceback.format_exc(limit=-8)}"[:4000])
    finally:
        signal.alarm(0)


def work(seeds: Sequence[int], root: Path, cli_every: int) -> None:
    """Try the seeds; a line of JSON for each on stdout, and its number before."""
    warnings.simplefilter("error")
    signal.signal(signal.SIGALRM, _too_slow)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for seed in seeds:
        print(json.dumps({"begun": seed}), flush=True)
        print(json.dumps(try_seed(seed, root, cli=seed % cli_every == 0)), flush=True)
        if seed % 20 == 0 or seed < seeds[0] + 5:
            gc.freeze()  # normalize collects after every slice


def supervise(seeds: Sequence[int], state: Path, until: float, cli_every: int) -> list[dict[str, Any]]:
    """Try the seeds that `state` does not hold yet, until that time; all that it holds then."""
    done = _read(state)
    waiting = [seed for seed in seeds if seed not in done]
    with open(state, "a", encoding="utf-8") as log:
        while waiting and time.time() < until:
            for found in _chunk(waiting[:CHUNK], until, cli_every):
                log.write(json.dumps(found) + "\n")
                log.flush()
                done[found["seed"]] = found
            waiting = [seed for seed in waiting if seed not in done]
            print(
                f"{len(done):,} seeds, {sum(bool(one['faults']) for one in done.values())} with faults", flush=True
            )
    return [done[seed] for seed in sorted(done)]


def _read(state: Path) -> dict[int, dict[str, Any]]:
    lines = state.read_text(encoding="utf-8").splitlines() if state.exists() else []
    return {found["seed"]: found for found in map(json.loads, lines)}


def _chunk(seeds: Sequence[int], until: float, cli_every: int) -> Iterator[dict[str, Any]]:
    """What a process finds in the seeds; one that it does not outlive is a fault, and ends the chunk."""
    begun = None
    with (
        tempfile.TemporaryDirectory(prefix="curate-fuzz-", dir=_scratch()) as root,
        tempfile.TemporaryFile() as err,
    ):
        command = [
            sys.executable,
            "-X",
            "faulthandler",
            __file__,
            "--work",
            ",".join(map(str, seeds)),
            "--keep",
            root,
        ]
        child = subprocess.Popen(
            [*command, "--cli-every", str(cli_every)], stdout=subprocess.PIPE, stderr=err, text=True
        )
        assert child.stdout is not None
        for line in child.stdout:
            found = json.loads(line)
            begun = found.get("begun")
            if begun is None:
                yield found
            if time.time() > until:
                child.terminate()
                begun = None
                break
        code = child.wait()
        if code and begun is not None:
            err.seek(0)
            last = err.read().decode(errors="replace")[:3000]
            yield {"seed": begun, "faults": [f"the process ended with {code}\n{last}"], "outcome": "crash"}


def _scratch() -> str | None:
    """A place in memory, where there is one: every file of a workspace is synced."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def summary(found: Sequence[dict[str, Any]], cli_every: int) -> dict[str, Any]:
    """The counts of a results file."""

    def count(*names: str) -> dict[str, int]:
        values = [" ".join(str(one.get(name, "-")) for name in names) for one in found if names[0] in one]
        return dict(sorted(Counter(values).items()))

    rows = Counter[str]()
    for one in found:
        rows.update(one.get("rows", {}))
    return {
        **measure.facts(),
        "seeds": [found[0]["seed"], found[-1]["seed"] + 1] if found else [],
        "files": len(found),
        "cli_every": cli_every,
        "faults": [{"seed": one["seed"], "fault": one["faults"][0][:400]} for one in found if one["faults"]],
        "rows_given_to_adapters": dict(rows),
        "outcomes": count("trial", "outcome"),
        "command_line": count("cli"),
        "formats": count("format", "outcome"),
        "names": count("name", "outcome"),
        "adapters_given_rows": count("direct"),
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0:10000", metavar="A:B", help="from A to before B")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so many; the next run goes on")
    parser.add_argument("--state", type=Path, default=Path(tempfile.gettempdir()) / "curate-fuzz.jsonl")
    parser.add_argument("--cli-every", type=int, default=75)
    parser.add_argument("--one", type=int, help="try this seed alone, and print what it found")
    parser.add_argument("--keep", type=Path, help="with --one: where its files stay")
    parser.add_argument("--save", action="store_true", help="write results/fuzz.json though seeds are left")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Try the seeds, print the faults, write the results file; 1 where there are faults."""
    options = _parse()
    if options.work:
        work([int(seed) for seed in options.work.split(",")], options.keep, options.cli_every)
        return 0
    if options.one is not None:
        with tempfile.TemporaryDirectory(dir=_scratch()) as scratch:
            root = options.keep or Path(scratch)
            found = try_seed(options.one, root, cli=options.one % options.cli_every == 0, keep=True)
        print("\n".join(found.pop("faults")), json.dumps(found), sep="\n")
        return 0
    seeds = list(trials.seeds(options.seeds))
    done = supervise(seeds, options.state, time.time() + 60 * options.minutes, options.cli_every)
    facts = summary(done, options.cli_every)
    for fault in facts["faults"]:
        print(f"seed {fault['seed']}: {fault['fault']}\n")
    print(json.dumps(facts["outcomes"], indent=1))
    if options.save or len(done) >= len(seeds):
        print(measure.save("fuzz", facts))
    return 1 if facts["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
