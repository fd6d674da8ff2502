"""How well probes rank mixes as training does: what `benchmarks/probe_study.py` measured, the one home of it."""

import json
from dataclasses import dataclass
from importlib.resources import files

FILE = "probe_agreement.json"
LEAST_TAU = 0.25
"""Below it a proxy says nothing about full runs, and nothing is recommended from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAgreement:
    """Kendall's tau with its 95 % interval over so many mixes; None where too few have full runs."""

    model: str
    mixes: int
    items: int
    tau: float | None
    low: float | None
    high: float | None

    def text(self) -> str:
        """One sentence that can be cited."""
        if self.tau is None:
            return (
                f"How well a probe agrees with training has not been measured: the study on {self.model} has full "
                f"runs of {self.mixes} mixes, too few for a ranking."
            )
        doubt = (
            "" if self.low is None or self.low > 0 else " The interval includes 0: confirm what probes suggest."
        )
        return (
            f"On {self.model} and real rows, probes ranked {self.mixes} mixes as LoRA runs did with Kendall's "
            f"τ = {self.tau:.2f}, 95 % [{self.low:.2f}, {self.high:.2f}], judged on {self.items:,} items.{doubt}"
        )


def published() -> ProbeAgreement:
    """What the study found."""
    return ProbeAgreement(**json.loads(files(__package__).joinpath(FILE).read_text(encoding="utf-8")))
