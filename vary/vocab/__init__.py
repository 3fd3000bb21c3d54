"""Vision vocabularies: pixels (B, C, H, W) -> tokens (B, N, D).

A vocabulary is a module with `width` (D), `stride` (pixels per token: rows, columns), `channels` (C) and
`grid(height, width)`. Adding one is one file and one line here.
"""

from __future__ import annotations

from typing import Any

from .nano import NanoVocabulary
from .vocabulary import Vocabulary

VOCABULARIES: dict[str, type[Vocabulary]] = {"nano": NanoVocabulary}


def build_vocabulary(name: str, **sizes: Any) -> Vocabulary:
    """A vocabulary with random weights. Raises ValueError for an unknown name."""
    if name not in VOCABULARIES:
        raise ValueError(f"unknown vocabulary {name!r}; allowed: {', '.join(VOCABULARIES)}")
    return VOCABULARIES[name](**sizes)


__all__ = ["VOCABULARIES", "NanoVocabulary", "Vocabulary", "build_vocabulary"]
