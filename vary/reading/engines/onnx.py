"""Run a reader's network with ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from ...models.hub import ONNX_FILE
from .base import measure_stride


class OnnxEngine:
    """`trunk.onnx` in an ONNX Runtime session."""

    name = "onnx"

    def __init__(self, path: Path, threads: int):
        self._session = open_session(path, threads)
        self.stride = measure_stride(self)

    def features(self, pixels_HW: np.ndarray) -> np.ndarray:
        """See `Engine.features`."""
        (features_1DRK,) = self._session.run(None, {"pixels": pixels_HW[None, None]})
        return np.asarray(features_1DRK[0].transpose(1, 2, 0))


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open an ONNX file. The memory arena is off, so memory is returned after each run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads must not use the CPU
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def open_network(folder: Path, threads: int) -> OnnxEngine:
    """Open the network in a model folder."""
    return OnnxEngine(folder / ONNX_FILE, threads)
