"""Use an image tower of transformers as a vision vocabulary: CLIP, SigLIP, DINOv2, ViT, Swin and others.

Towers of timm work through the model type `timm_wrapper`, if timm is installed. Names of tensors are those of the
installed transformers, without the level `vision_model.` that older versions add.
Shapes: B batch, C channels, H W pixels, N tokens, D width.
"""

from __future__ import annotations

import inspect
import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Vocabulary

CLASSES = {  # public classes that AutoModel does not find
    "blip_2_vision_model": "Blip2VisionModel",
    "blip_vision_model": "BlipVisionModel",
    "florence_vision": "Florence2VisionBackbone",
    "instructblip_vision_model": "InstructBlipVisionModel",
}


class TowerVocabulary(Vocabulary):
    """Encode pixels (B, C, H, W) as the patch tokens (B, N, D) of a tower.

    Args:
        config: Configuration of the tower, with its `model_type`.
        layer: Hidden state to return, counted as transformers does (0 is before the first layer, -2 before the last).
            None is the output of the tower. A list concatenates the channels of several.
        stride: Pixels per token, for a tower whose configuration has no `patch_size`.
        width: D, for a tower whose configuration has no `hidden_size`.
        pick: `patches` drops class and register tokens, `all` keeps them, `mean` puts the mean of all before them.
        repeat: Times that each token of a map is repeated on each side; `stride` is that of the repeated ones.
        class_token: Whether a CLIP has its class token; that of Qwen-VL has none.
        norm: Name of a norm inside the tower to apply to the chosen layer.
        unit: Scale every token to length 1.
        unpad: Encode every image without its padding; the tokens of padding are 0.
    """

    def __init__(
        self,
        config: dict[str, Any],
        layer: int | list[int | None] | None = None,
        stride: int | None = None,
        width: int | None = None,
        pick: Literal["patches", "all", "mean"] = "patches",
        norm: str | None = None,
        unit: bool = False,
        class_token: bool = True,
        repeat: int = 1,
        unpad: bool = False,
    ):
        super().__init__(
            config=config,
            layer=layer,
            stride=stride,
            width=width,
            pick=pick,
            norm=norm,
            unit=unit,
            class_token=class_token,
            repeat=repeat,
            unpad=unpad,
        )
        self.tower = _build(config)
        if not class_token:
            self.tower.pre_layrnorm.register_forward_pre_hook(_drop_first)
        own = self.tower.config
        self.layers = layer if isinstance(layer, list) else [layer]
        depth = getattr(own, "num_hidden_layers", None)
        for chosen in self.layers:
            if chosen is not None and depth is not None and not -depth - 1 <= chosen <= depth:
                raise ValueError(f"layer {chosen}: allowed are {-depth - 1} to {depth} for {depth} blocks")
        self.pick, self.norm, self.unit, self.repeat = pick, norm, unit, repeat
        self.width = len(self.layers) * int(width or _width(own))
        self.channels = int(getattr(own, "num_channels", 3))  # type: ignore[misc]  # a tower may differ from its class
        asked = inspect.signature(self.tower.forward).parameters
        self.asks = "pixel_values" if "pixel_values" in asked else next(iter(asked))  # LayoutLMv3 has it after its text
        self.masks, self.unpad = "patch_attention_mask" in asked, unpad
        self.native = self.masks or unpad
        self.frames = _frames(own)  # those of a video stand below each other in its pixels
        self.interpolates = "interpolate_pos_encoding" in asked and self.frames == 1

    @classmethod
    def stride_of(cls, **sizes: Any) -> tuple[int, int]:
        """Return `stride`, or else the patch size of the tower. A token of a video has the rows of several frames."""
        config, stride = sizes["config"], sizes.get("stride") or sizes["config"].get("patch_size")
        if stride is None:
            own = tower_config(config)
            if _frames(own) > 1:
                return own.tubelet_size[0] * own.tubelet_size[1], own.tubelet_size[2]
            stride = getattr(own, "patch_size", None)
        if isinstance(steps := config.get("patch_stride"), list | tuple):
            stride = math.prod(steps)
        if not isinstance(stride, int):
            raise ValueError(
                f"vocabulary tower, {config['model_type']}: give stride, the pixels per token; got {stride!r}"
            )
        return stride, stride

    def forward(self, pixels_BCHW: Tensor, sizes_B2: Tensor | None = None) -> Tensor:
        """Encode images. Positions are interpolated for sizes other than the stored one.

        `sizes_B2` holds the sizes without padding, for towers that mask the rest.

        Raises:
            ValueError: A side is not a multiple of the stride, or the tower returns too few tokens.
        """
        if self.unpad and sizes_B2 is not None:
            return self._unpadded(pixels_BCHW, sizes_B2)
        high, wide = pixels_BCHW.shape[-2:]
        stored = (high, wide) == _stored_size(self.tower.config)  # SigLIP's 384 px are 27 patches of 14 px and a rest
        if not stored and (high % self.stride[0] or wide % self.stride[1]):
            raise ValueError(f"image of {high}x{wide} px: both sides must be multiples of {self.stride[0]}")
        rows, columns = self.grid(high, wide)
        options: dict[str, Any] = {}
        if self.interpolates and not stored:
            options["interpolate_pos_encoding"] = True
        if self.masks and sizes_B2 is not None:
            options["patch_attention_mask"] = self.used(sizes_B2, high, wide).unflatten(1, (rows, columns))
        deep = any(layer is not None for layer in self.layers)
        if self.frames > 1:
            pixels_BCHW = pixels_BCHW.unflatten(2, (self.frames, -1)).transpose(1, 2)
        options |= {self.asks: pixels_BCHW} | ({"output_hidden_states": True} if deep else {})
        out = self.tower(**options)
        found = [out.last_hidden_state if k is None else out.hidden_states[k] for k in self.layers]
        return self._pick([self._flatten(tokens) if tokens.ndim == 4 else tokens for tokens in found], rows * columns)

    def _unpadded(self, pixels_BCHW: Tensor, sizes_B2: Tensor) -> Tensor:
        """Encode the images of each size together."""
        found = pixels_BCHW.new_zeros(len(pixels_BCHW), *self.grid(*pixels_BCHW.shape[-2:]), self.width)
        for high, wide in sorted({(high, wide) for high, wide in sizes_B2.tolist()}):
            own, (rows, columns) = (sizes_B2 == sizes_B2.new_tensor((high, wide))).all(1), self.grid(high, wide)
            found[own, :rows, :columns] = self(pixels_BCHW[own, :, :high, :wide]).unflatten(1, (rows, columns))
        return found.flatten(1, 2)

    def from_tokens(self, tokens_BND: Tensor, grid: tuple[int, int]) -> Tensor:
        """Encode the tokens of another vocabulary in place of patch embeddings (DeepSeek-OCR, arXiv 2510.18234)."""
        embedding = next(module for module in self.tower.modules() if isinstance(module, nn.Conv2d))
        given = tokens_BND.mT.unflatten(2, grid)
        handle = embedding.register_forward_hook(lambda *_: given)
        try:
            sides = [cells * stride for cells, stride in zip(grid, self.stride, strict=True)]
            return self(tokens_BND.new_zeros(len(tokens_BND), embedding.in_channels, *sides))
        finally:
            handle.remove()

    def _flatten(self, map_BDHW: Tensor) -> Tensor:
        repeated = map_BDHW.repeat_interleave(self.repeat, 2).repeat_interleave(self.repeat, 3)
        return repeated.flatten(2).mT

    def _pick(self, found: list[Tensor], cells: int) -> Tensor:
        kept = []
        for tokens in found:
            extra = tokens.shape[1] - cells
            if extra < 0:
                raise ValueError(f"the tower gives {tokens.shape[1]} tokens for a grid of {cells} cells")
            tokens = self.tower.get_submodule(self.norm)(tokens) if self.norm else tokens
            tokens = tokens[:, extra:] if self.pick == "patches" else tokens
            tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1) if self.pick == "mean" else tokens
            kept.append(F.normalize(tokens, dim=-1) if self.unit else tokens)
        return kept[0] if len(kept) == 1 else torch.cat(kept, -1)


