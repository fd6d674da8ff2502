"""Renew the lock: lock.txt, all packages of all extras with their hashes, and lock-pip.txt, the pip that reads it.

`make lock` runs this. uv resolves for every platform and every Python from 3.11 on, on the index alone.

lock.txt is a file of constraints, not of requirements: pip 26 checks the hashes of constraints, and refuses what
they do not name. So a machine gets what its builds ask for and no more. That matters for torch: the release on the
index asks for CUDA libraries of several GB, the CPU build of the same release for none of them.
"""

import subprocess
import sys
from pathlib import Path

from requirements import PROJECT, requirements

ROOT = Path(__file__).parent.parent
TORCH = "2.13.0"
CPU_BUILDS = {  # torch's own index has these, the common one has not; named by release, Python and platform
    "2.13.0 cp311 x86_64": "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
    "2.13.0 cp312 x86_64": "4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2",
    "2.13.0 cp313 x86_64": "3fbf9c9d1f3c10c2d59d04aca426dee9ccc6ceb32d255c61e93acc3b4f75fae6",
}
HEADER = "# Renew with: make lock. Constraints with hashes; see .ci/lock.py.\n"


def resolve(asked: list[str]) -> str:
    """Return pins with hashes of `asked` and of all that it needs, one package after the other."""
    command = ["uv", "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes", "--quiet"]
    command += ["--no-header", "--no-config", "--no-annotate", "-"]
    uv = [sys.executable, "-m", *command]
    done = subprocess.run(uv, input="\n".join(asked), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def with_cpu_builds(lock: str) -> str:
    """Return the lock with the hashes of torch's CPU builds beside those that the index has."""
    builds = [digest for name, digest in CPU_BUILDS.items() if name.startswith(f"{TORCH} ")]
    pin = f"\ntorch=={TORCH} \\\n"
    if pin not in lock or not builds:
        sys.exit(f".ci/lock.py: no CPU build of torch {TORCH}: set TORCH and CPU_BUILDS to one release")
    return lock.replace(pin, pin + "".join(f"    --hash=sha256:{digest} \\\n" for digest in builds))


def main() -> None:
    """Write both files."""
    everything = [*requirements(list(PROJECT["project"]["optional-dependencies"])), f"torch=={TORCH}", "uv"]
    (ROOT / "lock.txt").write_text(HEADER + with_cpu_builds(resolve(everything)), encoding="utf-8")
    (ROOT / "lock-pip.txt").write_text(HEADER + resolve(["pip>=26.3"]), encoding="utf-8")


if __name__ == "__main__":
    main()
