"""curate serve."""

from pathlib import Path
from typing import Annotated

import typer

from curate import trainer_process
from curate.cli.server_options import LOOPBACK, HostOption, check_server_installed


def serve(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL|ENSEMBLE", help="A reward model's directory, or an ensemble.yaml.", show_default=False
        ),
    ],
    host: HostOption = LOOPBACK,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="Requests must carry the token in FILE (or CURATE_SERVE_TOKEN), as Authorization: Bearer, or as "
            "?token= from clients without headers.",
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Tokens of one forward pass.")] = 8192,
    max_length: Annotated[
        int | None,
        typer.Option("--max-length", min=1, help="Tokens of a dialogue.  [default: as many as the model has]"),
    ] = None,
    queue: Annotated[int, typer.Option("--queue", min=1, help="Dialogues that may wait.")] = 1024,
    max_body: Annotated[int, typer.Option("--max-body", min=1, metavar="MIB", help="Size of a request.")] = 32,
    max_images: Annotated[int, typer.Option("--max-images", min=0, help="Images of a request.")] = 64,
    fallback: Annotated[
        float,
        typer.Option("--fallback", help="What /get_reward answers without a score, or with a full queue."),
    ] = 0.0,
    multi_turn: Annotated[
        bool,
        typer.Option(
            "--multi-turn",
            help="Take a rendered string with several replies as a dialogue. It is refused otherwise: a policy "
            "can write what looks like the next turns.",
        ),
    ] = False,
) -> None:
    """Serve the scores of a reward model or an ensemble over HTTP.

    Routes: /score; /pooling, /classify, /v1/embeddings as vLLM's and SGLang's; /get_reward for OpenRLHF, /slime,
    /lf for LLaMA-Factory; /health, /v1/models, /metrics. Scores are raw unless a request asks for use_activation.
    Images are data URIs; no address is fetched. Ctrl-C or SIGTERM: what was taken is answered, then it ends.
    """
    trainer_process.check_installed()
    check_server_installed("serve")
    options = {
        "host": host, "port": port, "token-file": token_file, "max-tokens": max_tokens, "max-length": max_length,
        "queue": queue, "max-body": max_body, "max-images": max_images, "fallback": fallback,
    }  # fmt: skip
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    trainer_process.become("trainer.serve", [str(model), *given, *(["--multi-turn"] if multi_turn else [])])
