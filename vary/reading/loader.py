"""Load a page reader from a model's folder.

A reader needs only the vocabulary that is read and the reading head. The decoder is loaded on first use. On a GPU, or
in a folder without its ONNX files, it needs PyTorch and transformers, as the torch engine does; nothing else here does.
"""

from __future__ import annotations

import ctypes
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..io.errors import MissingExtra
from ..models.hub import FORMULA_FILES, GLYPH_FILE, LINE_FILES, MORE_LETTERS, weights_dir
from .engines.base import thread_count
from .network import load_network
from .reader import Reader

M_MMAP_THRESHOLD = -3  # of mallopt(3)
LARGE_BLOCK = 4 << 20  # bytes from which freed memory goes back to the system at once

if TYPE_CHECKING:
    from ..models.formulas.writer import StepModel
    from ..models.generate.strips import LineScorer
    from .formulas.from_pixels import GlyphFinder


def load_reader(
    name: str = "vary-nano",
    device: str = "cpu",
    decoder: bool = False,
    engine: str | None = None,
    threads: int | None = None,
    pixels: bool = False,
    formulas: bool = True,
) -> Reader:
    """Load a reader from a shipped model's name or a folder.

    Args:
        name: shipped name or path of a folder.
        device: `cpu`, or a torch device.
        decoder: rescore uncertain spans with the decoder.
        engine: `openvino`, `onnx` or `torch`; None takes $VARY_ENGINE, or else the best one that is installed.
        threads: CPU threads of the network; None takes all cores, within $OMP_NUM_THREADS and $OMP_THREAD_LIMIT.
        pixels: read pixels alone, without the text layers of PDFs.
        formulas: write formulas as LaTeX, with a model that has the files for it.
    """
    _return_large_blocks()
    folder = weights_dir(name)
    exported = device == "cpu" and all((folder / name).is_file() for name in LINE_FILES)
    if decoder and not exported:
        _require_torch("reading with the decoder")
    network = load_network(folder, engine, threads, device)
    writes = formulas and all((folder / name).is_file() for name in FORMULA_FILES)
    symbols = partial(_open_symbols, folder, threads or thread_count()) if writes else None
    glyphs = partial(_open_glyphs, folder, threads or thread_count()) if (folder / GLYPH_FILE).is_file() else None
    more = folder / MORE_LETTERS
    letters = partial(load_network, more, engine, threads, device) if more.is_dir() else None
    scorer = (
        partial(_open_lines, folder, threads or thread_count()) if exported else partial(_torch_lines, folder, device)
    )
    reader = Reader(network, name, scorer if decoder else None, symbols, glyphs, letters)
    reader.uses_layer = not pixels
    return reader


def _open_symbols(folder: Path, threads: int) -> StepModel:
    from .engines.symbols import OnnxSymbols  # imports onnxruntime

    return OnnxSymbols(folder, threads)


def _open_glyphs(folder: Path, threads: int) -> GlyphFinder:
    from .engines.symbols import OnnxGlyphs  # imports onnxruntime

    return OnnxGlyphs(folder, threads)


def _require_torch(what: str) -> None:
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtra(what, error.name or "torch", "torch") from None


def _open_lines(folder: Path, threads: int) -> LineScorer:
    from .engines.lines import OnnxLines  # imports onnxruntime

    return OnnxLines(folder, threads)


def _torch_lines(folder: Path, device: str) -> LineScorer:
    from ..models.modeling import load_model  # imports transformers, which takes seconds
    from .engines.torch import TorchLines

    return TorchLines(load_model(folder).to(device))


def _return_large_blocks() -> None:
    """Make glibc give blocks from LARGE_BLOCK on back as soon as they are freed; does nothing with other C libraries.

    By default glibc keeps blocks of up to 32 MiB once such a block was freed. Pages of changing sizes leave gaps
    between them, and a process that has read large pages keeps hundreds of MiB.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt:
            mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
