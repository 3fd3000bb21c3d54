"""Generate pages of running text with a box for every character (`PageSource`).

May import: `document`, `markup`, `data.sample`, `data.degrade`, `data.corpus`.
Does not belong here: structured documents (`data.documents`), pages of real PDFs (`data.pdfs`).
"""
