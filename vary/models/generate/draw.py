"""Draw the images that an answer holds as words: the codes of a VQ-VAE (LlamaGen, DALL-E, CogView, Parti, MaskGIT)."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from ...io.errors import ConfigError, InputError
from ..vocab.codes import CodeVocabulary


def count_codes(model: Any) -> tuple[int, int]:
    """Return the id of the first code of a model, and the number of its codes.

    Raises:
        ConfigError: The model has no codes that can be drawn.
    """
    if not isinstance(model.vocabularies[0], CodeVocabulary):
        raise ConfigError("this model has no codes of images that can be drawn; they need a vocabulary `codes`")
    return model.fusion.first, model.vocabularies[0].coder.config.num_embeddings


@torch.no_grad()
def draw_images(model: Any, ids_BT: Tensor) -> Tensor:
    """Return the last image of each answer, (B, C, H, W) with values from 0 to 1.

    Args:
        model: A model with `fusion: codes` and a vocabulary `codes`.
        ids_BT: Prompts with their answers, as `generate` returns them.

    Raises:
        ConfigError: The model has no codes that can be drawn.
        InputError: An answer has fewer codes than an image.
    """
    first, known = count_codes(model)
    vocabulary, preprocess = model.vocabularies[0], model.config.vocabularies[0]["preprocess"]
    codes = ids_BT - first
    there = (codes >= 0) & (codes < known)
    count = prod(vocabulary.grid(preprocess["size"], preprocess["size"]))
    rows = []
    for number, (row, own) in enumerate(zip(codes, there, strict=True), 1):
        if int(own.sum()) < count:
            raise InputError(f"answer {number} holds {int(own.sum())} codes; an image has {count}")
        rows.append(row[own][-count:])
    pixels = vocabulary.draw(torch.stack(rows))
    mean, std = (pixels.new_tensor(preprocess[key]).reshape(-1, 1, 1) for key in ("mean", "std"))
    return (pixels * std + mean).clamp(0, 1)
