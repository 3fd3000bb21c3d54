"""Bring image tokens into the language model.

Belongs here: one file per way (`prefix` puts them between the embeddings of the prompt). May import torch.
Never here: how image tokens are made (`vocab/`, `merge.py`, `connect/`).
"""

from .prefix import place_image_tokens, repeat_rows, used_images

__all__ = ["place_image_tokens", "repeat_rows", "used_images"]
