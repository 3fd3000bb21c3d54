"""Eight-bit trunks: the numbers that are stored, and what they give."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from vary.io.errors import InputError
from vary.models.vocab.export_onnx import export_trunk
from vary.train.export import __main__ as export_main
from vary.train.export import quantize
from vary.train.export.quantize import MOST, best_range, fit_weight, quantize_reader, quantize_trunk

RNG = np.random.default_rng(0)


@pytest.mark.filterwarnings("error::FutureWarning")  # the exporter gives some about itself
def test_a_quantised_trunk_gives_nearly_the_same_features(tiny_model, tmp_path) -> None:
    path = export_trunk(tiny_model.reading_vocabulary, tmp_path)
    images = [RNG.integers(0, 255, (64, 128)).astype(np.uint8) for _ in range(4)]
    inputs = [(image / np.float32(127.5) - 1).astype(np.float32) for image in images]
    exact = run(path, inputs[0])
    model = onnx.load(path)
    quantize_trunk(model, inputs[1:], images[1:])
    onnx.save(model, path)
    error = run(path, inputs[0]) - exact
    assert 0 < np.square(error).mean() < 0.05**2 * np.square(exact).mean()
    stored = [numpy_helper.to_array(one) for one in model.graph.initializer]
    weights = [one for one in stored if one.dtype == np.int8 and one.ndim == 4]
    assert len(weights) == sum(node.op_type == "Conv" for node in model.graph.node) - 5  # the stem and the first stay
    assert all(np.abs(one).max() <= MOST for one in weights)


def run(path, pixels: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(str(path)).run(None, {"pixels": pixels[None, None]})[0]


def test_weights_that_make_up_for_each_other_come_nearer_than_the_nearest_ones() -> None:
    mixed = RNG.normal(size=(40, 8)) @ RNG.normal(size=(8, 4000)) + 0.1 * RNG.normal(size=(40, 4000)) + 1
    inputs, weight = mixed.astype(np.float32), RNG.normal(size=(6, 40))
    targets = (weight @ inputs + 0.5).astype(np.float32)
    whole, scale, bias = fit_weight(weight, inputs, targets)
    nearest = np.round(weight / scale[:, None]).clip(-MOST, MOST) * scale[:, None]

    def missed(weights: np.ndarray, offset: np.ndarray | float) -> float:
        return float(np.square(weights @ inputs + np.reshape(offset, (-1, 1)) - targets).mean())

    assert np.array_equal(whole, whole.round())
    assert np.abs(whole).max() <= MOST
    assert missed(whole * scale[:, None], bias) < 0.5 * missed(nearest, np.full(6, 0.5))


def test_a_range_leaves_out_a_single_large_value() -> None:
    values = np.append(np.abs(RNG.normal(size=200_000)), 40.0)
    scale, zero = best_range(values)
    assert zero == 0
    assert scale * 255 < 35
    scale, zero = best_range(np.linspace(-1, 3, 4000))
    assert scale * 255 == pytest.approx(4, rel=0.03)
    assert zero == pytest.approx(64, abs=2)


def test_a_folder_without_a_trunk_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match=r"trunk\.onnx does not exist"):
        quantize_reader(tmp_path)


@pytest.mark.parametrize("main", [export_main.main, quantize.main])
def test_the_programs_refuse_wrong_folders_in_one_line(main, tmp_path, capsys) -> None:
    for arguments, code in (([], 2), (["a", "b", "c"], 2), ([str(tmp_path)], 1)):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"vary: {tmp_path}")
