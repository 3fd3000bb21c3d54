"""What a page says and how it is laid out: lines, reading order, kinds of blocks, and the formats they are written in.

May import: the standard library, numpy, Pillow, `io.errors` and `io.box`.
Never here: opening files, models, torch.
"""
