"""Quantise `trunk.onnx` of a model folder to eight bits: `python -m vary.train.export.quantize FOLDER`.

The convolutions of stride 1 on the last grid are quantised; they are most of the work. Their weights get seven bits and
a scale per output channel; some CPUs add two products in 16 bits, which eight could not fit. Activations get eight
bits and a range per tensor; sums stay in float32, so their errors do not add up.

Weights are chosen one convolution after the other. Least squares first moves them, so that the outputs for inputs that
are already quantised come near to those of the float network. Then they are rounded one input at a time, and the
weights that follow make up for the error (GPTQ; Frantar et al., 2023, arXiv 2210.17323).

Shapes: P images, N sampled cells, I inputs of a convolution (channels x kernel), O its outputs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from ...data.pages.source import PageSource
from ...data.pdfs.crops import CropSource
from ...document.alphabets import LATIN
from ...io.errors import InputError, VaryError
from ...models.hub import ONNX_FILE, read_config, value_at
from ...models.images.preprocess import normalise
from ...reading.field import cells_near_ink
from ...reading.network import read_preprocess
from ..tasks.task import TextAssets

MOST = 63  # of a quantised weight: two products with 255 fit into 16 bits
CELLS = 32_000  # sampled near ink, of all images together
KEEP, DAMP = 0.003, 0.002  # of the mean square of an input: how strongly weights stay where the images do not say
BLOCK = 128  # inputs that are rounded before the weights of the others follow
SHARES = np.linspace(0.3, 1, 29)  # of the largest value: scales of weights that are tried
LEAST_RANGE = 0.8  # of the largest activation: other pages have larger ones
LARGE_PX = 30.0, 80.0  # type of some rendered pages
SEED, IMAGES, HEIGHT, WIDTH = 77, 16, 384, 640  # of rendered pages, and of crops of PDFs
PDFS = ("octave-doc", "developers-reference", "gnuplot-doc", "debian-policy", "debian-faq-de", "maint-guide-fr")


def quantize_reader(folder: Path) -> Path:
    """Quantise `trunk.onnx` of a model folder in place; returns its path.

    Rendered pages and crops of PDFs show the range of each tensor. They are downloaded first if the cache lacks them.

    Raises:
        InputError: The folder has no `trunk.onnx`.
    """
    path = folder / ONNX_FILE
    if not path.is_file():
        raise InputError(f"{path} does not exist (`python -m vary.train.export {folder}` writes it)")
    config = read_config(folder)
    preprocess = read_preprocess(folder, config)
    alphabet = value_at(folder, config, "reading", "alphabet")
    assets = TextAssets.english() if set(alphabet) <= set(LATIN) else TextAssets.of_languages("european", alphabet)
    files = tuple(f"deb:{name}" for name in PDFS)
    pages = partial(PageSource, assets.text, assets.faces, seed=SEED, height=HEIGHT, width=WIDTH, degraded=0.4)
    sources = (
        pages(),
        pages(sizes_px=LARGE_PX),
        CropSource(files, alphabet, seed=SEED, height=HEIGHT, width=WIDTH),
    )
    images = [source.sample(IMAGES * k).image for source in sources for k in range(IMAGES)]
    model = onnx.load(path)
    quantize_trunk(model, [normalise(image.astype(np.float32), preprocess) for image in images], images)
    onnx.save(model, path)
    return path


def quantize_trunk(model: ModelProto, inputs_PHW: Sequence[np.ndarray], images_PHW: Sequence[np.ndarray]) -> None:
    """Quantise the convolutions of stride 1 on the last grid of a trunk, in place.

    Args:
        model: as `export_trunk` writes it.
        inputs_PHW: normalised pages.
        images_PHW: the same, grey, uint8. Cells near their ink are sampled.
    """
    graph = model.graph
    _store_floats(graph)
    convs = [node for node in graph.node if node.op_type == "Conv"]
    shapes = {name: found.shape[1:] for name, found in _run(model, [one.output[0] for one in convs], inputs_PHW[:1])}
    grid = shapes[convs[-1].output[0]]
    convs = [conv for conv in convs if shapes[conv.output[0]] == grid and set(_attributes(conv)["strides"]) == {1}]
    stride = images_PHW[0].shape[0] // grid[0], images_PHW[0].shape[1] // grid[1]
    near = [np.argwhere(cells_near_ink(image, stride)) for image in images_PHW]
    rng = np.random.default_rng(SEED)
    cells = [places[rng.integers(len(places), size=CELLS // len(near))] for places in near]

    users = {name: [node for node in graph.node if name in node.input] for node in graph.node for name in node.output}
    outputs = [conv.output[0] for conv in convs]
    values = _sample(model, sorted({conv.input[0] for conv in convs}.union(outputs)), inputs_PHW, cells, grid)
    scales = {}
    for name in sorted(values):  # what goes into a convolution, and what a sum gets from one; sums stay in float32
        takers = [node for node in users[name] if node.op_type == ("Add" if name in outputs else "Conv")]
        if takers:
            scales[f"{name}_rounded"] = _round_tensor(graph, name, takers, values[name])
    for conv in convs:
        inputs_IN = _patches(model, conv, inputs_PHW, cells)
        given = {one.name: one for one in graph.initializer if one.name in conv.input[1:]}
        weight = numpy_helper.to_array(given[conv.input[1]])
        whole_OI, scale_O, bias_O = fit_weight(weight.reshape(len(weight), -1), inputs_IN, values[conv.output[0]])
        step_O = scale_O * scales[conv.input[0]]
        conv.input[1:] = [
            _add_weight(graph, f"{conv.name}_weight", whole_OI.reshape(weight.shape).astype(np.int8), scale_O),
            _add_weight(graph, f"{conv.name}_bias", np.round(bias_O / step_O).astype(np.int32), step_O),
        ]
        for one in given.values():
            graph.initializer.remove(one)


def fit_weight(
    weight_OI: np.ndarray, inputs_IN: np.ndarray, targets_ON: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return whole weights (O, I) of at most MOST, their scales (O,), and the bias (O,) that come near to the targets.

    Args:
        weight_OI: the float weights, near which the new ones stay.
        inputs_IN: what the convolution sees.
        targets_ON: what it should give.
    """
    mean_I, mean_O = inputs_IN.mean(1, dtype=np.float64), targets_ON.mean(1, dtype=np.float64)
    centred_IN = inputs_IN - mean_I.astype(np.float32)[:, None]
    square_II = (centred_IN @ centred_IN.T).astype(np.float64) / inputs_IN.shape[1]
    missing_ON = targets_ON - mean_O.astype(np.float32)[:, None] - weight_OI @ centred_IN
    stay_II = KEEP * square_II.diagonal().mean() * np.eye(len(square_II))
    moved_OI = weight_OI + np.linalg.solve(square_II + stay_II, centred_IN @ missing_ON.T / inputs_IN.shape[1]).T
    tried_TO = SHARES[:, None] * np.abs(moved_OI).max(1) / MOST
    errors_TO = [
        ((np.round(moved_OI / scale_O[:, None]).clip(-MOST, MOST) * scale_O[:, None] - moved_OI) ** 2).sum(1)
        for scale_O in tried_TO
    ]
    scale_O = tried_TO[np.argmin(errors_TO, 0), np.arange(len(moved_OI))]
    whole_OI = _round_weight(moved_OI, scale_O, square_II)
    return whole_OI, scale_O, mean_O - scale_O * (whole_OI @ mean_I)


