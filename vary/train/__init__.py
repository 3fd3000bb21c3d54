"""Train models: one loop, tasks, checkpoints; recipes are YAML data.

May import: everything but `cli`, `serve` and `evaluate`.
Does not belong here: samples (`data`), networks (`models`).
"""
