"""Run the decoder that rescores lines, with ONNX Runtime on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ...io.errors import InputError
from ...models.generate.strips import Characters
from ...models.hub import LINE_FILES, WEIGHTS_FILE, header_digest
from .onnx import open_session


class OnnxLines:
    """The two files of `models.generate.export_onnx.export_lines` in sessions. See `strips.LineScorer`.

    Raises:
        InputError: The files were written for another `model.safetensors`.
    """

    def __init__(self, folder: Path, threads: int):
        self._connect, self._score = (open_session(folder / name, threads) for name in LINE_FILES)
        about = self._connect.get_modelmeta().custom_metadata_map
        if about["stored"] != header_digest(folder):
            raise InputError(
                f"{folder / LINE_FILES[0]}: written for another {WEIGHTS_FILE}"
                f" (`python -m vary.train.export {folder}` writes it anew)"
            )
        self.characters, self.posteriors = Characters(about["characters"]), int(about["posteriors"])
        self.window, self.stride = (_pair(about[name]) for name in ("window", "stride"))

    def connect(self, cells_ShwD: np.ndarray) -> np.ndarray:
        """See `LineScorer.connect`."""
        return np.asarray(self._connect.run(None, {"cells": cells_ShwD})[0])

    def logits(self, *inputs: np.ndarray) -> np.ndarray:
        """See `LineScorer.logits`."""
        names = (one.name for one in self._score.get_inputs())
        return np.asarray(self._score.run(None, dict(zip(names, inputs, strict=True)))[0])


def _pair(text: str) -> tuple[int, int]:
    rows, columns = json.loads(text)
    return rows, columns
