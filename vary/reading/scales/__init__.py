"""Read a page at the scale that suits its type: measure the type, and combine readings at several scales.

May import: `reading.field`, `reading.spelling`, `document`, `io`.
Does not belong here: the passes over the page themselves (`reading.reader`).
"""
