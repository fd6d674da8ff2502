"""The label audit on real rows: HH-RLHF as SmolLM2-135M-Instruct sees it, a tenth of the labels reversed.

    python benchmarks/audit_real.py --work DIR [--save]

DIR is the one that benchmarks/real_model.py --work DIR has filled: its pairs, mix and preset are used, and the
features that its probe computed (bf16, pairs of at most 1,024 tokens); those that are missing are computed.
Labels are reversed by us with a seed, so that it is known which; errors that the rows have already are not known,
and count as right. The 50 most suspect original pairs are in the report that is written to DIR/audit.html.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from audit_worlds import auroc
from measure import facts, save, table

from curate.analysis import audit_run
from curate.analysis.audit import AuditPairs, audit
from curate.analysis.audit_tables import lines
from curate.arrays import B8
from curate.engines.local import Local
from curate.html_report.page import page
from curate.inputs import Inputs
from curate.inspect.artefacts import find_mix
from curate.inspect.targets import find
from curate.workspace import Workspace

SHARE, SEEDS, TOP = 0.1, 5, 100
NAME = "hh"


def reversed_(pairs: AuditPairs, seed: int) -> tuple[AuditPairs, Any]:
    """The pairs with SHARE of their labels reversed, and which."""
    known: B8 = ~np.isnan(pairs.values.sum(axis=1))
    draw = np.random.Generator(np.random.PCG64(seed))
    flipped = np.zeros(len(known), np.bool_)
    flipped[draw.choice(np.flatnonzero(known), int(SHARE * known.sum()), replace=False)] = True
    sign = np.where(flipped, -1.0, 1.0)
    rulers = {name: values * sign for name, values in pairs.rulers.items()}
    values = pairs.values * sign[:, None].astype(np.float32)
    made = AuditPairs(
        values=values, rulers=rulers, source=pairs.source, labels=pairs.labels, clusters=pairs.clusters
    )
    return made, flipped


def trial(pairs: AuditPairs, seed: int) -> dict[str, float]:
    """How well the reversed labels of one seed are found."""
    made, flipped = reversed_(pairs, seed)
    found = audit(made)
    known = ~np.isnan(found.margin)
    suspicion = {"margin": -found.margin[known], "without rulers": -found.without_rulers[known]}
    hits = flipped[known]
    out = {"agreement": float((found.margin[known] > 0).mean()), "self-check": found.self_check}
    for name, values in suspicion.items():
        out[f"AUROC, {name}"] = auroc(values, hits)
        out[f"top {TOP}, {name}"] = float(hits[np.argsort(-values)[:TOP]].mean())
    return out


def main() -> None:
    """Run the trials, write the report, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    work = given.work.absolute()
    workspace, preset = Workspace(work), str(work / "smollm2.yaml")
    inputs = Inputs(workspace=workspace, manifests=work / "manifests")
    with workspace.hold(), Local(1) as engine:
        targets = find([NAME], inputs)
        start = time.process_time()
        pairs, _, _ = audit_run.gather(targets, NAME, workspace, preset, (), engine)
        trials = [trial(pairs, seed) for seed in range(SEEDS)]
        record = audit_run.carry_out(targets, NAME, workspace, preset, (), 200, engine)
        report = page(find_mix(NAME, workspace), workspace, None, pairs=20, seed=0)
    (work / "audit.html").write_text(report, encoding="utf-8")
    names = list(trials[0])
    means = {name: float(np.mean([one[name] for one in trials])) for name in names}
    spread = {name: float(np.std([one[name] for one in trials], ddof=1)) for name in names}
    print(table([(name, f"{means[name]:.3f}", f"{spread[name]:.3f}") for name in names], ("what", "mean", "sd")))
    print("\n".join(lines(record)), f"report: {work / 'audit.html'}", sep="\n")
    if given.save:
        result = {
            **facts(), "pairs": record["pairs"], "with_features": record["with_features"], "reversed": SHARE,
            "seeds": SEEDS, "chance": SHARE, "mean": means, "sd": spread, "cpu_s": time.process_time() - start,
            "original": {name: record[name] for name in ("self_check", "sources", "strata")},
        }  # fmt: skip
        print(save("audit_real", json.loads(json.dumps(result, default=float))))


if __name__ == "__main__":
    main()
