"""A user's own data, without code: `<name>.yaml` in a manifests directory names an adapter and a column map.

    adapter: preference          # preference | scored | ranking
    files: ["*.jsonl"]           # globs inside the raw directory
    columns:                     # our name: theirs; a column that bears our name already needs no entry
      prompt: [question, context]  # several columns are joined by line breaks
      chosen: answers.0          # a path into a column
      rejected: bad
      images: pics
    optional: [images]           # mapped columns that a row may lack; any other mapped column must be in every row
    ignore: [tools, rating]      # columns to leave out: any other that looks like media, scores, tool calls or a
                                 # part of the prompt must be mapped
    json: [images]               # columns whose text is JSON (lists in a CSV file)
    media: ["pictures/*"]        # archives and directories that image paths are looked up in
    replies: images              # the replies are images, or videos; text by default
    license: cc-by-4.0

preference   prompt, chosen, rejected: texts or message lists. Without a prompt, chosen and rejected are whole
             dialogues (message lists, or transcripts of Human and Assistant) or texts, and the prompt is what
             they share; `rejected` may be a list of texts, one pair for each; margin, or chosen_score and
             rejected_score; chosen_critique, rejected_critique
scored       prompt, response_a, response_b (or two whole dialogues) with score_a, score_b (`lower_is_better:
             true` turns them round); or with a mapped column `preference`, whose values `verdicts: {theirs: a | b
             | tie | skip | {a: 2.0}}` translates, or that is a number with a `threshold`; several columns, or a
             list, are annotators of whom the majority decides
ranking      prompt, a list of responses (or several columns) and a list of scores; `pairing` says which pairs
             that gives (best_vs_worst | all_unequal | adjacent), `lower_is_better: true` that the scores are
             ranks; or with a mapped column `preference`, a list of verdicts over (1, 2), (1, 3), ..., (2, 3), ...

All of them read system, images, videos, tools, category, group, annotator and license where they exist. Images are
one or a list of: path, bytes, `{bytes, path}`, base64. Their place is where `<image>` stands in the prompt, or
where an image block stands in its messages, else before the first user turn.
"""

from curate.sources.generic.manifest import discover, from_table, load, to_yaml

__all__ = ["discover", "from_table", "load", "to_yaml"]
