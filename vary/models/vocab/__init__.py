"""Vision vocabularies: pixels (B, C, H, W) -> tokens (B, N, D).

A vocabulary is a module with `width` (D), `channels` (C), `stride_of` (pixels per token) and `grid(height, width)`.
Adding one is one file and one line here.
"""

from __future__ import annotations

from typing import Any

from ...io.errors import ConfigError
from .base import Vocabulary
from .clip import ClipVocabulary
from .nano import NanoVocabulary
from .sam import SamVocabulary
from .siglip import SiglipVocabulary
from .towers import HfVocabulary

VOCABULARIES: dict[str, type[Vocabulary]] = {
    "clip": ClipVocabulary,
    "hf": HfVocabulary,
    "nano": NanoVocabulary,
    "sam": SamVocabulary,
    "siglip": SiglipVocabulary,
}


def build_vocabulary(name: str, **sizes: Any) -> Vocabulary:
    """A vocabulary with random weights. Raises ValueError for an unknown name."""
    if name not in VOCABULARIES:
        raise ConfigError(f"unknown vocabulary {name!r}; allowed: {', '.join(VOCABULARIES)}")
    return VOCABULARIES[name](**sizes)


__all__ = [
    "VOCABULARIES",
    "ClipVocabulary",
    "HfVocabulary",
    "NanoVocabulary",
    "SamVocabulary",
    "SiglipVocabulary",
    "Vocabulary",
    "build_vocabulary",
]
