"""A reader of a model in memory, for tests of miniatures."""

from __future__ import annotations

import numpy as np

from vary.models.images.preprocess import DEFAULTS
from vary.models.modeling import VaryForConditionalGeneration
from vary.reading.engines.torch import TorchEngine
from vary.reading.field import Field, HeadWeights
from vary.reading.network import ReadingNetwork
from vary.reading.reader import Reader


def reader_of(model: VaryForConditionalGeneration, name: str) -> Reader:
    """Make a reader of a model with a reading head, on the torch engine."""
    model.eval()
    index, reading = model.reading_vocabulary_index, model.config.reading
    head = HeadWeights.of({name: v.detach().float().cpu().numpy() for name, v in model.head.state_dict().items()})
    engine = TorchEngine(model.reading_vocabulary, model.device, model.head.context)
    preprocess = DEFAULTS | model.config.vocabularies[index]["preprocess"]
    network = ReadingNetwork(engine, head, model.head.frame_grid, preprocess, reading)
    return Reader(network, name)


def log_probs_of(field: Field) -> np.ndarray:
    """Log-probabilities (R, T, A) of all frames."""
    return np.log(np.maximum(field.dense_probs(), 1e-30))
