"""Crops of real PDF pages: what stands whole on them is spelt, what the edge cuts teaches nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vary.data.pdfs.crops import CROPS, CropSource
from vary.data.sample import UNREAD
from vary.document.alphabets import EUROPEAN, LATIN
from vary.document.lines import FrameGrid
from vary.train.loader import ReadingData
from vary.train.recipe import Recipe
from vary.train.tasks.reading_loss import reading_targets

from ..conftest import printed_by
from .test_pdfs import WORDS, typeset

PAGE = '#set page(width: 420pt, height: 560pt, margin: 40pt)\n#set text(font: "Libertinus Serif", size: 10pt)\n'


@pytest.fixture(scope="module")
def pdf(tmp_path_factory):
    path = tmp_path_factory.mktemp("crops") / "a.pdf"
    paragraphs = [" ".join(WORDS[k : k + 60]) for k in range(0, 600, 60)]
    paragraphs = [text[:200] + " Жук " + text[200:] for text in paragraphs]
    return typeset(path, PAGE + "\n\n".join(f'#"{text}"' for text in paragraphs))


@pytest.fixture(scope="module")
def samples(pdf):
    source = CropSource((str(pdf),), LATIN, seed=4, degraded=0.0)
    return [source.sample(i) for i in range(4 * CROPS)]


def test_lines_stand_on_the_crop_and_hold_ink(samples) -> None:
    for sample in samples:
        assert sample.image.shape == (256, 512)
        assert sample.lines
        for line in sample.lines:
            assert line.text == line.text.strip()
            assert len(line.boxes) == len(line.text) == len(line.styles)
            assert set(line.text) <= set(LATIN)
            x0, _, x1, _ = line.box
            assert x0 >= 0
            assert x1 <= 512
            middle = line.baseline - line.x_height / 2
            assert 0 < middle < 256
            for ch, (left, _, right, _) in zip(line.text, line.boxes, strict=True):
                if ch.isalnum():
                    around = sample.image[max(0, int(middle - line.em_px)) : int(middle + line.em_px)]
                    assert around[:, max(0, int(left) - 1) : int(right) + 2].min() < 160
    sizes = [line.em_px for sample in samples for line in sample.lines]
    assert max(sizes) > 1.2 * min(sizes)  # some are scaled


def test_what_is_cut_or_strange_is_unread(samples) -> None:
    regions = [r for sample in samples for r in sample.regions]
    assert regions
    assert {r.label for r in regions} == {UNREAD}
    assert any("Ж" in r.text for r in regions)
    for sample in samples:
        assert not any("Ж" in line.text for line in sample.lines)


def test_letters_of_one_shape_in_two_scripts_are_spelt(pdf) -> None:
    source = CropSource((str(pdf),), EUROPEAN, seed=4, degraded=0.0)
    texts = [line.text for i in range(4 * CROPS) for line in source.sample(i).lines]
    assert any("Жук" in text for text in texts)  # к and у have the classes of k and y


def test_tiny_type_and_scattered_letters_are_unread(tmp_path) -> None:
    tiny = typeset(
        tmp_path / "tiny.pdf", PAGE.replace("10pt", "5pt") + " ".join(WORDS[:80]) + "\n\n" + "a b c d e f g h i " * 4
    )
    text = typeset(tmp_path / "text.pdf", PAGE + " ".join(WORDS[:80]) + "\n\n" + "a b c d e f g h i " * 4)
    source = CropSource((str(tiny),), LATIN, seed=1, degraded=0.0, sizes_px=(7, 8))
    for sample in (source.sample(i) for i in range(CROPS)):
        assert sample.regions
        assert not [line for line in sample.lines if line.em_px < 8.5]
    source = CropSource((str(text),), LATIN, seed=1, degraded=0.0)
    lines = [line.text for i in range(2 * CROPS) for line in source.sample(i).lines]
    assert lines
    assert not any("b c d e" in line for line in lines)


def test_unread_ink_is_neither_line_nor_blank(samples) -> None:
    sample = next(s for s in samples if s.regions)
    frame_grid = FrameGrid(LATIN, (8, 4), 3)
    without = reading_targets([sample.lines], sample.image.shape, frame_grid)
    boxes = [(0, r.box) for r in sample.regions]
    targets = reading_targets([sample.lines], sample.image.shape, frame_grid, boxes)
    assert targets.near.sum() > without.near.sum()
    assert targets.labels.tolist() == without.labels.tolist()
    x0, y0, x1, y1 = sample.regions[0].box
    assert targets.near[0, int((y0 + y1) / 16), int((x0 + x1) / 2 / frame_grid.frame_px)]
    data = ReadingData([_Fixed(sample)], [2], [1.0], 1, frame_grid)
    assert data[0].targets.near.sum() == 2 * targets.near.sum()


class _Fixed:
    def __init__(self, sample):
        self.found = sample

    def sample(self, i):
        return self.found


def test_same_crop_in_another_process_and_order(pdf, samples, capsys) -> None:
    source = CropSource((str(pdf),), LATIN, seed=4, degraded=0.0)
    for i in (17, 3, 8):
        assert np.array_equal(source.sample(i).image, samples[i].image)
    code = f"""
from vary.data.pdfs.crops import CropSource; from vary.document.alphabets import LATIN; import zlib
s = CropSource(({str(pdf)!r},), LATIN, seed=4, degraded=1.0).sample(9)
print(zlib.crc32(s.image.tobytes()), [(l.text, round(float(l.boxes.sum()), 2)) for l in s.lines])"""
    exec(code, {})
    assert printed_by(code) == capsys.readouterr().out != ""


def test_no_page_no_crop(tmp_path) -> None:
    (tmp_path / "none.pdf").write_bytes(b"no pdf")
    with pytest.raises(ValueError, match="no page of a PDF in it"):
        CropSource((str(tmp_path),), LATIN).sample(0)
    with pytest.raises(ValueError, match="my-pdfs/train: does not exist"):  # at once, not in a worker
        CropSource(("my-pdfs/train",), LATIN)


def test_a_recipe_names_pdfs(tmp_path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "model: vary-nano\nout: x\nstages:\n  - {name: a, task: read, steps: 1, lr: 1, trainable: [reading_head], "
        "views: [{height: 256, width: 512, batch: 2, pdfs: my-pdfs}]}\n"
    )
    view = Recipe.load(path).stages[0].views[0]
    assert view.pdfs == ("my-pdfs",)
    assert view.settings() == {"height": 256, "width": 512, "sizes_px": (10.0, 34.0), "degraded": 0.5}


def test_a_recipe_begins_with_the_shipped_weights(tmp_path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "model: shipped:vary-nano\nout: x\nstages:\n  - {name: a, task: read, steps: 1, lr: 1, trainable: "
        "[reading_head], views: [{height: 256, width: 512, batch: 2}]}\n"
    )
    assert (Path(Recipe.load(path).model) / "model.safetensors").is_file()
    with pytest.raises(ValueError, match="no model 'none'"):
        Recipe.load(path, ["model=shipped:none"])
