"""Heads: small networks on vision features, such as the reading head that spells text lines.

May import: torch, `document`, `io.errors`.
Does not belong here: losses and targets (`train`), decoding of a head's output (`reading`).
"""
