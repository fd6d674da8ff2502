"""A user's own data, without code: `<name>.yaml` in a manifests directory names an adapter and a column map.

    adapter: preference          # preference | scored | ranking
    files: ["*.jsonl"]           # globs inside the raw directory
    columns:                     # our name: theirs; a column that bears our name already needs no entry
      prompt: question
      chosen: good
      rejected: bad
      images: pics
    optional: [images]           # mapped columns that a row may lack; any other mapped column must be in every row
    ignore: [tools, rating]      # columns to leave out: any other that looks like media, scores, tool calls or a
                                 # part of the prompt must be mapped
    json: [images]               # columns whose text is JSON (lists in a CSV file)
    media: ["pictures/*"]        # archives and directories that image paths are looked up in
    license: cc-by-4.0

preference   prompt, chosen, rejected: texts or message lists; without a prompt, chosen and rejected are whole
             dialogues that share it (then message lists: where two texts stop being the same is nobody's guess);
             margin, or chosen_score and rejected_score; chosen_critique, rejected_critique
scored       prompt, response_a, response_b with score_a, score_b (`lower_is_better: true` turns them round); or
             with a mapped column `preference`, whose values `verdicts: {theirs: a | b | tie}` translates
ranking      prompt, a list of responses and a list of scores; `pairing` says which pairs that gives
             (best_vs_worst | all_unequal | adjacent), `lower_is_better: true` that the scores are ranks

All of them read system, images, videos, category, group, annotator and license where they exist. Images are one
or a list of: path, bytes, `{bytes, path}`, base64. Their place is where `<image>` stands in the prompt, or where
an image block stands in its messages, else before the first user turn.
"""

from curate.sources.generic.manifest import discover, load

__all__ = ["discover", "load"]
