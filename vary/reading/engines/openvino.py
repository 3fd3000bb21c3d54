"""Run a reader's network with OpenVINO on the CPU, in float32 so that results equal those of the other engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino

from ...models.hub import ONNX_FILE
from .base import measure_stride


class OpenvinoEngine:
    """`trunk.onnx` compiled by OpenVINO for images of any size."""

    name = "openvino"

    def __init__(self, path: Path, threads: int):
        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        self._model = openvino.Core().compile_model(str(path), "CPU", settings)
        self.stride = measure_stride(self)

    def features(self, pixels_HW: np.ndarray) -> np.ndarray:
        """See `Engine.features`."""
        request = self._model.create_infer_request()  # one per call: requests are not thread-safe
        features_1DRK = request.infer(np.ascontiguousarray(pixels_HW[None, None]))[0]
        return np.ascontiguousarray(features_1DRK[0].transpose(1, 2, 0))


def open_network(folder: Path, threads: int) -> OpenvinoEngine:
    """Open the network in a model folder."""
    return OpenvinoEngine(folder / ONNX_FILE, threads)
