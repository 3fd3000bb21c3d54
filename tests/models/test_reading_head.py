"""The reading head: targets, losses, and a field that says the truth is read as the truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vary.data.sample import LabelledLine
from vary.document.alphabets import EUROPEAN, LATIN
from vary.document.lines import FrameGrid
from vary.models.heads.reading import ReadingHead
from vary.reading.ctc import best_path, find_lines, mix_rows
from vary.reading.field import Field
from vary.train.tasks.reading_loss import path_weights, reading_loss, reading_targets

STRIDE = (8, 4)
GRID = FrameGrid(LATIN, STRIDE, 2)


def oracle(sample) -> tuple[np.ndarray, np.ndarray]:
    """The field that a perfect head would give for a sample: log-probabilities (R, T, A), geometry (R, T, 2)."""
    height, width = sample.image.shape
    rows, frames = height // 8, width // 2
    probs = np.full((rows, frames, len(LATIN) + 1), 1e-6, np.float32)
    probs[..., 0] = 1.0
    geometry = np.zeros((rows, frames, 2), np.float32)
    for line in sample.lines:
        x = (line.boxes[:, 0] + line.boxes[:, 2]) / 2
        y = line.baseline - line.x_height / 2 + line.slope * (x - line.boxes[0, 0])
        for ch, cx, cy in zip(line.text, x, y, strict=True):
            t = min(frames - 1, int(cx / 2))
            for row in {int(cy / 8 - 0.5), int(cy / 8 + 0.5)} & set(range(rows)):
                if abs((row + 0.5) * 8 - cy) < 5:
                    probs[row, t] = 1e-6
                    probs[row, t, LATIN.index(ch) + 1] = 1.0
                    geometry[row, t] = cy / 8 - row - 0.5, np.log2(line.em_px / 16)
    return np.log(probs / probs.sum(-1, keepdims=True)), geometry


def field(sample) -> Field:
    """The same as a `Field`, as `find_lines` takes it."""
    log_probs, geometry = oracle(sample)
    return Field.from_arrays(np.exp(log_probs), geometry, GRID)


def dense(probs: np.ndarray) -> Field:
    """A `Field` of probabilities (R, T, A), one frame per column, without geometry."""
    grid = FrameGrid("", (8, 4), 1)
    return Field.from_arrays(probs, np.zeros((*probs.shape[:2], 2), np.float32), grid)


def test_weights_lean_to_the_nearer_row() -> None:
    upper, lower, share = path_weights(torch.tensor([12.0, 16.0, 20.0, 14.0]), 8.0, 10)
    assert upper.tolist() == [1, 1, 2, 1]
    assert lower.tolist() == [2, 2, 3, 2]
    assert share[0] < 0.01
    assert share[1] == pytest.approx(0.5)
    assert share[2] < 0.01
    assert 0.01 < share[3] < 0.3


def test_mixing_two_rows_that_agree_changes_nothing() -> None:
    row = np.random.default_rng(0).dirichlet(np.ones(5), 7)
    mixed = mix_rows(dense(np.stack([row, row])), np.full(7, 8.0), np.arange(7), 8.0)
    np.testing.assert_allclose(mixed, row, rtol=3e-4)  # a field keeps 11 bits of a probability


def test_training_and_reading_mix_rows_alike() -> None:
    y = np.linspace(-3, 70, 60)
    probs = np.random.default_rng(1).dirichlet(np.ones(4), (8, len(y)))
    upper, lower, share = (v.numpy() for v in path_weights(torch.from_numpy(y), 8.0, len(probs)))
    t = np.arange(len(y))
    expected = (1 - share)[:, None] * probs[upper, t] + share[:, None] * probs[lower, t]
    np.testing.assert_allclose(mix_rows(dense(probs), y, t, 8.0), expected, rtol=3e-4)  # it keeps 11 bits


def test_best_path_collapses_and_keeps_doubles() -> None:
    labels = [0, 1, 1, 0, 1, 2, 0]
    probs = np.eye(3, dtype=np.float32)[labels] * 0.9 + 0.03
    text, frames, confidence = best_path(probs, "ab")
    assert text == "aab"
    assert frames.tolist() == [1, 4, 5]
    assert confidence == pytest.approx([0.93] * 3)


def test_targets_name_what_the_alphabet_lacks(page_source) -> None:
    sample = page_source(seed=1, height=128, width=256).sample(0)
    with pytest.raises(ValueError, match="alphabet has no"):
        reading_targets([sample.lines], sample.image.shape, FrameGrid("xyz", STRIDE, 2))


def test_loss_falls_to_nothing_at_the_truth(page_source) -> None:
    sample = page_source(seed=6, height=256, width=512, degraded=0.0, sizes_px=(18, 24)).sample(1)
    log_probs, geometry = oracle(sample)
    targets = reading_targets([sample.lines], sample.image.shape, GRID)
    right = reading_loss(torch.from_numpy(log_probs)[None], torch.from_numpy(geometry)[None], targets, 8.0, 10_000)
    wrong = reading_loss(torch.zeros(1, *log_probs.shape), torch.zeros(1, *geometry.shape), targets, 8.0, 10_000)
    assert set(right) == {"blank", "ctc", "glyph", "measure"}
    assert right["blank"] < 1e-3
    assert right["glyph"] < 0.6
    assert right["ctc"] < 0.6
    assert wrong["ctc"] > 4
    assert wrong["glyph"] > 4


def test_empty_pages_have_a_loss() -> None:
    targets = reading_targets([[], []], (64, 128), GRID)
    logits = torch.zeros(2, 8, 64, len(LATIN) + 1, requires_grad=True)
    losses = reading_loss(logits, torch.zeros(2, 8, 64, 2), targets, 8.0)
    assert set(losses) == {"blank"}
    losses["blank"].backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_true_field_is_read_back(page_source, seed) -> None:
    """Lines, their texts and the boxes of their characters come back from a perfect field, whatever the layout."""
    source = page_source(seed=seed, height=768, width=768, degraded=0.0, sizes_px=(17, 26))
    for i in range(3):
        sample = source.sample(i)
        found: dict[str, list] = {}
        for line in find_lines(field(sample), GRID):
            found.setdefault(line.text, []).append(line)
        # a true field has one frame a letter, so doubled letters that share a frame cannot be told apart here
        distinct = [line for line in sample.lines if _separable(line)]
        assert len(distinct) > 0.3 * len(sample.lines)
        hit = [line for line in distinct if line.text in found]
        assert len(hit) >= 0.9 * len(distinct)
        for line in hit:
            of_text = [other.boxes for other in found[line.text]]  # a text may recur on a page
            got = min(of_text, key=lambda boxes: np.abs(boxes - line.boxes).max())
            x_true, x_got = line.boxes[:, [0, 2]].mean(1), got[:, [0, 2]].mean(1)
            assert np.abs(x_true - x_got).max() < 0.45 * line.em_px
            assert np.abs(got[:, 1:4:2].mean(1) - (line.baseline - 0.26 * line.em_px)).max() < 0.4 * line.em_px


def _separable(line) -> bool:
    frames = (line.boxes[:, [0, 2]].mean(1) / 2).astype(int)
    same = [a == b and f2 - f1 < 2 for a, b, f1, f2 in zip(line.text, line.text[1:], frames, frames[1:], strict=False)]
    return not any(same) and len(set(frames.tolist())) == len(frames)


def test_blank_field_has_no_lines() -> None:
    probs = np.zeros((8, 64, len(LATIN) + 1), np.float32)
    probs[..., 0] = 1.0
    assert find_lines(dense(probs), GRID) == []


def test_head_refuses_a_doubled_alphabet() -> None:
    with pytest.raises(ValueError, match="twice"):
        ReadingHead(8, "aba", STRIDE)


def test_a_cell_of_a_typewriter_line_has_one_character() -> None:
    from vary.reading.spelling.pitch import find_pitch, space_by_pitch

    line = "the oude hond in de lekke boot"
    at = [10 + 7 * k for k, ch in enumerate(line) if ch != " "]
    letters = [ch for ch in line if ch != " "]
    letters.insert(18, "x")  # a second reading of the first k, between its cell and the next
    at.insert(18, at[17] + 3)
    confidence = np.full(len(letters), 0.9, np.float32)
    confidence[18] = 0.4
    read = "".join(letters)
    pitch = find_pitch(read, np.array(at))
    assert pitch is not None
    assert space_by_pitch(read, np.array(at), confidence, pitch)[0] == line


def test_characters_of_two_cells_are_parted() -> None:
    from vary.reading.spelling.pitch import space_far_apart

    at, sure = np.array([4, 60, 67, 120]), np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    text, frames, confidence = space_far_apart("9312", at, sure, 14.0)
    assert (text, frames.tolist()) == ("9 31 2", [4, 32, 60, 67, 93, 120])
    assert confidence.tolist() == pytest.approx([0.9, 0.8, 0.8, 0.7, 0.6, 0.6])
    assert space_far_apart("9 31 2", frames, confidence, 14.0)[0] == "9 31 2"
    assert space_far_apart("", np.zeros(0, int), np.zeros(0, np.float32), 14.0)[0] == ""


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        ("Use - -resume to go on", "Use --resume to go on"),
        ("and - - no-colour (off)", "and --no-colour (off)"),
        ("- -export first", "--export first"),
        ("- - an item of an item", "- - an item of an item"),
        ("from 5 - -3 to 4 - 1", "from 5 - -3 to 4 - 1"),
    ],
)
def test_the_dashes_of_options_have_no_spaces(read, expected) -> None:
    from vary.reading.spelling.pitch import join_dashes

    text, at, confidence = join_dashes(read, np.arange(len(read)), np.ones(len(read), np.float32))
    assert text == expected
    assert [read[k] for k in at] == list(text)
    assert len(confidence) == len(text)


@pytest.mark.parametrize(
    ("read", "at", "expected"),
    [
        ("6, 45 A", [0, 8, 12, 16, 24, 32, 40], "6,45 A"),
        ("3, 20", [0, 5, 9, 14, 21], "3, 20"),  # in proportional type
        ("in 3, 20", [0, 4, 8, 12, 20, 26, 36, 44], "in 3, 20"),
    ],
)
def test_the_wide_cell_of_a_comma_is_no_space(read, at, expected) -> None:
    from vary.reading.spelling.pitch import join_decimals

    assert join_decimals(read, np.array(at), np.ones(len(at), np.float32))[0] == expected


def test_typewriter_lines_take_their_blanks_from_the_pitch() -> None:
    from vary.reading.spelling.pitch import find_pitch, space_by_pitch

    line = "int value(); // it is"
    at = np.array([10 + 7 * k for k, ch in enumerate(line) if ch != " "])
    read = "in t value ( ) ;// it is"  # blanks where a head puts them
    frames = iter(at)
    places = np.array([next(frames) if ch != " " else 0 for ch in read])
    pitch = find_pitch(read, places)
    assert pitch is not None
    text, _, confidence = space_by_pitch(read, places, np.ones(len(read), np.float32), pitch)
    assert text == line
    assert len(confidence) == len(line)
    rng = np.random.default_rng(0)
    book = "Proportional type has no pitch."
    x = np.cumsum(rng.uniform(2, 9, len(book))).astype(int)
    assert find_pitch(book, x) is None


def test_a_head_of_more_letters_begins_with_those_of_a_smaller_one() -> None:
    small, large = ReadingHead(8, "abc", (8, 4), 2), ReadingHead(8, "ábcdж", (8, 4), 2, context=4)
    large.widen("abc", small.out.weight.data, small.out.bias.data)
    tokens = torch.randn(1, 6, 8)
    (old, old_geometry), (new, new_geometry) = small(tokens, (2, 3)), large(tokens, (2, 3))
    assert torch.equal(new_geometry, old_geometry)
    assert torch.equal(new[..., 0], old[..., 0])
    assert torch.equal(new[..., [2, 3]], old[..., [2, 3]])
    assert torch.equal(new[..., 1], old[..., 1] - 2)  # á begins as a, a little less likely
    assert torch.allclose(new[..., 4], old[..., 1:].mean(-1) - 2, atol=1e-6)


def test_letters_of_one_shape_have_one_label() -> None:
    grid = FrameGrid(EUROPEAN, STRIDE, 2)
    boxes = np.array([[8.0 * k, 0, 8.0 * k + 8, 16] for k in range(3)], np.float32)
    lines = [LabelledLine(text, boxes, 12.0, 8.0, 16.0) for text in ("сор", "cop")]
    targets = reading_targets([lines], (32, 64), grid)
    assert targets.labels[:3].tolist() == targets.labels[3:].tolist()
