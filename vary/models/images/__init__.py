"""Images before and after a vocabulary: resizing, cutting into views, and the order of the tokens of all views.

Belongs here: what follows from sizes of images. Never here: networks that encode pixels (`vocab/`).
"""
