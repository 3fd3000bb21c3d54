"""What a stage trains on: the `Task` protocol and one file per task (reading, strips, chat, formulas, glyphs).

May import: the rest of `train`, `reading`, `data`, `models`.
Does not belong here: the loop, checkpoints, recipes.
"""
