"""The engine interface and the choice of an engine: `open_engine(folder)` returns the best one that is installed."""

from __future__ import annotations

import importlib
import importlib.util
import os
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from threadpoolctl import ThreadpoolController

from ...io.errors import InputError
from ...models.hub import ONNX_FILE

PROBE_PX = 64
ENGINES = {  # name -> (module, package that must be installed), in order of preference
    "openvino": ("vary.reading.engines.openvino", "openvino"),
    "onnx": ("vary.reading.engines.onnx", "onnxruntime"),
    "torch": ("vary.reading.engines.torch", "torch"),
}


class Engine(Protocol):
    """The convolutional network of a reader, ready to run. Safe to use from several threads at once."""

    name: str
    stride: tuple[int, int]  # px per cell, rows and columns

    def features(self, pixels_HW: np.ndarray) -> np.ndarray:
        """Map normalised float32 pixels (H, W) to features (R, K, D), one per cell of the vocabulary's stride.

        With a head that has `context`, features (R, K, 2D): those of the vocabulary, then those that the head reads.
        """
        ...


def open_engine(folder: Path, name: str | None = None, threads: int | None = None, device: str = "cpu") -> Engine:
    """Open the network of the model in a folder.

    Args:
        folder: A model folder with `config.json`, `model.safetensors` and, for ONNX Runtime and OpenVINO, `trunk.onnx`.
        name: One of `ENGINES`; None takes $VARY_ENGINE, or else the first engine that can run this model.
        threads: Number of CPU threads; None takes `thread_count()`.
        device: `cpu`, or a torch device such as `cuda`, which only the torch engine can use.

    Raises:
        InputError: The name is unknown, the package is not installed, or the folder has no file for the engine.
    """
    name = name or ("torch" if device != "cpu" else os.environ.get("VARY_ENGINE")) or None
    if name is not None and name not in ENGINES:
        raise InputError(f"unknown engine {name!r}; allowed: {', '.join(ENGINES)}")
    reasons = []
    for candidate in [name] if name else ENGINES:
        module, package = ENGINES[candidate]
        if importlib.util.find_spec(package) is None:
            reasons.append(f"{candidate}: the package {package} is not installed (pip install {_installs(candidate)})")
        elif candidate != "torch" and not (folder / ONNX_FILE).is_file():
            reasons.append(
                f"{candidate}: {folder / ONNX_FILE} does not exist (`python -m vary.train.export {folder}` writes it)"
            )
        else:
            settings = {"device": device} if candidate == "torch" else {}
            return importlib.import_module(module).open_network(folder, threads or thread_count(), **settings)
    raise InputError(f"no engine can run the model in {folder}: {'; '.join(reasons)}")


def _installs(engine: str) -> str:
    return "onnxruntime" if engine == "onnx" else f"'vary[{engine}]'"  # ONNX Runtime comes with the package


def measure_stride(engine: Engine) -> tuple[int, int]:
    """Return the pixels per cell of a network, from the shape of its output for a small image."""
    rows, columns, _ = engine.features(np.zeros((PROBE_PX, PROBE_PX), np.float32)).shape
    return PROBE_PX // rows, PROBE_PX // columns


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def thread_count() -> int:
    """Return the number of threads to use: usable cores, limited by $OMP_NUM_THREADS and $OMP_THREAD_LIMIT."""
    count = usable_cores()
    for variable in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT"):
        value = os.environ.get(variable, "").split(",")[0].strip()
        if value.isdigit() and int(value) > 0:
            count = min(count, int(value))
    return count


@lru_cache(1)
def _numpy_threads() -> ThreadpoolController:
    return ThreadpoolController().select(internal_api="openblas")


def one_numpy_thread() -> AbstractContextManager[object]:
    """Return a context in which NumPy has one thread: others that wait for work would keep the network's cores busy."""
    return _numpy_threads().limit(limits=1)