def _drop_first(module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
    """Drop the first token of a module's input."""
    return (given[0][:, 1:],)


def _width(config: Any) -> int:
    """Return the width of the tokens of a tower; a tower of several stages has that of the last one."""
    stages = getattr(config, "embed_dim", None) or getattr(config, "hidden_sizes", None)
    return stages[-1] if isinstance(stages, list | tuple) else config.hidden_size


def _build(config: dict[str, Any]) -> Any:
    """Build a tower with random weights."""
    import transformers  # takes seconds, and a reader of lines needs none of it

    own = tower_config(config)
    name = CLASSES.get(config["model_type"])
    tower = getattr(transformers, name)(own) if name else transformers.AutoModel.from_config(own)
    return getattr(tower, "vision_model", tower)


def tower_config(config: dict[str, Any]) -> Any:
    """Return the configuration of transformers that a mapping describes."""
    from transformers import AutoConfig

    values = dict(config)
    return AutoConfig.for_model(values.pop("model_type"), **values)


def _stored_size(config: Any) -> tuple[int, int]:
    """Return the size of image (height, width) that positions are stored for."""
    size = getattr(config, "image_size", 0)
    high, wide = (size, size) if isinstance(size, int) else size
    return high * _frames(config), wide


def _frames(config: Any) -> int:
    """Return the frames of a video that a tower sees at once; 1 for a tower of images."""
    return int(config.num_frames) if isinstance(getattr(config, "tubelet_size", None), list | tuple) else 1
