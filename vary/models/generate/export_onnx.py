"""Export a symbols decoder and a glyph head as ONNX files, so that readers without PyTorch write formulas.

`formulas_begin.onnx` encodes glyphs once; `formulas_next.onnx` scores one step and returns the longer cache.
`formulas_glyphs.onnx` finds the glyphs in the features of a reading vocabulary.
Weights are stored in float16 and computed in float32. Metadata names the glyphs, and the structure steps.
Shapes: as in `symbols_decoder` and `heads/glyphs`; L decoder layers, the two of a pair are keys and values.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..heads.glyphs import GlyphHead
from ..hub import FORMULA_FILES, GLYPH_FILE
from ..vocab.export_onnx import write_onnx
from .symbols_decoder import Memory, SymbolsDecoder

LARGE = 1024  # weights from this count on are stored in float16
# dimensions of inputs that may be free; all of those that are not named here
FREE = {"past": (2, 4), "cross": (2, 4), "boxes": (0, 1), "mask": (0, 3), "states": (0, 1)}


class _Begin(nn.Module):
    """Glyphs -> states, mask, pairs, and keys and values of the glyphs (L, 2, B, H, N, D/H)."""

    def __init__(self, decoder: SymbolsDecoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, classes: Tensor, styles: Tensor, boxes: Tensor, real: Tensor) -> tuple[Tensor, ...]:
        memory = self.decoder.encode(classes, styles, boxes, real)
        cross = torch.stack([torch.stack(pair) for pair in memory.cross])
        return memory.states, memory.mask, memory.pairs, cross


class _Next(nn.Module):
    """One step: the cache (L, 2, B, H, T, D/H) of earlier steps comes in and goes out one step longer."""

    def __init__(self, decoder: SymbolsDecoder):
        super().__init__()
        self.decoder = decoder

    def forward(
        self, steps: Tensor, last: Tensor, used: Tensor, states: Tensor, mask: Tensor, pairs: Tensor, cross: Tensor,
        past: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        memory = Memory(states, mask, pairs, [(layer[0], layer[1]) for layer in cross.unbind(0)])
        cache: list[Any] = [(layer[0], layer[1]) for layer in past.unbind(0)]
        logits = self.decoder.logits(memory, steps[:, None], last[:, None], used[:, None], cache)[:, 0]
        return logits, torch.stack([torch.stack(pair) for pair in cache])


def export_formulas(decoder: SymbolsDecoder, folder: Path) -> list[Path]:
    """Write the two files of a symbols decoder into a model folder; returns their paths.

    Raises:
        ImportError: onnx or onnxscript is not installed.
    """
    count, wide, steps = 2, 5, 3
    width, layers = decoder.width // decoder.heads, len(decoder.decoder)
    begin = {
        "classes": torch.ones(count, wide, dtype=torch.long), "styles": torch.zeros(count, wide, dtype=torch.long),
        "boxes": torch.rand(count, wide, 4), "real": torch.ones(count, wide, dtype=torch.bool),
    }  # fmt: skip
    with torch.inference_mode():
        memory = dict(zip(("states", "mask", "pairs", "cross"), _Begin(decoder)(*begin.values()), strict=True))
    following = {
        "steps": torch.zeros(count, dtype=torch.long), "last": torch.full((count,), -1),
        "used": torch.zeros(count, wide, dtype=torch.bool), **memory,
        "past": torch.zeros(layers, 2, count, decoder.heads, steps, width),
    }  # fmt: skip
    paths = [folder / name for name in FORMULA_FILES]
    about = {"glyphs": decoder.glyphs, "structure": json.dumps(decoder.structure)}
    free = _free_sizes(begin, {count, wide})
    write_onnx(paths[0], _Begin(decoder), begin, ["states", "mask", "pairs", "cross"], free, LARGE, about)
    free = _free_sizes(following, {count, wide, steps})
    write_onnx(paths[1], _Next(decoder), following, ["logits", "present"], free, LARGE)
    return paths


class _Glyphs(nn.Module):
    """Features (1, D, R, K) -> of each cell: probability of a glyph (N,), its class (N,), the probability of the class
    (N,), style (N,), box (N, 4) from the middle of the cell."""

    def __init__(self, head: GlyphHead):
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        grid = features.shape[2], features.shape[3]
        found = self.head(features.flatten(2).transpose(1, 2), grid)
        sure, classes = self.head.classes(found.features[0]).softmax(-1).max(-1)
        return found.gate[0].sigmoid(), classes, sure, found.styles[0].argmax(-1), found.boxes[0]


def export_glyphs(head: GlyphHead, folder: Path) -> Path:
    """Write the file of a glyph head into a model folder; returns its path.

    Raises:
        ImportError: onnx or onnxscript is not installed.
    """
    path, names = folder / GLYPH_FILE, ["gate", "classes", "sure", "styles", "boxes"]
    features = torch.zeros(1, head.squeeze.in_features, 7, 9)
    free = ({2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC},)
    write_onnx(path, _Glyphs(head), {"features": features}, names, free, LARGE, {"glyphs": head.glyphs})
    return path


def _free_sizes(inputs: dict[str, Tensor], sizes: set[int]) -> tuple[dict[int, Any], ...]:
    """Return the free dimensions of each input: those among FREE that have one of the example's free sizes."""
    return tuple(
        {at: torch.export.Dim.DYNAMIC for at in FREE.get(name, range(one.ndim)) if one.shape[at] in sizes}
        for name, one in inputs.items()
    )
