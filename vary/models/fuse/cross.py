"""Let layers of the language model look at image tokens: gated cross-attention before some of them.

The modules are next to the language model and reach its layers by PyTorch's forward hooks, so its own tensors keep
their names. Source: Flamingo, arXiv 2204.14198 section 3.2; the options are those of IDEFICS and OpenFlamingo.
Shapes: B prompts, T text tokens, I images, M tokens of an image, D their width, E width of the language model.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from ..connect.attention import Attention, RMSNorm
from ..connect.plain import Gated, Mlp
from .base import Fusion, HookState, seen_images


class GatedCross(nn.Module):
    """Add what a layer's input sees in the images, scaled by learnt gates that start at 0."""

    def __init__(
        self,
        hooks: HookState,
        width: int,
        text: PreTrainedConfig,
        options: dict[str, Any],
        channels: slice = slice(None),
    ):
        super().__init__()
        self.channels = channels  # of the image tokens
        wide, eps, vector = text.hidden_size, getattr(text, "rms_norm_eps", 1e-6), options["vector"]
        heads = options["heads"] or text.num_attention_heads
        self.hooks = hooks
        plain = options["norm"] == "layer"
        self.norm, self.ff_norm = (nn.LayerNorm(wide) if plain else RMSNorm(wide, eps) for _ in range(2))
        self.attention = Attention(
            wide, width, heads, options["head_dim"] or wide // heads,
            head_norm=RMSNorm if options["head_norm"] else None, eps=eps,
        )  # fmt: skip
        self.ff: nn.Module
        if options["ff"] == "gated":
            self.ff = Gated(wide, wide, text.intermediate_size, text.hidden_act)
        else:
            self.ff = Mlp(wide, wide, 2, options["ff"], options["hidden"] or 4 * wide, bias=False)
        shape = (1, 1, wide) if vector else (1,)
        self.gate, self.ff_gate = nn.Parameter(torch.zeros(shape)), nn.Parameter(torch.zeros(shape))

    def before(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Change the input of a layer; registered as its forward pre-hook."""
        if self.hooks.tokens_BIMD is None or self.hooks.seen_BT is None:
            return args, kwargs
        if args:
            return (self(args[0]), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": self(kwargs["hidden_states"])}

    def forward(self, hidden_BTE: Tensor) -> Tensor:
        """Return (B, T, E)."""
        tokens, seen = self.hooks.tokens_BIMD, self.hooks.seen_BT
        assert tokens is not None
        assert seen is not None
        tokens = tokens[..., self.channels]
        images, each = tokens.shape[1:3]
        sees = torch.arange(images, device=seen.device) == seen[..., None]  # (B, T, I)
        blind = ~sees.any(-1)
        mask = (sees | blind[..., None]).repeat_interleave(each, -1)[:, None]
        found = self.attention(self.norm(hidden_BTE), tokens.flatten(1, 2).to(hidden_BTE.dtype), mask)
        hidden_BTE = hidden_BTE + torch.tanh(self.gate) * found.masked_fill(blind[..., None], 0.0)
        return hidden_BTE + torch.tanh(self.ff_gate) * self.ff(self.ff_norm(hidden_BTE), (1, 1))


class Cross(Fusion):
    """Gated cross-attention before every n-th layer. The prompt has one token per image; text sees the last image.

    Args:
        width: D.
        text: Configuration of the language model.
        layers: Its layers.
        hooks: What its hooks read.
        every: Layers from one cross-attention to the next.
        first: Layer before which the first one is.
        heads, head_dim: Heads and their width; those of the language model by default.
        norm: Kind of the norms.
        ff: Feed-forward layer: `gated`, of the size of the language model's, or an activation.
        hidden: Width of a feed-forward layer with an activation; four times E by default.
        head_norm: Norm queries and keys by head.
        vector: One gate per channel in place of one per layer.
        levels: Each cross-attention sees channels of its own, those of another layer of the tower (EVLM,
            arXiv 2407.14177).
    """

    places = 1

    def __init__(
        self,
        width: int,
        text: PreTrainedConfig,
        layers: list[nn.Module],
        hooks: HookState,
        every: int = 4,
        first: int = 0,
        heads: int | None = None,
        head_dim: int | None = None,
        norm: Literal["layer", "rms"] = "rms",
        ff: str = "gated",
        head_norm: bool = False,
        vector: bool = False,
        hidden: int | None = None,
        levels: bool = False,
    ):
        super().__init__(width, text, layers, hooks)
        self.hooks = hooks
        chosen = layers[first::every]
        options = {
            "heads": heads,
            "head_dim": head_dim,
            "norm": norm,
            "ff": ff,
            "head_norm": head_norm,
            "vector": vector,
            "hidden": hidden,
        }
        own = width // len(chosen) if levels else width
        blocks = [
            GatedCross(self.hooks, own, text, options, slice(k * own, (k + 1) * own) if levels else slice(None))
            for k in range(len(chosen))
        ]
        self.blocks = nn.ModuleList(blocks)
        for block, layer in zip(blocks, chosen, strict=True):
            layer.register_forward_pre_hook(block.before, with_kwargs=True)

    def inputs(
        self, tokens_BIMD: Tensor | None, present_BI: Tensor | None, is_image_BT: Tensor | None
    ) -> dict[str, Any]:
        """Give the images to the hooks, or tell them that there are none."""
        self.hooks.tokens_BIMD, self.hooks.seen_BT = tokens_BIMD, None
        if present_BI is not None and is_image_BT is not None:
            self.hooks.seen_BT = seen_images(is_image_BT, present_BI)
        return {}
