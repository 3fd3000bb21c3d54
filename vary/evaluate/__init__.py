"""Measure readers and models: tasks, published benchmarks, metrics, other programs on the same pages, reports.

May import: everything but `cli`, `serve` and `train`.
Does not belong here: test data of the package (`tests`), timing programs (`benchmarks`).
"""
