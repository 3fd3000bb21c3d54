"""Convert foreign checkpoints to our format and back, one file per family of layouts.

May import: the rest of `models`. This is the only place that opens pickles, in a child process.
Does not belong here: sizes of named models (`zoo`).
"""
