"""What a page says and how it is laid out: lines, reading order, kinds of blocks, and the formats they are written in.

May import: the standard library, numpy and Pillow; no other package of `vary`.
Never here: opening files, models, torch.
"""

__all__ = [
    "blocks",
    "elements",
    "evidence",
    "formats",
    "layout",
    "lines",
    "orientation",
    "running_text",
    "structure",
]
