"""Load a page reader from a model's folder, or make one of a model in memory.

A reader needs only the vocabulary that is read and the reading head. The decoder takes seconds to load and is loaded on
first use; it needs PyTorch and transformers, which nothing else here imports unless the torch engine is chosen.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..document.lines import FrameGrid
from ..models.hub import weights_dir
from .field import HeadWeights
from .network import ReadingNetwork, load_network
from .reader import Reader

if TYPE_CHECKING:
    from ..models.modeling import VaryForConditionalGeneration


def load_reader(name: str = "vary-nano", device: str = "cpu", fast: bool = False, engine: str | None = None) -> Reader:
    """Load a reader from a shipped model's name or a folder.

    Args:
        name: shipped name or path of a folder.
        device: `cpu`, or a torch device.
        fast: read with the head alone, without the decoder.
        engine: `openvino`, `onnx` or `torch`; None takes $VARY_ENGINE, or else the best one that is installed.
    """
    folder = weights_dir(name)
    return Reader(load_network(folder, engine, None, device), name, None if fast else partial(_decoder, folder, device))


def _decoder(folder: Path, device: str) -> VaryForConditionalGeneration:
    from ..models.modeling import load_model  # imports transformers, which takes seconds

    return load_model(folder).to(device)  # type: ignore[arg-type]


def reader_of(model: VaryForConditionalGeneration, name: str, fast: bool = False) -> Reader:
    """Make a reader of a model in memory, on the torch engine.

    Args:
        model: with a reading head.
        name: for messages.
        fast: without its decoder.
    """
    from .engines.torch import TorchEngine

    model.eval()
    index, reading = model.reading_vocabulary_index, model.config.reading
    grid: FrameGrid = model.head.frame_grid
    head = HeadWeights.of({name: v.detach().float().cpu().numpy() for name, v in model.head.state_dict().items()})
    engine = TorchEngine(model.reading_vocabulary, model.device)
    network = ReadingNetwork(engine, head, grid, model.config.vocabularies[index]["preprocess"], reading)
    return Reader(network, name, None if fast else lambda: model)
