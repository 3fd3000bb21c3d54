"""Define how a language model sees images, and the two ways that need no weights of their own.

Shapes: B prompts, T text tokens, I images, M tokens of an image, D their width.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import PreTrainedConfig


class Fusion(nn.Module):
    """Put image tokens between the embeddings of the prompt (`prefix`).

    `places` is how many tokens of the prompt one image has; None is one for each of its image tokens.
    """

    given: ClassVar = ("width", "text", "layers")
    places: ClassVar[int | None] = None

    def __init__(self, width: int, text: PreTrainedConfig, layers: list[nn.Module]):
        super().__init__()

    def look(self, tokens_BIMD: Tensor | None, present_BI: Tensor | None, is_image_BT: Tensor | None) -> dict[str, Any]:
        """Return further inputs of the language model by which it sees images.

        Args:
            tokens_BIMD: Tokens of the images of each prompt; None without images.
            present_BI: Which of them are there.
            is_image_BT: Which tokens of the prompt mark an image.
        """
        return {}


class Attend(Fusion):
    """Give the image tokens to the cross-attention that the language model has. The prompt has no token for them."""

    places = 0

    def look(self, tokens_BIMD: Tensor | None, present_BI: Tensor | None, is_image_BT: Tensor | None) -> dict[str, Any]:
        """Return the states that the language model attends to."""
        if tokens_BIMD is None or present_BI is None:
            return {}
        mask = present_BI[..., None].expand(tokens_BIMD.shape[:3]).flatten(1)
        return {"encoder_hidden_states": tokens_BIMD.flatten(1, 2), "encoder_attention_mask": mask.long()}


def seen_images(is_image_BT: Tensor, present_BI: Tensor) -> Tensor:
    """Return the image that each token sees: the last one before it, or -1.

    Earlier tokens may be missing, when a cache holds them.
    """
    marks = is_image_BT.long()
    before = present_BI.sum(1, keepdim=True) - marks.sum(1, keepdim=True)
    return marks.cumsum(1) + before - 1
