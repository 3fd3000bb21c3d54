"""Export decoders and a glyph head as ONNX files, so that readers without PyTorch rescore lines and write formulas.

`lines_connect.onnx` makes image tokens from the cells of lines; `lines_score.onnx` scores spellings behind them. Their
weights stay in `model.safetensors`.
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

from ..config import decoder_alphabet
from ..heads.glyphs import GlyphHead
from ..hub import FORMULA_FILES, GLYPH_FILE, LINE_FILES, header_digest
from ..modeling import VaryForConditionalGeneration
from ..vocab.export_onnx import write_onnx
from .strip_decoder import StripConnector, StripScorer, posterior_classes
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


def export_lines(model: VaryForConditionalGeneration, folder: Path) -> list[Path]:
    """Write the two files with which a reader rescores lines into the folder that a model was saved in; returns them.

    Raises:
        ImportError: onnx or onnxscript is not installed.
    """
    (rows, columns), free = model.window, torch.export.Dim.DYNAMIC
    width = model.reading_vocabulary.width + model.head.frame_grid.frames * posterior_classes(model)
    about = {
        "characters": decoder_alphabet(model.config.reading), "window": json.dumps(model.window),
        "stride": json.dumps(model.reading_vocabulary.stride), "posteriors": str(posterior_classes(model)),
        "stored": header_digest(folder),
    }  # fmt: skip
    paths = [folder / name for name in LINE_FILES]
    cells = {"cells": torch.zeros(2, 2 * rows, 8 * columns, width)}
    sizes = {0: free, 1: rows * torch.export.Dim("rows", min=1), 2: columns * torch.export.Dim("columns", min=1)}
    write_onnx(paths[0], StripConnector(model), cells, ["embeddings"], (sizes,), LARGE, about, stored=True)
    count, longest = 3, 40
    line = {
        "images": torch.zeros(count, longest, model.config.text_config.hidden_size),
        "ids": torch.zeros(count, longest, dtype=torch.long), "is_image": torch.zeros(count, longest, dtype=torch.bool),
        "seen": torch.ones(count, 1, longest, longest, dtype=torch.bool),
        "places": torch.arange(longest).repeat(count, 1), "picked": torch.arange(17),
    }  # fmt: skip
    free_line = _free_sizes(line, {count, longest, len(line["picked"])})
    usual = model.language_model.config._attn_implementation
    model.language_model.set_attn_implementation(
        "eager"
    )  # the others guard against rows without any token, in each layer
    write_onnx(paths[1], StripScorer(model), line, ["logits"], free_line, LARGE, about, stored=True)
    model.language_model.set_attn_implementation(usual)
    return paths


def _free_sizes(inputs: dict[str, Tensor], sizes: set[int]) -> tuple[dict[int, Any], ...]:
    """Return the free dimensions of each input: those among FREE that have one of the example's free sizes."""
    return tuple(
        {at: torch.export.Dim.DYNAMIC for at in FREE.get(name, range(one.ndim)) if one.shape[at] in sizes}
        for name, one in inputs.items()
    )
