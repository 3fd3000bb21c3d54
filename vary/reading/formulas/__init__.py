"""Write formulas as LaTeX.

Belongs here: reading the formula in a given place, from glyphs of a text layer or from pixels, and finding formulas in
lines of pixels. Does not: finding formulas in the lines of a text layer (`reading/layer/formula_spans`), nor the
networks (`models/generate`, `reading/engines`).
"""
