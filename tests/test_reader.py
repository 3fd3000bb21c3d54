"""From pixels to a page, with a model of random weights and with a scripted field."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.test_reading import oracle
from vary.lines import ReadLine, retold
from vary.prompt import LATIN
from vary.reader import Reader, load_reader
from vary.reading import Lattice


@pytest.fixture
def reader(tiny_model) -> Reader:
    return Reader.of(tiny_model, "tiny")


def scripted(reader: Reader, sample) -> Reader:
    """A reader whose head says the truth about one sample, at scale 1 and in two frames a column."""
    log_probs, measures = oracle(sample)
    tokens = torch.zeros(1, log_probs.shape[0] * log_probs.shape[1] // 2, 18)
    reader.head.lattice = Lattice(LATIN, (8, 4), 2)
    reader.field = lambda pixels: (tokens, torch.from_numpy(log_probs)[None], torch.from_numpy(measures)[None])
    return reader


def test_a_page_is_read_with_boxes_and_confidence(page_source, tiny_model) -> None:
    sample = page_source(seed=11, height=512, width=512, degraded=0.0, sizes_px=(18, 22)).sample(0)
    reader = Reader.of(tiny_model, "tiny")
    lattice = reader.head.lattice
    try:
        page = scripted(reader, sample).read(Image.fromarray(sample.image))
    finally:
        reader.head.lattice = lattice  # the model is shared
    assert page.status == "ok"
    assert (page.width, page.height) == (512, 512)
    texts = {line.text for line in sample.lines}
    assert len([line for line in page.lines if line.text in texts]) > 0.4 * len(texts)
    for line in page.lines:
        assert len(line.characters) == len(line.character_confidence) == len(line.text)
        assert 0 < line.confidence <= 1
        assert line.writer == "head"


def test_blank_pages(reader) -> None:
    bias = reader.head.out.bias.data.view(3, -1)
    bias[:, 0] += 50  # a head that sees nothing anywhere
    try:
        page = reader.read(Image.new("L", (300, 200), 255))
    finally:
        bias[:, 0] -= 50
    assert (page.status, page.blocks) == ("blank", [])


def test_fused_network_computes_the_same(tiny_model) -> None:
    vocabulary = tiny_model.eye
    for module in vocabulary.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    pixels = torch.rand(2, 1, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(vocabulary.folded()(pixels), vocabulary(pixels), atol=1e-5, rtol=1e-4)


def test_pages_read_the_same_alone_and_beside_white(reader) -> None:
    """White to the right and below changes no field value of the page itself, border cells aside."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 96), np.uint8)
    wide = np.pad(pixels, ((0, 64), (0, 96)), constant_values=255)
    reader.dtype = torch.float32
    alone, beside = (reader.field(p)[1][0] for p in (pixels, wide))
    torch.testing.assert_close(alone[:2, :30], beside[:2, :30], atol=1e-4, rtol=1e-3)


def test_unknown_models_are_named(tmp_path) -> None:
    with pytest.raises(ValueError, match="no model 'vary-giant': neither a folder nor one of"):
        load_reader("vary-giant")


@pytest.mark.parametrize("text", ["buttons", "buton", "bxttons", "b", "buttons and more", "ubuttons"])
def test_retold_lines_keep_a_box_per_character(text) -> None:
    x = np.arange(7, dtype=np.float32) * 10
    boxes = np.stack([x, x * 0, x + 9, x * 0 + 12], 1)
    line = ReadLine("buttons", boxes, np.full(7, 0.9, np.float32), 16.0)
    told = retold(line, text, "decoder")
    assert told.text == text
    assert told.boxes.shape == (len(text), 4)
    assert told.confidence.shape == (len(text),)
    assert (np.diff(told.boxes[:, 0]) >= 0).all()
    assert told.writer == ("decoder")
