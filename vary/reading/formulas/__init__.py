"""Write formulas as LaTeX.

Belongs here: finding formulas in lines of a text layer or of pixels, and reading the formula in a given place from
glyphs of either. Does not: the networks (`models/generate`, `reading/engines`).
"""
