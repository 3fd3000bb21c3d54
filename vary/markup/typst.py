"""Escape Python values as Typst string and list literals."""

from __future__ import annotations

from collections.abc import Sequence


def typst_string(text: str) -> str:
    """Return a Typst string literal; nothing in the text is taken for markup."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def typst_list(values: Sequence[str]) -> str:
    """Return a Typst array of string literals."""
    return "(" + ", ".join(typst_string(v) for v in values) + ",)"
