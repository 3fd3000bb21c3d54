"""Define how images reach a language model, and the two ways that need no weights of their own.

Shapes: B prompts, T text tokens, I images, M tokens of an image, D their width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig


@dataclass
class HookState:
    """What the forward hooks of one model read; set before each forward pass of the part that they change.

    `tokens_BIMD` are the image tokens for cross-attention, and `seen_BT` is the image that each text token sees (-1
    sees none). `places` holds, for each kind of tokens that a route can take, the indices of those tokens: one tensor
    for each branch of the route; None is all tokens. `numbers_BT` counts the tokens of each prompt from 0, for xPos.
    `kinds_B` is 1 for prompts with images. `shares` holds, for each branch that mixes adapters, their shares for both
    kinds of prompts. `losses` are further terms of the loss.
    """

    tokens_BIMD: Tensor | None = None
    seen_BT: Tensor | None = None
    places: dict[str, list[Tensor | None]] = field(default_factory=lambda: {"all": [None]})
    numbers_BT: Tensor | None = None
    kinds_B: Tensor | None = None
    shares: dict[nn.Module, Tensor] = field(default_factory=dict)
    losses: list[Tensor] = field(default_factory=list)

    def loss(self) -> Tensor | None:
        """Return the sum of the further terms of the loss of the last forward; None without any."""
        return sum(self.losses[1:], self.losses[0]) if self.losses else None

    @contextmanager
    def replaced(self, **values: Any) -> Iterator[None]:
        """Hold other values inside a `with` block."""
        before = dict(vars(self))
        vars(self).update(values)
        try:
            yield
        finally:
            vars(self).update(before)

    def contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Return the contexts of a checkpointed layer: the backward pass computes it again with the values of now."""
        return nullcontext(), self.replaced(**vars(self) | {"losses": []})


class Fusion(nn.Module):
    """Put image tokens between the embeddings of the prompt (`prefix`).

    `places` is how many tokens of the prompt one image has; None is one for each of its image tokens.
    """

    given: ClassVar = ("width", "text", "layers", "hooks")
    places: ClassVar[int | None] = None

    def __init__(self, width: int, text: PreTrainedConfig, layers: list[nn.Module], hooks: HookState):
        super().__init__()

    def prepare(self, language_model: nn.Module, is_image_BT: Tensor) -> None:
        """Look at the whole prompt, in the first pass over it. By default nothing is done."""

    def inputs(
        self, tokens_BIMD: Tensor | None, present_BI: Tensor | None, is_image_BT: Tensor | None
    ) -> dict[str, Any]:
        """Return further inputs of the language model by which it sees images.

        Args:
            tokens_BIMD: Tokens of the images of each prompt; None without images.
            present_BI: Which of them are there.
            is_image_BT: Which tokens of the prompt mark an image.
        """
        return {}

    def embed(self, tokens_LD: Tensor, table: nn.Module) -> Tensor:
        """Return the embeddings (L, E) of image tokens, given the embedding table of the language model."""
        return tokens_LD

    def targets(self, labels_BT: Tensor, is_image_BT: Tensor, tokens_LD: Tensor) -> Tensor:
        """Return labels in which images that the model should write have their ids."""
        return labels_BT


class Modality(Fusion):
    """As `prefix`; layers learn from a token that nothing else sees whether a prompt has images (LaVIN).

    That token sees itself alone, so it goes through the language model without the prompt. Its states in the layers
    give the shares of the adapters of `MixedAdapters`. Source: arXiv 2305.15023 section 3.2.

    Args:
        width, text, layers, hooks: As in `Fusion`.
    """

    def __init__(self, width: int, text: PreTrainedConfig, layers: list[nn.Module], hooks: HookState):
        super().__init__(width, text, layers, hooks)
        self.kinds, self.hooks = nn.Embedding(2, text.hidden_size), hooks

    def prepare(self, language_model: nn.Module, is_image_BT: Tensor) -> None:
        """Compute the shares of prompts without and with images, and which prompt is of which kind."""
        self.hooks.shares = {}
        with self.hooks.replaced(places={"all": [None]}, kinds_B=None):
            language_model(inputs_embeds=self.kinds.weight[:, None], use_cache=False)
        self.hooks.kinds_B = is_image_BT.any(1).long()


class Codes(Fusion):
    """Read and write an image as words of the language model: each token is the id of its nearest vector in a table.

    Source: SEED, arXiv 2310.01218 section 3.1. Where labels mark an image token, the model learns to write its id.

    Args:
        width: D.
        text, layers, hooks: As in `Fusion`.
        first: Id of the first vector.
        count: Number of vectors; None for tokens that are numbers of vectors already.
    """

    def __init__(
        self,
        width: int,
        text: PreTrainedConfig,
        layers: list[nn.Module],
        hooks: HookState,
        first: int,
        count: int | None = None,
    ):
        super().__init__(width, text, layers, hooks)
        self.table, self.first = None if count is None else nn.Embedding(count, width), first

    def ids(self, tokens_LD: Tensor) -> Tensor:
        """Return the ids (L)."""
        if self.table is None:
            return tokens_LD[:, 0].long() + self.first
        return torch.cdist(tokens_LD.float(), self.table.weight.float()).argmin(-1) + self.first

    def embed(self, tokens_LD: Tensor, table: nn.Module) -> Tensor:
        """Return the embeddings of the ids."""
        return table(self.ids(tokens_LD))

    def targets(self, labels_BT: Tensor, is_image_BT: Tensor, tokens_LD: Tensor) -> Tensor:
        """Return labels with the ids of images, where they are learnt."""
        ids = torch.zeros_like(labels_BT).masked_scatter(is_image_BT, self.ids(tokens_LD))
        return torch.where(is_image_BT & (labels_BT != -100), ids, labels_BT)


class Attend(Fusion):
    """Give the image tokens to the cross-attention that the language model has. The prompt has no token for them."""

    places = 0

    def inputs(
        self, tokens_BIMD: Tensor | None, present_BI: Tensor | None, is_image_BT: Tensor | None
    ) -> dict[str, Any]:
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