def _round_weight(weight_OI: np.ndarray, scale_O: np.ndarray, square_II: np.ndarray) -> np.ndarray:
    """Round weights to whole multiples of their scales. Those that are not rounded yet make up for the error."""
    size = len(square_II)
    order = np.argsort(-square_II.diagonal(), kind="stable")
    damped_II = square_II[np.ix_(order, order)] + DAMP * square_II.diagonal().mean() * np.eye(size)
    follow_II = np.linalg.cholesky(np.linalg.inv(damped_II)).T
    left_OI, whole_OI = weight_OI[:, order], np.zeros_like(weight_OI)
    for start in range(0, size, BLOCK):
        end = min(size, start + BLOCK)
        errors = np.zeros((len(weight_OI), end - start))
        for k in range(start, end):
            whole = np.round(left_OI[:, k] / scale_O).clip(-MOST, MOST)
            error = (left_OI[:, k] - whole * scale_O) / follow_II[k, k]
            left_OI[:, k + 1 : end] -= error[:, None] * follow_II[k, k + 1 : end]
            whole_OI[:, order[k]], errors[:, k - start] = whole, error
        left_OI[:, end:] -= errors @ follow_II[start:end, end:]
    return whole_OI


def best_range(values: np.ndarray) -> tuple[float, int]:
    """Return scale and zero of eight bits whose rounded values are nearest, in the mean square."""
    low, high = min(0.0, float(values.min())), float(values.max())
    tried = []
    for share in SHARES[SHARES > LEAST_RANGE]:
        scale = share * (high - low) / 255
        zero = round(-share * low / scale)
        rounded = (np.round(values / scale) + zero).clip(0, 255) - zero
        tried.append((float(((rounded * scale - values) ** 2).mean()), scale, zero))
    _, scale, zero = min(tried)
    return scale, zero


