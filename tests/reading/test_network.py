"""The reading network without PyTorch: it finds what the model finds, on every engine, and needs only ink."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import printed_by
from vary.models.config import preset
from vary.models.hub import weights_dir
from vary.models.modeling import VaryForConditionalGeneration, load_model
from vary.models.vocab.export_onnx import export_trunk
from vary.reading.engines import ENGINES, open_engine, thread_count
from vary.reading.field import cells_near_ink
from vary.reading.loader import load_reader
from vary.reading.network import ink_parts
from vary.train.export import export_reader

from .in_memory import log_probs_of, reader_of


@pytest.fixture
def page(page_source) -> np.ndarray:
    """A page of text with wide white margins."""
    sample = page_source(seed=4, height=320, width=512, degraded=0.0, sizes_px=(15, 18)).sample(0)
    return np.pad(sample.image, ((96, 160), (64, 192)), constant_values=255)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_predicts_what_the_model_predicts(engine, page) -> None:
    """Engines with `trunk.onnx` compute most of it in eight bits; a field keeps probabilities in 16 bits."""
    pytest.importorskip(ENGINES[engine][1])
    model = load_model(weights_dir("vary-nano"))
    with torch.inference_mode():
        _, logits, geometry = model.read_rows((torch.from_numpy(page)[None, None].float() / 255 - 0.5) / 0.5)
    probs, geometry = logits[0].softmax(-1).numpy(), geometry[0].numpy()
    network = load_reader("vary-nano", engine=engine).network
    field = network(page)
    rows, frames = np.nonzero(1 - probs[..., 0] > 0.35)
    found_rows, found_frames, _, _ = field.spikes(0.35)
    assert len(rows) > 200
    spikes, found = (set(zip(*places, strict=True)) for places in ((rows, frames), (found_rows, found_frames)))
    exact = engine == "torch"
    assert len(spikes ^ found) <= (0 if exact else 0.01 * len(spikes))
    classes, (off, by) = field.probs(rows, frames), (5e-4, 1e-3) if exact else (0.3, 0.2)
    assert (classes.argmax(1) == probs[rows, frames].argmax(1)).mean() >= (1 if exact else 0.995)
    np.testing.assert_allclose(classes, probs[rows, frames], atol=off)
    both = sorted(spikes & found)
    numbers = dict(zip(zip(found_rows, found_frames, strict=True), field.spikes(0.35)[3], strict=True))
    rows, frames = np.array(both).T
    np.testing.assert_allclose([numbers[one] for one in both], geometry[rows, frames, :2], atol=by)
    np.testing.assert_allclose(field.style_odds(rows, frames), geometry[rows, frames, 2:], atol=0.01 if exact else 1.0)


def test_white_costs_nothing(page) -> None:
    """The engine gets the part of the page with ink, and nothing at all of a white page."""
    network, sizes = load_reader("vary-nano").network, []
    run = network.engine.features
    network.engine.features = lambda pixels: sizes.append(pixels.shape) or run(pixels)
    network(np.full((640, 480), 255, np.uint8))
    assert sizes == []
    network(np.pad(page, ((320, 320), (320, 320)), constant_values=255))
    assert len(sizes) == 1
    assert sizes[0][0] <= page.shape[0]
    assert sizes[0][1] <= page.shape[1]


def test_separate_ink_is_seen_in_separate_parts(page) -> None:
    """The network sees little of the white between two pieces of text, and finds the same in them."""
    network, sizes = load_reader("vary-nano").network, []
    run = network.engine.features
    network.engine.features = lambda pixels: sizes.append(pixels.size) or run(pixels)
    alone = network(page)
    before = sum(sizes)
    white = np.full_like(page, 255)
    both = network(np.block([[page, white], [white, page]]))
    assert sum(sizes) - before <= 2.1 * before
    rows, frames, mass, _ = alone.spikes(0.35)
    found_rows, found_frames, found_mass, _ = both.spikes(0.35)
    np.testing.assert_array_equal(found_rows, np.concatenate([rows, rows + alone.rows]))
    np.testing.assert_array_equal(found_frames, np.concatenate([frames, frames + alone.frames]))
    np.testing.assert_allclose(found_mass, np.tile(mass, 2), atol=1e-3)


def test_a_large_part_is_seen_in_bands_and_reads_the_same(page, monkeypatch) -> None:
    network, sizes = load_reader("vary-nano").network, []
    run = network.engine.features
    network.engine.features = lambda pixels: sizes.append(pixels.size) or run(pixels)
    whole = network(page).spikes(0.35)
    monkeypatch.setattr("vary.reading.network.MOST_PIXELS", max(sizes) // 3)
    banded = network(page).spikes(0.35)
    assert len(sizes) > 3
    assert max(sizes[1:]) < sizes[0]
    for found, expected in zip(banded, whole, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_parts_hold_every_cell_near_ink() -> None:
    near = np.zeros((60, 200), bool)
    for row, column in ((2, 3), (2, 190), (55, 100), (30, 0)):
        near[row : row + 3, column : column + 8] = True
    held = np.zeros_like(near)
    for part in ink_parts(near, (8, 4)):
        held[part] = True
    assert not (near & ~held).any()
    assert held.sum() == near.sum()
    assert ink_parts(np.zeros((4, 4), bool), (8, 4)) == []


def test_faint_ink_is_ink() -> None:
    pixels = np.full((64, 96), 250, np.uint8)
    pixels[24:32, 40:48] = 234
    near = cells_near_ink(pixels, (8, 4))
    assert near[3, 10]
    assert not near[0, 0]
    assert not cells_near_ink(np.full((64, 96), 30, np.uint8), (8, 4)).any()


def test_a_model_in_memory_reads_like_its_folder(tiny_model, tmp_path) -> None:
    tiny_model.save_pretrained(tmp_path)
    image = Image.fromarray(np.random.default_rng(3).integers(0, 255, (64, 128), np.uint8))
    pages = [reader.read(image) for reader in (reader_of(tiny_model, "a"), load_reader(str(tmp_path)))]
    assert pages[0].text == pages[1].text
    export_trunk(tiny_model.reading_vocabulary, tmp_path)
    assert load_reader(str(tmp_path), engine="onnx").read(image).text == pages[0].text


def test_a_head_that_sees_neighbouring_cells_reads_the_same_on_every_engine(tmp_path) -> None:
    torch.manual_seed(0)
    model = VaryForConditionalGeneration(preset("vary-nano-scripts-test")).eval()
    torch.nn.init.normal_(model.head.context[-1].weight)  # it begins as zero
    model.save_pretrained(tmp_path)
    export_reader(tmp_path)
    pixels = np.random.default_rng(3).integers(0, 255, (64, 128), np.uint8)
    fields = [reader_of(model, "a").network(pixels)]
    networks = [load_reader(str(tmp_path), engine=name).network for name in ("torch", "onnx")]
    fields += [network(pixels) for network in networks]
    with torch.no_grad():
        logits = model.read_rows(torch.from_numpy((pixels / np.float32(255) - 0.5) / 0.5)[None, None].float())[1]
    for field in fields:
        assert np.abs(field.dense_probs() - logits[0].softmax(-1).numpy()).max() < 0.011
    everywhere = np.ones(fields[0].features_RKD.shape[:2], bool)
    for network in networks:  # what the glyph head and the decoder see
        assert network.features(pixels, everywhere).shape[-1] == model.reading_vocabulary.width


def test_a_head_that_sees_neighbouring_cells_reads_the_same_in_parts(page, monkeypatch) -> None:
    torch.manual_seed(0)
    model = VaryForConditionalGeneration(preset("vary-nano-scripts-test")).eval()
    torch.nn.init.normal_(model.head.context[-1].weight)
    network, shown = reader_of(model, "a").network, []
    run = network.engine.features
    network.engine.features = lambda pixels: shown.append(pixels.size) or run(pixels)
    whole = log_probs_of(network(page))
    monkeypatch.setattr("vary.reading.network.MOST_PIXELS", max(shown) // 3)
    np.testing.assert_allclose(log_probs_of(network(page)), whole, atol=1e-3)
    assert len(shown) > 3


def test_engines_that_cannot_run_say_why(tmp_path) -> None:
    with pytest.raises(ValueError, match="unknown engine 'abacus'; allowed: openvino, onnx, torch"):
        open_engine(tmp_path, "abacus")
    with pytest.raises(ValueError, match=r"onnx: .*trunk\.onnx does not exist"):
        open_engine(tmp_path, "onnx")


def test_thread_limits_are_respected(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    assert thread_count() == 1
    monkeypatch.setenv("OMP_THREAD_LIMIT", "many")
    assert 1 <= thread_count() <= 4


def test_the_decoder_needs_torch_without_its_files_alone(tmp_path) -> None:
    shutil.copytree(weights_dir("vary-nano"), tmp_path / "bare", ignore=shutil.ignore_patterns("lines_*.onnx"))
    code = f"""
import sys
for name in ("torch", "transformers"):
    sys.modules[name] = None
from vary.cli import main
from vary.reading.loader import load_reader
sys.stderr = sys.stdout
print(load_reader("vary-nano", decoder=True).line_scorer.window)
print(main(["read", "examples/page.png", "--decoder", "--model", {str(tmp_path / "bare")!r}]))
"""
    printed = printed_by(code).splitlines()
    assert printed[0] == "(4, 4)"
    assert "pip install 'vary[torch]'" in printed[-2]
    assert printed[-1] == "1"
