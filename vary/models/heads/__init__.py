"""Heads on vision features."""
