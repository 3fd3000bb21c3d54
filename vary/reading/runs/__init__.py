"""Read many files: `read_all` with its ledger, its pool of worker processes and its output files.

May import: the rest of `reading`.
Does not belong here: reading one page (`reading.pages`, `reading.reader`).
"""
