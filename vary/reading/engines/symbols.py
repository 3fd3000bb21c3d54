"""Run the networks that find the glyphs of formulas and write LaTeX, with ONNX Runtime on the CPU."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...models.formulas.found_glyphs import THRESHOLD, FoundGlyphs, cell_middles, find_glyphs
from ...models.hub import FORMULA_FILES, GLYPH_FILE
from .onnx import open_session


@dataclass
class _State:
    """memory: outputs of the encoder by name. past: keys and values of the steps so far."""

    memory: dict[str, np.ndarray]
    past: np.ndarray


class OnnxSymbols:
    """The two files of `models.generate.export_onnx` in sessions of ONNX Runtime. See `formulas.writer.StepModel`."""

    def __init__(self, folder: Path, threads: int):
        self._begin, self._next = (open_session(folder / name, threads) for name in FORMULA_FILES)
        about = self._begin.get_modelmeta().custom_metadata_map
        self.glyphs: str = about["glyphs"]
        self.structure: tuple[str, ...] = tuple(json.loads(about["structure"]))
        self._past = next(one.shape for one in self._next.get_inputs() if one.name == "past")

    def begin(
        self, classes_BN: np.ndarray, styles_BN: np.ndarray, boxes_BN4: np.ndarray, real_BN: np.ndarray
    ) -> _State:
        """See `StepModel.begin`."""
        inputs = {"classes": classes_BN, "styles": styles_BN, "boxes": boxes_BN4, "real": real_BN}
        names = [one.name for one in self._begin.get_outputs()]
        memory = dict(zip(names, self._begin.run(None, inputs), strict=True))
        layers, two, _, heads, _, width = self._past
        return _State(memory, np.zeros((layers, two, len(classes_BN), heads, 0, width), np.float32))

    def next(self, state: _State, steps_B: np.ndarray, last_B: np.ndarray, used_BN: np.ndarray) -> np.ndarray:
        """See `StepModel.next`."""
        inputs = {"steps": steps_B, "last": last_B, "used": used_BN, "past": state.past, **state.memory}
        logits, state.past = self._next.run(None, inputs)
        return np.asarray(logits)

    def select(self, state: _State, rows_B: np.ndarray) -> _State:
        """See `StepModel.select`."""
        memory = {k: v[:, :, rows_B] if k == "cross" else v[rows_B] for k, v in state.memory.items()}
        return _State(memory, state.past[:, :, rows_B])


class OnnxGlyphs:
    """`formulas_glyphs.onnx` in a session of ONNX Runtime. glyphs: characters of its classes from 1."""

    def __init__(self, folder: Path, threads: int):
        self._session = open_session(folder / GLYPH_FILE, threads)
        self.glyphs: str = self._session.get_modelmeta().custom_metadata_map["glyphs"]

    def find(self, features_RKD: np.ndarray, stride: tuple[int, int]) -> FoundGlyphs:
        """Return the glyphs of an image, best first. stride: pixels of a cell, rows and columns."""
        features_1DRK = np.ascontiguousarray(features_RKD.transpose(2, 0, 1)[None])
        gate, classes, sure, styles, boxes = self._session.run(None, {"features": features_1DRK})
        places = boxes + cell_middles(features_RKD.shape[:2], stride)
        cells = FoundGlyphs(classes, styles, places, gate * sure)
        return find_glyphs(cells.select(gate > THRESHOLD), self.glyphs, stride)
