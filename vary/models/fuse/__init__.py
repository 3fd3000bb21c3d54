"""Bring image tokens into the language model.

Belongs here: one file per way and one line in `FUSIONS`; `images.py` counts and arranges the images of prompts;
`routes.py` gives some tokens other parameters, of the kinds in `branches.py`; `regions.py` describes parts of an image.
May import torch and transformers. Never here: how image tokens are made (`vocab/`, `connect/`).
"""

from .base import Attend, Codes, Fusion, HookState, Modality
from .branches import BRANCHES
from .cross import Cross
from .images import PromptImages, encode_images_of_prompts, place_image_tokens
from .regions import REGIONS, RegionReader
from .routes import Routes, Where, split_route

FUSIONS: dict[str, type[Fusion]] = {
    "prefix": Fusion,
    "cross": Cross,
    "attend": Attend,
    "codes": Codes,
    "modality": Modality,
}

__all__ = [
    "BRANCHES",
    "FUSIONS",
    "REGIONS",
    "Fusion",
    "HookState",
    "PromptImages",
    "RegionReader",
    "Routes",
    "Where",
    "encode_images_of_prompts",
    "place_image_tokens",
    "split_route",
]
