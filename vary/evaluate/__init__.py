"""Measuring: metrics, tasks, peers, one run."""
