"""Write ONNX files for readers without PyTorch: `trunk.onnx` is the convolutional part of a reading vocabulary."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..hub import ONNX_FILE, WEIGHTS_FILE, safetensors_header
from . import Vocabulary


class _Trunk(nn.Module):
    """Pixels (1, C, H, W), normalised -> features (1, D, R, K), or (1, 2D, R, K) with what `context` makes of them."""

    def __init__(self, vocabulary: Vocabulary, context: nn.Module | None):
        super().__init__()
        self.vocabulary, self.context = vocabulary, context

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        tokens_BND = self.vocabulary(pixels_BCHW)
        rows, columns = self.vocabulary.stride
        grid = pixels_BCHW.shape[2] // rows, pixels_BCHW.shape[3] // columns
        features_BDRK = tokens_BND.transpose(1, 2).unflatten(2, grid)
        if self.context is None:
            return features_BDRK
        return torch.cat([features_BDRK, self.context(features_BDRK)], 1)


def export_trunk(
    vocabulary: Vocabulary, folder: Path, context: nn.Module | None = None, half_from: int | None = None
) -> Path:
    """Write `trunk.onnx` for a vocabulary into a model folder, with batch norm folded; returns its path.

    With the `context` of a reading head the features of each cell are followed by those that the head's output reads.
    Weights of at least `half_from` numbers are stored in float16.

    Height and width are free, in multiples of the vocabulary's stride. Needs the packages onnx and onnxscript.

    Raises:
        ImportError: onnx or onnxscript is not installed.
    """
    rows, columns = vocabulary.stride
    example = torch.zeros(1, vocabulary.channels, 8 * rows, 24 * columns)
    sizes = {2: rows * torch.export.Dim("rows", min=2), 3: columns * torch.export.Dim("columns", min=2)}
    path = folder / ONNX_FILE
    trunk = _Trunk(vocabulary.for_inference(), context)
    write_onnx(path, trunk, {"pixels": example}, ["features"], (sizes,), half_from)
    return path


def write_onnx(
    path: Path,
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    sizes: tuple[dict[int, Any], ...],
    half_from: int | None = None,
    properties: dict[str, str] | None = None,
    stored: bool = False,
) -> None:
    """Write a module as an ONNX file.

    Args:
        path: The new file.
        module: Takes `inputs` in their order.
        inputs: An example, by name.
        outputs: Names of the results.
        sizes: The free dimensions of each input, as `torch.export` takes them.
        half_from: Store weights of at least so many numbers in float16; they are computed with in float32.
        properties: Metadata to add.
        stored: Read the weights that are stored in float16, where `model.safetensors` beside the file holds the same
            numbers, from there. The metadata gets `stored`, the digest of its header: with another header the places
            of the weights are wrong.

    Raises:
        ImportError: onnx or onnxscript is not installed.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore", FutureWarning)  # of the exporter about itself
        torch.onnx.export(
            module.eval(), tuple(inputs.values()), str(path), input_names=list(inputs), output_names=list(outputs),
            dynamic_shapes=sizes, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    _rewrite(path, half_from, properties or {}, _halves(path.parent / WEIGHTS_FILE) if stored else {})


def _halves(path: Path) -> dict[bytes, int]:
    """Return the place in a safetensors file of each tensor in float16, by its bytes."""
    header, begin = safetensors_header(path)
    content = path.read_bytes()
    tensors = [one for name, one in json.loads(header).items() if name != "__metadata__" and one["dtype"] == "F16"]
    ends = [[begin + at for at in one["data_offsets"]] for one in tensors]
    return {content[first:last]: first for first, last in ends}


def _rewrite(path: Path, half_from: int | None, properties: dict[str, str], stored: dict[bytes, int]) -> None:
    """Remove the exporter's notes, which name source files by path; store weights as asked for."""
    import onnx
    from onnx import helper

    model = onnx.load(path)
    graph, casts = model.graph, []
    for weight in graph.initializer:
        count = math.prod(weight.dims)
        if half_from is not None and weight.data_type == onnx.TensorProto.FLOAT and count >= half_from:
            casts += _halve(weight, stored)
    nodes = [*casts, *graph.node]
    for part in (*nodes, *graph.input, *graph.output, *graph.initializer, graph, model):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    del graph.node[:]
    graph.node.extend(nodes)
    helper.set_model_props(model, properties)
    onnx.save(model, path)


def _halve(weight: Any, stored: dict[bytes, int]) -> list[Any]:
    """Make a weight one in float16, in its own file if it is stored; return the nodes that give the old one."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper
    from onnx.external_data_helper import set_external_data

    name, half = weight.name, numpy_helper.to_array(weight).astype(np.float16)
    turned = half.ndim == 2 and half.tobytes() not in stored and half.T.tobytes() in stored
    weight.CopyFrom(numpy_helper.from_array(half.T if turned else half, f"{name}_half"))
    if weight.raw_data in stored:
        set_external_data(weight, WEIGHTS_FILE, stored[weight.raw_data], len(weight.raw_data))
        weight.ClearField("raw_data")
    if not turned:
        return [helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)]
    return [
        helper.make_node("Cast", [f"{name}_half"], [f"{name}_turned"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", [f"{name}_turned"], [name], perm=[1, 0]),
    ]
