"""Generate samples from natural images: photographs, object detection, pasted objects.

May import: `markup`, `io`, `data.sample`, `data.degrade`, `data.corpus`.
Does not belong here: pages and documents.
"""
