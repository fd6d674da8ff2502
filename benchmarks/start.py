"""What a command costs that has nothing to do: help, a plan and a mix that is up to date, beside other tools'
help.

    python benchmarks/start.py --save          CPU and wall seconds, the least of nine runs; writes
    results/start.json

The mix is the quickstart's, from bundled rows. The peers are command lines that users of preference data have:
`hf` (huggingface_hub) and `trl`, and `import datasets`, with which any script begins that reads the mix.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import measure

BIN = Path(sys.executable).parent
MAIN = ["-m", "curate"]


def commands(workspace: Path) -> dict[str, list[str | Path]]:
    """The commands by name; those of curate first."""
    work: list[str | Path] = ["--workspace", workspace]
    return {
        "curate --help": [sys.executable, *MAIN, "--help"],
        "curate plan": [sys.executable, *MAIN, "plan", "quickstart", *work],
        "curate mix, up to date": [sys.executable, *MAIN, "mix", "quickstart", *work, "--json"],
        "hf --help": [BIN / "hf", "--help"],
        "trl --help": [BIN / "trl", "--help"],
        "import datasets": [sys.executable, "-c", "import datasets"],
    }


def benchmark(rounds: int) -> dict[str, Any]:
    """The least CPU and wall seconds of each command; one run before them makes the mix and the bytecode."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        listed = commands(Path(folder) / "workspace")
        environment = {"COLUMNS": "80", "HF_HUB_OFFLINE": "1"}
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        for turn in range(rounds + 1):
            for name, command in listed.items():
                cost = measure.run(command, environment)
                if turn:
                    best = found.setdefault(name, {"cpu": cost.cpu, "wall": cost.wall, "mb": cost.process_mb})
                    best |= {key: min(best[key], getattr(cost, key)) for key in ("cpu", "wall")}
    return {name: {key: round(value, 3) for key, value in one.items()} for name, one in found.items()}


def main() -> None:
    """Run everything, print the table, with `--save` write results/start.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--save", action="store_true", help="write results/start.json")
    given = parser.parse_args()
    found = benchmark(given.rounds)
    least = found["hf --help"]["cpu"]
    rows = [
        (name, one["cpu"], one["wall"], one["mb"], round(one["cpu"] / least, 2)) for name, one in found.items()
    ]
    print(measure.table(rows, ("command", "CPU s", "wall s", "peak MB", "times hf --help")))
    if given.save:
        print(measure.save("start", {**measure.facts(), "rounds": given.rounds, "commands": found}))


if __name__ == "__main__":
    main()
