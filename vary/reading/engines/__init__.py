"""Run the convolutional part of a reader on one of several engines: ONNX Runtime, OpenVINO or PyTorch.

An engine turns pixels into features and nothing more, so that all engines share the rest of the reader. Engine packages
are imported when an engine is opened, so an engine that is not installed costs nothing.
"""

from .base import ENGINES, Engine, one_numpy_thread, open_engine, thread_count, usable_cores

__all__ = ["ENGINES", "Engine", "one_numpy_thread", "open_engine", "thread_count", "usable_cores"]
