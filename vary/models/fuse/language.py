"""Build the language model of a configuration, whatever class of transformers computes it.

Most come from AutoModel. Some are no model of their own in transformers; they are taken out of a larger one.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
import transformers  # its Auto classes are looked up late: importing them imports `modeling.py`
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.modeling_outputs import CausalLMOutputWithPast

from ...io.errors import ConfigError
from ..connect import Grid

if TYPE_CHECKING:  # its module may be what imports this one (`hub.register`)
    from transformers import PreTrainedModel

INSIDE: dict[str, tuple[str, str, dict[str, Any]]] = {  # model type -> the model around it, its path, other sizes
    "kosmos_2_text_model": (
        "kosmos-2", "text_model.model",
        {"vision_config": {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}},
    ),
}  # fmt: skip
INNER, FIRST, LAST = 1, 2, 3  # marks of image tokens: between the first and the last of their run, or one of these
HEADED = {"blip_text_model": "BlipTextLMHeadModel"}  # classes that return logits


def build_language_model(config: PreTrainedConfig) -> PreTrainedModel:
    """Build a language model with random weights."""
    kind = config.model_type
    if kind in HEADED:
        return getattr(transformers, HEADED[kind])(config)
    if kind not in INSIDE:
        return transformers.AutoModel.from_config(config)
    whole, path, sizes = INSIDE[kind]
    whole_config = transformers.AutoConfig.for_model(whole, text_config=config.to_dict(), **sizes)
    around = transformers.AutoModel.from_config(whole_config)
    return cast("PreTrainedModel", around.get_submodule(path))


# transformers renames the cache: `past_key_values` before 5.24, `cache` since
CACHE = "cache" if "cache" in {field.name for field in fields(CausalLMOutputWithPast)} else "past_key_values"


@dataclass
class VaryOutput(CausalLMOutputWithPast):
    """Hold loss (scalar), logits (B, T, V), the cache, and image tokens (P, M, E) if images were given.

    `aux_loss` is the part of the loss that does not depend on the labels, such as the balance of experts.
    `predictions` holds, for each head of the configuration, what it reads out of the tokens that it knows.
    """

    image_hidden_states: Tensor | None = None
    aux_loss: Tensor | None = None
    predictions: list[Tensor | None] | None = None


class Head(nn.Linear):
    """Project the states of a language model (B, T, E) to logits (B, T, V).

    Args:
        width: E.
        words: V.
        bias: Whether the projection has a bias.
        scale: Factor of the states (T5 has one).
    """

    def __init__(self, width: int, words: int, bias: bool = False, scale: float = 1.0):
        super().__init__(width, words, bias)
        self.scale = scale

    def forward(self, hidden: Tensor) -> Tensor:
        """Return logits."""
        return super().forward(hidden if self.scale == 1 else hidden * self.scale)


def layers_of(part: nn.Module) -> list[nn.Module]:
    """Return the layers of a vocabulary or language model: the entries of its longest ModuleList."""
    return list(max((m for m in part.modules() if isinstance(m, nn.ModuleList)), key=len, default=[part]))


def embedding_name(language_model: PreTrainedModel) -> str:
    """Return the name of the embedding table in a language model, such as `embed_tokens.weight`."""
    table = language_model.get_input_embeddings().weight
    return next(name for name, parameter in language_model.named_parameters() if parameter is table)


def shift_right(labels_BT: Tensor, config: PreTrainedConfig) -> Tensor:
    """Return the inputs of a decoder that should answer `labels`: the start token, then all labels but the last."""
    moved = labels_BT.roll(1, 1)
    moved[:, 0] = config.decoder_start_token_id
    return moved.masked_fill(moved == -100, config.pad_token_id)


def is_first_pass(cache: Any) -> bool:
    """Return whether a cache holds no tokens yet."""
    return cache is None or cache.get_seq_length() == 0


def prefix_of(ids_BT: Tensor, mask_BT: Tensor | None, prefix_BP: Tensor | None, labels_BT: Tensor | None) -> Tensor:
    """Return which tokens (B, T) are before the first answer.

    Args:
        ids_BT: The tokens.
        mask_BT: Which of them are not padding.
        prefix_BP: The prefix. It may be shorter than the tokens, when `generate` runs without a cache. Without one it
            is everything before the first answer.
        labels_BT: -100 for what is no answer. Without labels there is no answer.
    """
    there = torch.ones_like(ids_BT, dtype=torch.bool) if mask_BT is None else mask_BT.bool()
    if prefix_BP is None:
        return there if labels_BT is None else there & ((labels_BT != -100).cumsum(1) == 0)
    return F.pad(prefix_BP.bool(), (0, ids_BT.shape[1] - prefix_BP.shape[1]))


def first_pass_mask(
    ids_BT: Tensor, mask_BT: Tensor | None, prefix_BP: Tensor | None, labels_BT: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """Return the mask (B, 1, T, T) by which all tokens of a prefix see each other, and the others what is before.

    The arguments are those of `prefix_of`, and the type of the mask.
    """
    prefix_BT = prefix_of(ids_BT, mask_BT, prefix_BP, labels_BT)
    there = torch.ones_like(prefix_BT) if mask_BT is None else mask_BT.bool()
    square = torch.ones(prefix_BT.shape[1], prefix_BT.shape[1], dtype=torch.bool, device=prefix_BT.device)
    seen = (square.tril() | (prefix_BT[:, None] & prefix_BT[:, :, None])) & there[:, None]
    seen = seen | (square.tril() & square.triu())  # padding sees itself, so nothing is NaN
    lowest = torch.finfo(dtype).min
    return torch.zeros(seen.shape, dtype=dtype, device=prefix_BT.device).masked_fill(~seen, lowest)[:, None]


def positions_of(rule: dict[str, Any], mask_BT: Tensor, marks_BT: Tensor, grids: list[list[Grid]]) -> Tensor | None:
    """Return position ids: None for those that every language model counts by itself.

    Args:
        rule: `positions` of the configuration: `plain` from `first`, `shared` or `mrope`.
        mask_BT: Which tokens are not padding.
        marks_BT: Which tokens are image tokens (`PromptImages.marks`).
        grids: Rows and columns of image tokens of the images of each prompt.

    Returns:
        (B, T), or (3, B, T) for `mrope`: time, row and column. An image token has the time of its image and its own
        row and column; text goes on after the largest of them (Qwen2-VL, arXiv 2409.12191 section 2.1). With `shared`
        all tokens of an image but its first and last have one position (CogVLM, arXiv 2311.03079 section 2.1).
    """
    if rule["name"] == "mrope":
        rows = zip(mask_BT.bool(), marks_BT > 0, grids, strict=True)
        return torch.stack([_mrope(mask, images, own) for mask, images, own in rows], 1)
    if rule["name"] == "shared":
        inner = marks_BT == INNER
        repeated = F.pad(inner[:, 1:] & inner[:, :-1], (1, 0))
        return _count_from_0(mask_BT * ~repeated)
    if not rule.get("first"):
        return None
    return _count_from_0(mask_BT) + rule["first"]


def unpadded_positions(model: PreTrainedModel, mask_BT: Tensor | None) -> Tensor | None:
    """Return position ids (B, T) that count from 0 after padding on the left; a language model counts that, too.

    None without such padding, or for a model that takes no position ids.
    """
    takes = "position_ids" in inspect.signature(model.forward).parameters
    if not takes or mask_BT is None or mask_BT.ndim != 2 or bool(mask_BT[:, 0].all()):
        return None
    return _count_from_0(mask_BT)


def _count_from_0(mask_BT: Tensor) -> Tensor:
    """Return the number (B, T), from 0, of each token that is not padding."""
    return (mask_BT.long().cumsum(1) - 1).clamp(min=0)


def count_tokens(mask_BT: Tensor | None, embeds_BTE: Tensor, cache: Any) -> Tensor:
    """Return the numbers (B, T), from 0, of the tokens of a pass; the mask and the cache include earlier tokens."""
    if mask_BT is None:
        before = 0 if cache is None else cache.get_seq_length()
        mask_BT = embeds_BTE.new_ones(1, before + embeds_BTE.shape[1])
    return (mask_BT.cumsum(1) - 1).clamp(min=0)[:, -embeds_BTE.shape[1] :]


def hide_positions(model: PreTrainedModel) -> None:
    """Let a language model add zeros in place of the positions that it has.

    Raises:
        ConfigError: It adds no positions to the embeddings.
    """
    table = getattr(model, "embed_positions", None)
    if table is None:
        raise ConfigError(f"positions: xpos needs a model with embed_positions; {model.config.model_type} has none")
    table.register_forward_hook(_zeros)


def _zeros(module: nn.Module, args: Any, out: Tensor) -> Tensor:
    return torch.zeros_like(out)


def _mrope(mask_T: Tensor, images_T: Tensor, grids: list[Grid]) -> Tensor:
    found = torch.zeros(3, len(mask_T), dtype=torch.long, device=mask_T.device)
    at, place, left = 0, int((~mask_T).sum()), list(grids)
    while place < len(mask_T):
        if images_T[place]:
            rows, columns = left.pop(0)
            cells = torch.arange(rows * columns, device=mask_T.device)
            where = torch.stack([torch.zeros_like(cells), cells // columns, cells % columns])
            found[:, place : place + rows * columns] = at + where
            at, place = at + max(rows, columns), place + rows * columns
        else:
            found[:, place] = at
            at, place = at + 1, place + 1
    return found
