"""Heads: small networks on vision features and on states of the language model, such as the one that spells text lines.

May import: torch, transformers, `document`, `io.errors`.
Does not belong here: targets (`train`), decoding of a reading head's output (`reading`).
"""

from .detector import Detector
from .grounding import BoxHead, CellHead, MaskHead, TokenHead

HEADS: dict[str, type[TokenHead]] = {"boxes": BoxHead, "cells": CellHead, "detector": Detector, "masks": MaskHead}
