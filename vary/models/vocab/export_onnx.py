"""Export the convolutional part of a model's reading vocabulary as `trunk.onnx`, for readers without PyTorch."""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from ..hub import ONNX_FILE
from . import Vocabulary


class _Trunk(nn.Module):
    """Pixels (1, C, H, W), normalised -> features (1, D, R, K)."""

    def __init__(self, vocabulary: Vocabulary):
        super().__init__()
        self.vocabulary = vocabulary

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        tokens_BND = self.vocabulary(pixels_BCHW)
        rows, columns = self.vocabulary.stride
        grid = pixels_BCHW.shape[2] // rows, pixels_BCHW.shape[3] // columns
        return tokens_BND.transpose(1, 2).unflatten(2, grid)


def export_trunk(vocabulary: Vocabulary, folder: Path) -> Path:
    """Write `trunk.onnx` for a vocabulary into a model folder, with batch norm folded; returns its path.

    Height and width are free, in multiples of the vocabulary's stride. Needs the packages onnx and onnxscript.

    Raises:
        ImportError: onnx or onnxscript is not installed.
    """
    rows, columns = vocabulary.stride
    example = torch.zeros(1, vocabulary.channels, 8 * rows, 24 * columns)
    sizes = {2: rows * torch.export.Dim("rows", min=2), 3: columns * torch.export.Dim("columns", min=2)}
    path = folder / ONNX_FILE
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), torch.inference_mode():
        torch.onnx.export(
            _Trunk(vocabulary.for_inference()).eval(),
            (example,),
            str(path),
            input_names=["pixels"],
            output_names=["features"],
            dynamic_shapes=(sizes,),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    rewrite_onnx(path)
    return path


def rewrite_onnx(path: Path, half_from: int | None = None, properties: dict[str, str] | None = None) -> None:
    """Remove the exporter's notes from an ONNX file: they name source files by path.

    Args:
        path: The file.
        half_from: Store weights of at least so many numbers in float16; they are computed with in float32.
        properties: Metadata to add.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    graph, casts = model.graph, []
    for weight in graph.initializer:
        name = weight.name
        values = numpy_helper.to_array(weight)
        if half_from is not None and weight.data_type == TensorProto.FLOAT and values.size >= half_from:
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    for part in (*nodes, *graph.input, *graph.output, *graph.initializer, graph, model):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    del graph.node[:]
    graph.node.extend(nodes)
    helper.set_model_props(model, properties or {})
    onnx.save(model, path)
