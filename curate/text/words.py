"""What a word is, for all passes over texts; `curate.text.word_kernels` finds and hashes words.

A word is a longest run of letters, digits and underscores; punctuation and space do not matter. In Chinese,
Japanese and Korean, which are written without spaces, every character is a word. Words are the same where their
normal form is (see `curate.text.normal_form`): neither case nor the code points that spell them matter.
"""

VERSION = 2
"""Goes up when another hash, or another word, is made of a text; part of every sketch that rests on words."""
