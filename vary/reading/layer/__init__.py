"""Read the text layer of a PDF page: make lines, check them against the pixels, heal wrong fonts.

May import: the rest of `reading`, `document`, `io`.
Does not belong here: extraction of characters and drawings from PDFs (`io.pdf_text`, `io.pdf_objects`).
"""
