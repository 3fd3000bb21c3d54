"""Write formulas as LaTeX: glyphs that a head found, the grammar of steps, the search for the steps of given glyphs.

May import: `markup`. Needs no PyTorch: networks are behind the protocol `StepModel`.
"""
