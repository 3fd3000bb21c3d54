"""A reader of a model in memory, for tests of miniatures."""

from __future__ import annotations

from vary.models.images.preprocess import DEFAULTS
from vary.models.modeling import VaryForConditionalGeneration
from vary.reading.engines.torch import TorchEngine
from vary.reading.field import HeadWeights
from vary.reading.network import ReadingNetwork
from vary.reading.reader import Reader


def reader_of(model: VaryForConditionalGeneration, name: str, decoder: bool = False) -> Reader:
    """Make a reader of a model with a reading head, on the torch engine."""
    model.eval()
    index, reading = model.reading_vocabulary_index, model.config.reading
    head = HeadWeights.of({name: v.detach().float().cpu().numpy() for name, v in model.head.state_dict().items()})
    engine = TorchEngine(model.reading_vocabulary, model.device, model.head.context)
    preprocess = DEFAULTS | model.config.vocabularies[index]["preprocess"]
    network = ReadingNetwork(engine, head, model.head.frame_grid, preprocess, reading)
    return Reader(network, name, (lambda: model) if decoder else None)
