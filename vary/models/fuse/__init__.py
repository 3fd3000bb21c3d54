"""Bring image tokens into the language model.

Belongs here: one file per way and one line in `FUSIONS`; `images.py` counts and arranges the images of prompts. May
import torch and transformers. Never here: how image tokens are made (`vocab/`, `connect/`).
"""

from .base import Attend, Fusion
from .cross import Cross
from .images import PromptImages, encode_images_of_prompts, place_image_tokens

FUSIONS: dict[str, type[Fusion]] = {"prefix": Fusion, "cross": Cross, "attend": Attend}

__all__ = ["FUSIONS", "Fusion", "PromptImages", "encode_images_of_prompts", "place_image_tokens"]
