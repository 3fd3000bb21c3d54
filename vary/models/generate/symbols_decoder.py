"""Write LaTeX from glyphs: a set encoder over classes and boxes, and a decoder that points at the glyphs it writes.

No pixels are needed: glyphs come from a glyph head or from a PDF's text layer. Each step is one piece of structure
(`markup/math_tokens.py`) or a pointer to one glyph; structure and glyphs share one softmax. A character can therefore
only be written by pointing at a glyph that has it, and no glyph is written twice.

Shapes: B batch, N glyphs, T steps, D width, H heads, S structure steps, F pair features, P width of a pair.
Frame of boxes: x0, y0, x1, y1 in 1/16 of the size of the type, y down; where the formula lies does not count.
Sources: pointer networks (Vinyals et al. 2015), relative geometry as an attention bias (Hu et al. 2018, relation
networks).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...io.errors import ConfigError
from ..formulas.writer import stack_glyphs

FREQUENCIES, LONGEST, SHORTEST = 16, 2000.0, 6.0  # wavelengths of positions, in the unit of boxes
PAIR_FREQUENCIES, PAIR_LONGEST = 6, 400.0
PAIR_WIDTH = 32


class Attention(nn.Module):
    """Multi-head attention; queries and keys turn with their positions (RoPE) where positions are given."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.out = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)

    def split(self, x_BTD: Tensor, position: Tensor | None = None) -> Tensor:
        """(B, T, D) -> (B, H, T, D/H), turned by the positions (T,) of its rows."""
        x = x_BTD.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return x if position is None else _rotate(x, position)

    def keys(self, x_BTD: Tensor, position: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return keys and values (B, H, T, D/H)."""
        key, value = self.key_value(x_BTD).chunk(2, -1)
        return self.split(key, position), self.split(value)

    def forward(
        self, x_BTD: Tensor, key: Tensor, value: Tensor, mask: Tensor, position: Tensor | None = None
    ) -> Tensor:
        """mask is added to the scores, (B or 1, H or 1, T, keys)."""
        query = self.split(self.query(x_BTD), position)
        mixed = F.scaled_dot_product_attention(query, key, value, mask.to(query.dtype))
        return cast(Tensor, self.out(mixed.transpose(1, 2).flatten(2)))


def _rotate(x: Tensor, position: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    angle = position.float()[:, None] * 1e4 ** (-torch.arange(half, device=x.device) / half)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class Layer(nn.Module):
    """Pre-norm transformer layer: self-attention, cross-attention where asked for, gated feed-forward."""

    def __init__(self, width: int, inner: int, heads: int, cross: bool):
        super().__init__()
        self.norm_self, self.norm_inner = nn.RMSNorm(width, 1e-6), nn.RMSNorm(width, 1e-6)
        self.attention = Attention(width, heads)
        self.norm_cross = nn.RMSNorm(width, 1e-6) if cross else None
        self.cross = Attention(width, heads) if cross else None
        self.gate_up, self.down = nn.Linear(width, 2 * inner, bias=False), nn.Linear(inner, width, bias=False)

    def feed(self, x_BTD: Tensor) -> Tensor:
        """Add the feed-forward part."""
        gate, up = self.gate_up(self.norm_inner(x_BTD)).chunk(2, -1)
        return x_BTD + cast(Tensor, self.down(F.silu(gate) * up))


@dataclass
class Memory:
    """Encoded glyphs: states (B, N, D), score mask (B, 1, 1, N), pairs (B, N, N, P), keys and values per layer."""

    states: Tensor
    mask: Tensor
    pairs: Tensor
    cross: list[tuple[Tensor, Tensor]] = field(default_factory=list)


class SymbolsDecoder(nn.Module):
    """Glyphs -> steps.

    Args:
        glyphs: characters that have a class; class 0 is for all others.
        styles: how many styles glyphs have.
        structure: names of structure steps; the first one ends a formula, and begins it as an input.
        width, inner, heads: of all layers. encoder, decoder: how many layers.
        relative: attention between glyphs, and the next pointer, depend on where glyphs lie from each other.
        pointers: a character is written by pointing at its glyph. Without them it is chosen among all classes, whose
            embeddings are those of the input; such decoders are for comparison.
        features: width of the features that `encode_features` takes in place of classes and styles; 0 takes none.
    """

    def __init__(
        self,
        glyphs: str,
        structure: Sequence[str],
        styles: int = 9,
        width: int = 256,
        inner: int = 768,
        heads: int = 4,
        encoder: int = 2,
        decoder: int = 3,
        relative: bool = True,
        pointers: bool = True,
        features: int = 0,
    ):
        super().__init__()
        if len(set(glyphs)) != len(glyphs):
            raise ConfigError("the glyphs of a symbols decoder name a character twice")
        if len(set(structure)) != len(structure) or not structure:
            raise ConfigError("the structure of a symbols decoder must name each step once")
        if features and pointers:
            raise ConfigError("features have no characters to point at: features need pointers: false")
        self.glyphs, self.structure = glyphs, tuple(structure)
        self.step_of = {name: k for k, name in enumerate(structure)}
        self.relative, self.pointers = relative, pointers
        self.glyph, self.style = nn.Embedding(len(glyphs) + 1, width), nn.Embedding(styles, width)
        self.feature = nn.Sequential(nn.RMSNorm(features, 1e-6), nn.Linear(features, width)) if features else None
        self.place = nn.Linear(8 * FREQUENCIES, width)
        self.pair = nn.Sequential(nn.Linear(8 * PAIR_FREQUENCIES, PAIR_WIDTH), nn.GELU())
        self.pair_bias = nn.Linear(PAIR_WIDTH, encoder * heads, bias=False)
        self.encoder = nn.ModuleList(Layer(width, inner, heads, False) for _ in range(encoder))
        self.step = nn.Embedding(len(structure), width)
        self.written = nn.Linear(width, width)
        self.decoder = nn.ModuleList(Layer(width, inner, heads, True) for _ in range(decoder))
        self.norm_memory, self.norm_out = nn.RMSNorm(width, 1e-6), nn.RMSNorm(width, 1e-6)
        self.point, self.pointed = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.point_pair = nn.Linear(width, PAIR_WIDTH)
        self.heads, self.width = heads, width
        self._initialise(max(encoder, decoder))

    def _initialise(self, depth: int) -> None:
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                continue
            std = 0.04 / math.sqrt(2 * depth) if name.endswith(("out.weight", "down.weight")) else 0.04
            nn.init.normal_(parameter, std=std)
        for table in (self.glyph, self.style, self.step):
            nn.init.normal_(table.weight, std=self.width**-0.5)
        for module in self.modules():
            module._is_hf_initialized = True  # type: ignore[assignment]  # transformers would draw all weights anew

    def glyph_tensors(
        self, glyphs: Sequence[tuple[str, np.ndarray, np.ndarray]], device: torch.device | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what `encode` takes, from characters, styles (N,) and boxes (N, 4) of each formula."""
        classes, styles, boxes, real = (torch.from_numpy(one).to(device) for one in stack_glyphs(self.glyphs, glyphs))
        return classes, styles, boxes, real

    @torch.inference_mode()
    def begin(self, *arrays: np.ndarray) -> tuple[Memory, list[Any]]:
        """See `StepModel.begin`."""
        memory = self.encode(*(torch.from_numpy(one).to(self.step.weight.device) for one in arrays))
        return memory, [None] * len(self.decoder)

    @torch.inference_mode()
    def next(
        self, state: tuple[Memory, list[Any]], steps_B: np.ndarray, last_B: np.ndarray, used_BN: np.ndarray
    ) -> np.ndarray:
        """See `StepModel.next`."""
        steps, last, used = (
            torch.from_numpy(one)[:, None].to(self.step.weight.device) for one in (steps_B, last_B, used_BN)
        )
        memory, cache = state
        found: np.ndarray = self.logits(memory, steps, last, used, cache)[:, 0].cpu().numpy()
        return found

    @torch.inference_mode()
    def select(self, state: tuple[Memory, list[Any]], rows_B: np.ndarray) -> tuple[Memory, list[Any]]:
        """See `StepModel.select`."""
        memory, cache = state
        rows = torch.from_numpy(rows_B).to(self.step.weight.device)
        pairs = memory.pairs[rows] if self.relative else memory.pairs
        cross = [(key[rows], value[rows]) for key, value in memory.cross]
        chosen = Memory(memory.states[rows], memory.mask[rows], pairs, cross)
        return chosen, [None if one is None else tuple(part[rows] for part in one) for one in cache]

    def encode(self, classes_BN: Tensor, styles_BN: Tensor, boxes_BN4: Tensor, real_BN: Tensor) -> Memory:
        """Encode glyphs, sorted from left to right, as a `Memory`. real: False where a row is filled up."""
        return self._encode(self.glyph(classes_BN) + self.style(styles_BN), boxes_BN4, real_BN)

    def encode_features(self, features_BNF: Tensor, boxes_BN4: Tensor, real_BN: Tensor) -> Memory:
        """Encode cells of an image, sorted from left to right, by their features."""
        return self._encode(cast(nn.Module, self.feature)(features_BNF), boxes_BN4, real_BN)

    def _encode(self, seen_BND: Tensor, boxes_BN4: Tensor, real_BN: Tensor) -> Memory:
        corners = boxes_BN4[..., :2].masked_fill(~real_BN[..., None], torch.inf).amin(1, keepdim=True)
        x0, y0, x1, y1 = (boxes_BN4 - torch.cat([corners, corners], -1)).masked_fill(~real_BN[..., None], 0).unbind(-1)
        places = torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], -1)
        x = seen_BND + self.place(_fourier(places, FREQUENCIES, LONGEST))
        mask = torch.zeros(real_BN.shape, device=x.device).masked_fill(~real_BN, -1e4)[:, None, None]
        pairs, biases = x.new_zeros(0), (x.new_zeros(1),) * len(self.encoder)
        if self.relative:
            edges = (x0 + x1) / 2, y0, y1
            between = [edge[:, None] - edge[:, :, None] for edge in edges]  # of glyph j as seen from glyph i
            seen = torch.stack([*between, x0[:, None] - x1[:, :, None]], -1)
            pairs = self.pair(_fourier(seen, PAIR_FREQUENCIES, PAIR_LONGEST))
            biases = self.pair_bias(pairs).permute(0, 3, 1, 2).chunk(len(self.encoder), 1)
        position = torch.arange(x.shape[1], device=x.device)
        for layer, bias in zip(self.encoder, biases, strict=True):
            layer = cast(Layer, layer)
            normed = layer.norm_self(x)
            key, value = layer.attention.keys(normed, position)
            x = layer.feed(x + layer.attention(normed, key, value, bias + mask, position))
        states = self.norm_memory(x)
        cross = [cast(Attention, cast(Layer, layer).cross).keys(states) for layer in self.decoder]
        return Memory(states, mask, pairs, cross)

    def inputs(self, memory: Memory, steps_BT: Tensor) -> Tensor:
        """Return embeddings of written steps: those below S are structure, S + k is glyph k (or class k)."""
        structure = len(self.structure)
        at = (steps_BT - structure).clamp_min(0)
        pointed = at[..., None].expand(-1, -1, self.width)
        glyph = self.written(memory.states.gather(1, pointed)) if self.pointers else self.glyph(at)
        return torch.where((steps_BT < structure)[..., None], self.step(steps_BT.clamp_max(structure - 1)), glyph)

    def logits(
        self, memory: Memory, inputs_BT: Tensor, last_BT: Tensor, used_BTN: Tensor, cache: list[Any] | None = None
    ) -> Tensor:
        """Return logits (B, T, S + N) of the next step; without pointers one for each class in place of each glyph.

        Args:
            inputs_BT: the step before each; `inputs` says how steps are numbered.
            last_BT: the glyph that was written last before each, -1 for none.
            used_BTN: glyphs that were written before each; they cannot be written again.
            cache: one entry per layer, filled by this call, when T is one step of a longer text.
        """
        x = self.inputs(memory, inputs_BT)
        start = 0 if not cache or cache[0] is None else cache[0][0].shape[2]
        position = torch.arange(start, start + x.shape[1], device=x.device)
        ahead = torch.full((x.shape[1], start + x.shape[1]), -1e4, device=x.device).triu(start + 1)[None, None]
        for k, layer in enumerate(self.decoder):
            layer = cast(Layer, layer)
            normed = layer.norm_self(x)
            key, value = layer.attention.keys(normed, position)
            if cache is not None:
                if cache[k] is not None:
                    key, value = torch.cat([cache[k][0], key], 2), torch.cat([cache[k][1], value], 2)
                cache[k] = key, value
            x = x + layer.attention(normed, key, value, ahead, position)
            cross, norm = cast(Attention, layer.cross), cast(nn.RMSNorm, layer.norm_cross)
            x = layer.feed(x + cross(norm(x), *memory.cross[k], memory.mask))
        x = self.norm_out(x)
        ink = self._point(memory, x, last_BT, used_BTN) if self.pointers else F.linear(x, self.glyph.weight).float()
        return torch.cat([F.linear(x, self.step.weight).float(), ink], -1)

    def _point(self, memory: Memory, x_BTD: Tensor, last_BT: Tensor, used_BTN: Tensor) -> Tensor:
        """Scores (B, T, N): what the step looks for, and where it looks from the glyph that was written last."""
        scores = self.point(x_BTD) @ self.pointed(memory.states).transpose(1, 2) / math.sqrt(self.width)
        if self.relative:
            index = last_BT.clamp_min(0)[..., None, None].expand(-1, -1, *memory.pairs.shape[2:])
            pairs_BTNP = memory.pairs.gather(1, index)
            scores = scores + (pairs_BTNP @ self.point_pair(x_BTD)[..., None])[..., 0] * (last_BT >= 0)[..., None]
        return scores.float().masked_fill(used_BTN | (memory.mask[:, 0] < 0), -1e4)


def _fourier(values: Tensor, count: int, longest: float) -> Tensor:
    """(..., K) -> (..., K * 2 * count): sines and cosines of wavelengths from `SHORTEST` to `longest`."""
    steps = torch.arange(count, device=values.device) / (count - 1)
    rates = 2 * math.pi / SHORTEST * (SHORTEST / longest) ** steps
    angles = values[..., None] * rates
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)
