"""Write a `Document` as Markdown, HTML, JSON, plain text, searchable PDF or page overlays.

May import: the rest of `document`; `io` only through a caller's files.
Does not belong here: finding structure.
"""