def _round_tensor(graph: GraphProto, name: str, users: Sequence[NodeProto], values: np.ndarray) -> float:
    """Give the users of a tensor its values in eight bits, as NAME_rounded; returns their scale."""
    scale, zero = best_range(values)
    settings = [_add(graph, f"{name}_scale", np.float32(scale)), _add(graph, f"{name}_zero", np.uint8(zero))]
    for node in users:
        node.input[list(node.input).index(name)] = f"{name}_rounded"
    at = 1 + next(k for k, node in enumerate(graph.node) if name in node.output)
    graph.node.insert(at, helper.make_node("DequantizeLinear", [f"{name}_whole", *settings], [f"{name}_rounded"]))
    graph.node.insert(at, helper.make_node("QuantizeLinear", [name, *settings], [f"{name}_whole"]))
    return scale


def _add_weight(graph: GraphProto, name: str, whole: np.ndarray, scale_O: np.ndarray) -> str:
    """Add whole numbers, and a node that multiplies them by the scales of their outputs; returns its result."""
    inputs = [_add(graph, f"{name}_whole", whole), _add(graph, f"{name}_scale", scale_O.astype(np.float32))]
    inputs.append(_add(graph, f"{name}_zero", np.zeros(len(scale_O), whole.dtype)))
    graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [f"{name}_rounded"], axis=0))
    return f"{name}_rounded"


def _store_floats(graph: GraphProto) -> None:
    """Store weights in float32 that were stored in float16, in place of the nodes that convert them."""
    stored = {weight.name: weight for weight in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in stored]:
        _add(graph, node.output[0], numpy_helper.to_array(stored[node.input[0]]).astype(np.float32))
        graph.initializer.remove(stored[node.input[0]])
        graph.node.remove(node)


def _add(graph: GraphProto, name: str, values: np.ndarray | np.generic) -> str:
    graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def _run(model: ModelProto, names: Sequence[str], inputs_PHW: Sequence[np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the values (C, H, W) of tensors for each page, by name."""
    shown = ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    for pixels_HW in inputs_PHW:
        found = session.run(list(names), {"pixels": pixels_HW[None, None]})
        yield from zip(names, (values[0] for values in found), strict=True)


def _sample(
    model: ModelProto,
    names: Sequence[str],
    inputs_PHW: Sequence[np.ndarray],
    cells: Sequence[np.ndarray],
    grid: tuple[int, int],
) -> dict[str, np.ndarray]:
    """Return the values (C, N) of tensors at the sampled cells of a grid, which is as fine or coarser."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for name, values in _run(model, names, inputs_PHW):
        at = cells[len(found[name])] * (values.shape[1] // grid[0], values.shape[2] // grid[1])
        found[name].append(values[:, at[:, 0], at[:, 1]])
    return {name: np.concatenate(parts, 1) for name, parts in found.items()}


def _patches(
    model: ModelProto, conv: NodeProto, inputs_PHW: Sequence[np.ndarray], cells: Sequence[np.ndarray]
) -> np.ndarray:
    """Return what a convolution sees for the sampled cells, (I, N)."""
    given = _attributes(conv)
    (high, wide), dilations, strides = given["kernel_shape"], given["dilations"], given["strides"]
    top, left, bottom, right = given["pads"]
    found = []
    for at, (_, values) in zip(cells, _run(model, conv.input[:1], inputs_PHW), strict=True):
        padded = np.pad(values, ((0, 0), (top, bottom), (left, right)))
        rows, columns = (at * strides).T
        parts = [
            padded[:, rows + y * dilations[0], columns + x * dilations[1]] for y in range(high) for x in range(wide)
        ]
        found.append(np.stack(parts, 1).reshape(-1, len(at)))
    return np.concatenate(found, 1)


def _attributes(conv: NodeProto) -> dict[str, list[int]]:
    """Return `kernel_shape`, `strides`, `dilations` and `pads` of a convolution."""
    return {one.name: list(one.ints) for one in conv.attribute}


def main(arguments: Sequence[str] | None = None) -> None:
    """Quantise a folder's `trunk.onnx` and print its path. Exits with 1 for a folder without one, 2 for wrong usage."""
    parser = argparse.ArgumentParser("python -m vary.train.export.quantize", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a model folder with trunk.onnx")
    folder = parser.parse_args(arguments).folder
    try:
        print(quantize_reader(folder))
    except (VaryError, OSError) as error:
        parser.exit(1, f"vary: {error}\n")


if __name__ == "__main__":
    main()
