"""Define what a model returns: logits and loss, and the features of its vocabularies.

Shapes: B batch, T text tokens, V words, P images, M image tokens, N vision tokens, D E widths,
R F A as in `modeling.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor
from transformers.modeling_outputs import CausalLMOutputWithPast


@dataclass
class VaryOutput(CausalLMOutputWithPast):
    """Hold loss (scalar), logits (B, T, V), the cache, and image tokens (P, M, E) if images were given."""

    image_hidden_states: Tensor | None = None


# transformers renames the cache: `past_key_values` before 5.24, `cache` since
CACHE = "cache" if "cache" in {field.name for field in fields(CausalLMOutputWithPast)} else "past_key_values"


@dataclass
class VisionFeatures:
    """Hold the tokens (B, N, D) of each vocabulary and its grid (rows, columns).

    With a reading head also its logits (B, R, F, A) and geometry (B, R, F, M).
    """

    tokens: list[Tensor]
    grids: list[tuple[int, int]]
    logits: Tensor | None = None
    geometry: Tensor | None = None
