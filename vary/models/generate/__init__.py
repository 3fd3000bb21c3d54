"""Write text with a model: chat answers, text strips, formulas; and the guard against endless repetition.

May import: the rest of `models`.
Does not belong here: networks of the vision side, losses.
"""
