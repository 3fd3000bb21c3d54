"""Read pages: pixels or a PDF's text layer to a `Document`, one file or many, here or on a server.

May import: `models`, `document`, `markup`, `io`. PyTorch and transformers only inside functions that need them.
Does not belong here: layout rules (`document`), training (`train`), HTTP servers (`serve`).
"""
