"""The text that models read and write: parse, normalise, write."""
