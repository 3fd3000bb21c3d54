"""ReaderSpec: how a worker process opens its reader, as a plain value that can be pickled or sent as JSON."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..pages import AnyReader


@dataclass(frozen=True)
class ReaderSpec:
    """What to read with.

    Args:
        model: shipped name or folder of a model; with a server, the model's name there.
        device: `cpu`, `cuda`, or the address of an OpenAI-compatible server that reads.
        decoder: rescore uncertain spans with the model's decoder.
        pixels: read pixels alone, without the text layers of PDFs.
        formulas: write the formulas of text layers as LaTeX.
        factory: `module:function` that opens the reader from a spec.
    """

    model: str
    device: str = "cpu"
    decoder: bool = False
    pixels: bool = False
    formulas: bool = True
    factory: str = "vary.reading.runs.spec:open_reader"

    @property
    def remote(self) -> bool:
        """Whether a server reads."""
        return "://" in self.device

    def open(self) -> AnyReader:
        """Open the reader. Raises ValueError when it cannot be loaded."""
        module, _, function = self.factory.partition(":")
        reader: AnyReader = getattr(importlib.import_module(module), function)(self)
        return reader


def open_reader(spec: ReaderSpec) -> AnyReader:
    """Open the reader of a spec: a local model, one on a server, or the text layers of PDFs."""
    from ..layer.lines import LayerReader

    if spec.model == LayerReader.name and not spec.remote:
        return LayerReader()
    if spec.remote:
        from ..remote import load_server

        return load_server(spec.model, spec.device)
    from ..loader import load_reader

    return load_reader(spec.model, spec.device, spec.decoder, pixels=spec.pixels, formulas=spec.formulas)
