"""`python -m tests.support.hub --root DIR [--port N] [--faults SEED]`: a Hub to play with, until Ctrl-C."""

import argparse
import contextlib
import signal
from pathlib import Path

from .faults import Plan
from .hub import Hub


def main() -> None:
    """Serve, and say what the client needs to know."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.hub", description="a Hugging Face Hub on 127.0.0.1"
    )
    parser.add_argument("--root", type=Path, required=True, help="where the repos are kept")
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    parser.add_argument("--faults", type=int, metavar="SEED", help="let requests fail, drawn from this seed")
    parser.add_argument("--rate", type=float, default=0.3, help="how many requests fail (with --faults)")
    parser.add_argument(
        "--most", type=int, default=2, help="failures per endpoint and path at most (with --faults)"
    )
    parser.add_argument("--cdn", action="store_true", help="large files by redirect, as on the real Hub")
    parser.add_argument("--token", default="hf_test=me", metavar="TOKEN=USER", help="default: %(default)s")
    args = parser.parse_args()
    token, _, user = args.token.partition("=")
    plan = Plan(seed=args.faults, rate=args.rate, most=args.most, seconds=1)
    with Hub(args.root, port=args.port, faults=plan, cdn=args.cdn, verbose=True) as hub:
        hub.add_token(token, user or "me")
        settings = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1"}
        with contextlib.suppress(KeyboardInterrupt):
            print("export " + " ".join(f"{name}={value}" for name, value in settings.items()), flush=True)  # noqa: T201 - to be pasted in a shell
            signal.pause()


if __name__ == "__main__":
    main()
