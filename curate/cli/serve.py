"""curate serve."""

from pathlib import Path
from typing import Annotated

import typer

from curate import trainer_process
from curate.cli.options import MAX_TOKENS, MaxTokensOption
from curate.cli.server_options import LOOPBACK, HostOption, PortOption, check_server_installed

ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL|ENSEMBLE", help="A reward model's directory, or an ensemble.yaml.", show_default=False
    ),
]
ClientTokenOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="Requests must carry the token in FILE (or CURATE_SERVE_TOKEN), as Authorization: Bearer, or as "
        "?token= from clients without headers.",
    ),
]
MaxLengthOption = Annotated[
    int | None,
    typer.Option("--max-length", min=1, help="Tokens of a dialogue.  [default: as many as the model has]"),
]
QueueOption = Annotated[int, typer.Option("--queue", min=1, help="Dialogues that may wait.")]
MaxBodyOption = Annotated[int, typer.Option("--max-body", min=1, metavar="MIB", help="Size of a request.")]
MaxImagesOption = Annotated[int, typer.Option("--max-images", min=0, help="Images of a request.")]
FallbackOption = Annotated[
    float, typer.Option("--fallback", help="What /get_reward answers without a score, or with a full queue.")
]
MultiTurnOption = Annotated[
    bool,
    typer.Option(
        "--multi-turn",
        help="Take a rendered string with several replies as a dialogue. It is refused otherwise: a policy "
        "can write what looks like the next turns.",
    ),
]


def serve(
    model: ModelArgument,
    host: HostOption = LOOPBACK,
    port: PortOption = 8000,
    token_file: ClientTokenOption = None,
    max_tokens: MaxTokensOption = MAX_TOKENS,
    max_length: MaxLengthOption = None,
    queue: QueueOption = 1024,
    max_body: MaxBodyOption = 32,
    max_images: MaxImagesOption = 64,
    fallback: FallbackOption = 0.0,
    multi_turn: MultiTurnOption = False,
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
