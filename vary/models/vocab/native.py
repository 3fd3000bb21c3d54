"""Encode images of any size in their own proportions: raw patches (Fuyu), and the tower of Qwen2-VL.

Shapes: B images, C channels, H W pixels, N tokens, D width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Vocabulary


class PatchVocabulary(Vocabulary):
    """Return the pixels of every patch, without an encoder (Fuyu).

    Args:
        patch: Side of a patch in pixels.
    """

    def __init__(self, patch: int = 30):
        super().__init__(patch=patch)
        self.patch, self.width = patch, 3 * patch * patch

    @classmethod
    def stride_of(cls, **sizes: Any) -> tuple[int, int]:
        """Return the side of a patch."""
        return (sizes.get("patch", 30),) * 2

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Return (B, N, D) in the order row, column, channel of each patch."""
        side = self.patch
        patches = pixels_BCHW.unfold(2, side, side).unfold(3, side, side)  # (B, C, rows, columns, side, side)
        return patches.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)


class PackedVocabulary(Vocabulary):
    """Encode images of different sizes in one sequence of patches, by the tower of Qwen2-VL, arXiv 2409.12191.

    Args:
        config: Configuration of the tower (`qwen2_vl_vision`).
    """

    native = True

    def __init__(self, config: dict[str, Any]):
        super().__init__(config=config)
        from transformers import AutoConfig, AutoModel

        values = {key: value for key, value in config.items() if key != "model_type"}
        small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1]}
        text = {**small, "num_key_value_heads": 2, "vocab_size": 8, "rope_parameters": rope, "pad_token_id": None}
        whole = AutoConfig.for_model("qwen2_vl", vision_config=values, text_config=text)
        self.tower: Any = AutoModel.from_config(whole).visual  # the class of the tower is not public
        self.width = self.tower.config.hidden_size

    @classmethod
    def stride_of(cls, **sizes: Any) -> tuple[int, int]:
        """Return the side of a window of merged patches."""
        config = sizes["config"]
        return (config.get("patch_size", 14) * config.get("spatial_merge_size", 2),) * 2

    def forward(self, pixels_BCHW: Tensor, sizes_B2: Tensor | None = None) -> Tensor:
        """Encode images to (B, N, D); tokens of padding are 0."""
        merge = self.tower.config.spatial_merge_size
        packed, grids = self.pack(pixels_BCHW, sizes_B2)
        out = self.tower(packed, grid_thw=grids)
        rows, columns = self.grid(*pixels_BCHW.shape[-2:])
        cells = [(h // merge, w // merge) for _, h, w in grids.tolist()]
        split = out.pooler_output.split([h * w for h, w in cells])
        whole = [
            F.pad(tokens.unflatten(0, size), (0, 0, 0, columns - size[1], 0, rows - size[0]))
            for tokens, size in zip(split, cells, strict=True)
        ]
        return torch.stack(whole).flatten(1, 2)

    def pack(self, pixels_BCHW: Tensor, sizes_B2: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return all patches (P, D), window by window, and the frames, rows and columns of each image (B, 3)."""
        own = self.tower.config
        merge, patch, frames = own.spatial_merge_size, own.patch_size, own.temporal_patch_size
        sizes = [list(pixels_BCHW.shape[-2:])] * len(pixels_BCHW) if sizes_B2 is None else sizes_B2.tolist()
        packed = []
        for pixels, (high, wide) in zip(pixels_BCHW, sizes, strict=True):
            windows = pixels[:, :high, :wide].unflatten(1, (-1, merge, patch)).unflatten(4, (-1, merge, patch))
            ordered = windows.permute(1, 4, 2, 5, 0, 3, 6)  # window, patch in it, channel, pixel in it
            packed.append(ordered.flatten(0, 3)[:, :, None].expand(-1, -1, frames, -1, -1).flatten(1))
        grids = [[1, high // patch, wide // patch] for high, wide in sizes]
        return torch.cat(packed), torch.tensor(grids, device=pixels_BCHW.device)
