"""Bring image tokens into the language model.

Belongs here: one file per way and one line in `FUSIONS`; `images.py` counts and arranges the images of prompts;
`routes.py` gives some tokens other parameters, of the kinds in `branches.py`. May
import torch and transformers. Never here: how image tokens are made (`vocab/`, `connect/`).
"""

from .base import Attend, Fusion, Sight
from .branches import BRANCHES
from .cross import Cross
from .images import PromptImages, encode_images_of_prompts, place_image_tokens
from .routes import Routes, Where, split_route

FUSIONS: dict[str, type[Fusion]] = {"prefix": Fusion, "cross": Cross, "attend": Attend}

__all__ = [
    "BRANCHES",
    "FUSIONS",
    "Fusion",
    "PromptImages",
    "Routes",
    "Sight",
    "Where",
    "encode_images_of_prompts",
    "place_image_tokens",
    "split_route",
]
