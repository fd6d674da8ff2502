"""What a word is, for all passes over texts; `curate.text.word_kernels` finds and hashes words.

A word is a longest run of letters, digits and underscores; punctuation and space do not matter. In Chinese,
Japanese and Korean, which are written without spaces, every character is a word. Words are the same where their
normal form is (see `curate.text.normal_form`): neither case nor the code points that spell them matter.
"""

VERSION = 3
"""Goes up when another hash, or another word, is made of a text; part of every sketch that rests on words.

The versions of MinHash, NearDedup and Traits go up with it: a mix is made again where its decisions would
differ."""
