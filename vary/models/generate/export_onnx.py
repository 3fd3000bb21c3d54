"""Export a symbols decoder as two ONNX files, so that readers without PyTorch write formulas.

`formulas_begin.onnx` encodes glyphs once; `formulas_next.onnx` scores one step and returns the longer cache.
Weights are stored in float16 and computed in float32. The first file's metadata names glyphs and structure steps.
Shapes: as in `symbols_decoder`; L decoder layers, the two of a pair are keys and values.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..hub import FORMULA_FILES
from ..vocab.export_onnx import rewrite_onnx
from .symbols_decoder import Memory, SymbolsDecoder

Sizes = dict[int, Any]
LARGE = 1024  # weights from this count on are stored in float16


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
    sizes: Sizes = {count: torch.export.Dim.DYNAMIC, wide: torch.export.Dim.DYNAMIC}
    paths = [folder / name for name in FORMULA_FILES]
    _export(_Begin(decoder), begin, ["states", "mask", "pairs", "cross"], sizes, paths[0])
    _export(_Next(decoder), following, ["logits", "present"], sizes | {steps: torch.export.Dim.DYNAMIC}, paths[1])
    rewrite_onnx(paths[0], LARGE, {"glyphs": decoder.glyphs, "structure": json.dumps(decoder.structure)})
    rewrite_onnx(paths[1], LARGE)
    return paths


def _export(module: nn.Module, inputs: dict[str, Tensor], outputs: list[str], sizes: Sizes, path: Path) -> None:
    """Write a module. sizes: sizes of the example that are free."""
    batched = {"past": (2, 4), "cross": (2, 4), "boxes": (0, 1), "mask": (0, 3), "states": (0, 1)}
    shapes = tuple(
        {at: torch.export.Dim.DYNAMIC for at in batched.get(name, range(one.ndim)) if one.shape[at] in sizes}
        for name, one in inputs.items()
    )
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), torch.inference_mode():
        torch.onnx.export(
            module.eval(), tuple(inputs.values()), str(path), input_names=list(inputs), output_names=outputs,
            dynamic_shapes=shapes, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
