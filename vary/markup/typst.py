"""Escape Python values as Typst string and list literals."""

from __future__ import annotations

from collections.abc import Sequence


def typst_string(text: str) -> str:
    """A Typst string literal: no sign of the text is markup."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def typst_list(values: Sequence[str]) -> str:
    """A Typst array of strings."""
    return "(" + ", ".join(typst_string(v) for v in values) + ",)"
