"""Expected rows and files of the bundled sources before anything is pinned, and the origin of each number.

Row counts change upstream, so each comes with its origin; `curate pin` counts again where the files allow it.
"""

from collections.abc import Mapping

UNKNOWN = "no count was found that could be trusted"

ORIGINS: Mapping[str, str] = {
    "judgebench": "README of the publisher: splits gpt, 350, and claude, 270",
    "mm_rlhf_rewardbench": "counted in the published file: 46 ids",
    "multimodal_rewardbench": "released rows; the paper's 5,211 less 500 withheld",
    "rewardbench": "dataset card, split filtered",
    "rewardbench2": "dataset card, split test",
    "ppe_preference": "a public list of test sets, votes without a winner included; unverified",
    "rmb_best_of_n": "counted in the publisher's repository: 2,109 helpfulness and 1,677 harmlessness",
    "rmb_pairwise": "unverified: only a part of the publisher's files could be read",
    "rm_bench": "count of the publications; the rows themselves were not all seen",
    "vl_rewardbench": "counted in the published rows; papers say 1,247 or 1,250",
    "dolci_instruct": "public data tables: 259,922 rows, the number that a training script of the publisher takes",
    "dolci_think": "public data tables and the paper",
    "edit_reward": "front matter of the dataset card",
    "ultrainteract": "front matter of the dataset card",
    "vision_arena": "a public inspection of the set; the publisher says 30k",
    "helpsteer2": "preference rows as published, 6,766 train and 352 validation in one file",
    "helpsteer3": "dataset card: 40,476 rows, of which 38,459 train",
    "llava_critic": "dataset viewer, split train: 40,154 rows of config pairwise, 72,782 of pointwise",
    "mm_rlhf": "lines of dpo_pairs.jsonl as listed upstream; data.jsonl has 16,342 rankings",
    "omnialign_v": "sum of six subsets in the publisher's own training configuration",
    "povid": "dataset viewer; the file of 2024-04-01",
    "r1_reward": "front matter of the dataset card; the sizes listed beside it disagree",
    "rlaif_v": "dataset viewer; an older revision had 44,757",
    "rlhf_v": "dataset viewer",
    "shp": "table of the dataset card, split train",
    "skywork_reward": "dataset card of v0.2; v0.1 had 81,973",
    "spa_vl": "dataset viewer, config default, split train",
    "tulu3_if": "count of BaseReward's table (65k) and of the Tulu-3 recipe",
    "ultrafeedback": "README of the publisher: prompts, four completions each",
    "vlfeedback": "dataset viewer",
    "wildchat_ultrafeedback": "sum of the splits as published",
}
"""Where `rows` of each bundled source and eval set comes from."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "hh_rlhf": tuple(
        f"{subset}/{split}.jsonl.gz"
        for subset in ("harmless-base", "helpful-base", "helpful-online", "helpful-rejection-sampled")
        for split in ("train", "test")
    ),
    "mm_rlhf": ("dpo_pairs.jsonl", "data.jsonl"),
    "mmpr": ("meta.json", "annotations.zip", "annotations/**/*.jsonl"),
    "omni_preference": ("dataset_jsonl/image/final_rl_data.jsonl", "dataset_jsonl/video/final_rl_data.jsonl"),
    "omni_reward_data": ("**/train-*.parquet", "**/*.tar"),
    "vilreward": ("vilreward_73k_train.json",),
    "wildchat_ultrafeedback": ("data/*.parquet",),
}
"""Patterns of all files that a source with `row_files` may choose from, whatever its options."""
