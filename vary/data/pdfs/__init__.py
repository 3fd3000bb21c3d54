"""Use pages of real PDFs as training samples: images with the text of the text layer, and crops with boxes.

May import: `io`, `document`, `markup`, `data.sample`, `data.degrade`, `data.corpus`.
Does not belong here: opening PDFs for reading (`io.pdf`).
"""
