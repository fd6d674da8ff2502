"""Dolci-Think-DPO-7B: the preference mixture of Olmo 3 Think 7B; replies begin with their reasoning.

150,000 pairs by the delta-learning heuristic. The layout is that of `dolci_instruct`, whose adapter reads it;
reasoning inside the text (`<think>`) stays where it is. Evidence: public data tables (150,000 rows, ODC-BY) and
training scripts that name the set. Unverified: the columns but `chosen` and `rejected`, and the file names.
"""

from curate.sources.base import Source
from curate.sources.dolci_instruct import columns, to_pairs

SOURCE = Source(
    repo="allenai/Dolci-Think-DPO-7B",
    files=("data/train-*.parquet",),
    license="odc-by",
    paper="arXiv:2512.13961",
    rows=150_000,
    pairs=150_000,
    reads=("chosen", "rejected", "chosen_model", "rejected_model", "prompt_id", "preference_type"),
    to_pairs=to_pairs,
    columns=columns,
)
