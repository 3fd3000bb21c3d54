"""Bytes in and out, safely: files, images, PDFs, child processes, the errors a user can cause.

May import: the standard library, numpy, Pillow, pypdfium2, pikepdf and filelock; no other package of `vary`.
Never here: what a page says, models, torch.
"""
