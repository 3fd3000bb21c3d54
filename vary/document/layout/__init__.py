"""Lines of a page -> tables, figures and text in reading order, by the geometry of lines, rules and ink.

May import: `document`, numpy and Pillow. Never here: kinds of text blocks (`structure.py`), formats, engines.
"""

__all__ = [
    "aligned_tables",
    "arrange",
    "bitmap",
    "bullets",
    "cells",
    "figures",
    "form_fields",
    "gutters",
    "open_tables",
    "paragraphs",
    "reading_order",
    "ruled_tables",
    "ruling_lines",
    "side_by_side",
    "table_rows",
]
