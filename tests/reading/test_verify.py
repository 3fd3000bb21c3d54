"""Rescoring: head and decoder choose together among the spellings of uncertain spans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vary.document.alphabets import LATIN
from vary.document.lines import Alternative, TextLine
from vary.io.errors import InputError
from vary.models.config import preset
from vary.models.generate.strip_decoder import StripDecoder, strip_embeddings
from vary.models.generate.strips import Strip, connect_strips, strip_of
from vary.models.hub import LINE_FILES, ONNX_FILE, WEIGHTS_FILE, weights_dir
from vary.models.modeling import VaryForConditionalGeneration, load_model
from vary.reading import verify
from vary.reading.engines.lines import OnnxLines
from vary.reading.engines.torch import TorchLines
from vary.reading.verify import CONTEXT, DraftTree, log_odds, rescore, rescore_lines
from vary.train.export import export_reader
from vary.train.tasks.reading_tasks import make_strips

from .in_memory import reader_of


@pytest.fixture(scope="module")
def decoder(tiny_model) -> StripDecoder:
    return StripDecoder(tiny_model)


@pytest.fixture(scope="module")
def scorer(tiny_model) -> TorchLines:
    return TorchLines(tiny_model)


def strip_images(model, count: int) -> list[torch.Tensor]:
    torch.manual_seed(5)
    with torch.no_grad():
        features = model.encode_images(torch.rand(1, 1, 32 * count, 64))
        strips = [Strip(0, 4 * k, 0, 4, 16 - 4 * (k % 2)) for k in range(count)]
        return strip_embeddings(model, features.tokens[0], features.grids[0], strips)


def of_whole_texts(decoder, image, text, doubt) -> list[float]:
    """Log-odds of each other spelling to the draft's by a pass over every text as a whole."""

    def score(spelling: str) -> float:
        tokens = [*decoder.encode(text[: doubt.start] + spelling + text[doubt.end :]), decoder.ids["</s>"]]
        (rows,) = decoder.logits([image], [tokens[:-1]])
        found = rows.float().log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])[:, 0]
        return float(found[doubt.start : doubt.start + len(spelling) + CONTEXT].sum())

    return [score(other) - score(text[doubt.start : doubt.end]) for other, _ in doubt.others]


def test_branches_score_as_whole_texts_do(decoder, scorer) -> None:
    """One pass over drafts and branches of lines of several lengths gives what a pass for every text gives."""
    images = strip_images(decoder.model, 3)
    texts = ["", "a line to read", "yet another"]
    alternatives = [
        [Alternative(0, 0, (("x", 0.0),))],
        [
            Alternative(0, 1, (("A", 0.0), ("", 0.0), ("an", 0.0))),
            Alternative(7, 9, (("fo", 0.0),)),
            Alternative(13, 14, (("cl", 0.0),)),
        ],
        [Alternative(4, 4, ((" ", 0.0), ("-", 0.0)))],
    ]
    with torch.inference_mode():
        rows = [DraftTree.of(decoder, text, found) for text, found in zip(texts, alternatives, strict=True)]
        together = log_odds(scorer, [image.numpy() for image in images], rows)
        for image, text, found, odds in zip(images, texts, alternatives, together, strict=True):
            for doubt, got in zip(found, odds, strict=True):
                assert got == pytest.approx(of_whole_texts(decoder, image, text, doubt), abs=1e-4)


def trust(monkeypatch, odds_of: dict[str, float]) -> None:
    """Script the decoder: the log-odds of a spelling with the characters after it, whatever the picture."""

    def log_odds(scorer, images, rows):
        texts = [
            [[scorer.characters.decode([t for _, t in pick]) for pick in span] for span in row.picks] for row in rows
        ]
        return [[[odds_of.get(other, 0.0) for other in others] for _, *others in row] for row in texts]

    monkeypatch.setattr(verify, "log_odds", log_odds)


@pytest.mark.parametrize(
    ("weight", "wanted"),
    [(0.0, "rnodem buttoms"), (0.25, "modem buttoms"), (0.5, "modem buttons"), (9.0, "modem buttons")],
)
def test_head_and_decoder_decide_together(scorer, monkeypatch, weight, wanted) -> None:
    trust(monkeypatch, {"modem": 6.0, "ns": 4.0, "uns": -9.0})
    alternatives = [Alternative(0, 2, (("m", -1.0), ("n", -3.5))), Alternative(12, 13, (("n", -1.5), ("un", -0.1)))]
    assert rescore(scorer, [np.zeros((2, 40))], ["rnodem buttoms"], [alternatives], weight) == [wanted]


def test_a_decoder_with_fewer_letters_leaves_lines_with_others(monkeypatch) -> None:
    torch.manual_seed(0)
    config = preset("vary-nano-scripts-test")
    config.reading |= {"decoder_alphabet": LATIN, "append_posteriors": True}
    model = VaryForConditionalGeneration(config).eval()
    pixels = np.random.default_rng(0).integers(0, 255, (64, 256), np.uint8)
    trust(monkeypatch, {"modem": 9.0})
    boxes = np.array([[8 * k, 20, 8 * k + 8, 36] for k in range(6)], np.float32)
    lines = [TextLine(text, boxes, np.ones(6, np.float32), 16.0) for text in ("nodems", "модемы", "nodems")]
    for line in lines:
        line.alternatives = [Alternative(0, 1, (("m", -0.1),))]
    lines[2].alternatives = [Alternative(0, 1, (("т", -0.1),))]
    field = reader_of(model, "a").network(pixels)
    assert rescore_lines(TorchLines(model), lines, field, 1.0) == ["modems", "модемы", "nodems"]
    assert rescore_lines(TorchLines(model), lines[1:], field, 1.0) == ["модемы", "nodems"]


def test_lines_keep_their_order_whatever_their_length(scorer, tiny_model, monkeypatch) -> None:
    monkeypatch.setattr(verify, "PASS_TOKENS", 40)
    images = [image.numpy() for image in strip_images(tiny_model, 3)]
    drafts = ["quite a long line of text", "short", "middling text"]
    none = [[Alternative(0, 1, ((draft[0], -1e9),))] for draft in drafts]
    assert rescore(scorer, images, drafts, none, 1.0) == drafts
    swapped = [[Alternative(0, 1, (("X", 1e9),))] for _ in drafts]
    assert rescore(scorer, images, drafts, swapped, 1.0) == ["X" + draft[1:] for draft in drafts]


def test_strips_outside_the_page_are_zeros(tiny_model) -> None:
    with torch.no_grad():
        tokens = torch.ones(1, 8 * 16, tiny_model.connector.squeeze.in_features)
        inside, outside = strip_embeddings(tiny_model, tokens, (8, 16), [Strip(0, 2, 0, 4, 8), Strip(0, -40, 0, 4, 8)])
        zeros = tiny_model.connector(torch.zeros(1, 32, tokens.shape[-1]), (4, 8))[0]
    torch.testing.assert_close(outside, zeros)
    assert not torch.allclose(inside, outside)


def test_strips_are_cut_and_connected_alike_in_training_and_reading(tiny_model, scorer) -> None:
    tokens = torch.rand(1, 8 * 16, tiny_model.connector.squeeze.in_features)
    strips = [Strip(0, 2, 0, 4, 8), Strip(0, -2, 9, 4, 12), Strip(0, 5, -3, 8, 4)]
    with torch.no_grad():
        wanted = strip_embeddings(tiny_model, tokens, (8, 16), strips)
    found = connect_strips(scorer, tokens[0].reshape(8, 16, -1).numpy(), strips)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-5)


def test_the_shipped_files_score_as_the_model_does() -> None:
    """They hold no weights of their own: they take those of `model.safetensors`."""
    folder, rng = weights_dir("vary-nano"), np.random.default_rng(3)
    whole = load_model(folder)
    exported, model = OnnxLines(folder, 1), TorchLines(whole)
    assert (exported.window, exported.stride, exported.posteriors) == (model.window, model.stride, model.posteriors)
    assert exported.characters.ids == model.characters.ids
    cells = rng.random((12, 64, whole.connector.squeeze.in_features), np.float32)
    strips = [Strip(0, 0, 0, 4, 32), Strip(0, 3, 8, 4, 48), Strip(0, 1, -4, 8, 16)]
    images = connect_strips(model, cells, strips)
    for one, other in zip(connect_strips(exported, cells, strips), images, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    spans = [[Alternative(0, 2, (("m", -1.0), ("n", -3.5)))], [], [Alternative(3, 4, (("l", -1.0),))]]
    texts = ["rnodem buttoms", "x", "a line that is longer, with 4 signs"]
    rows = [DraftTree.of(model.characters, text, found) for text, found in zip(texts, spans, strict=True)]
    for one, other in zip(log_odds(exported, images, rows), log_odds(model, images, rows), strict=True):
        for odds, wanted in zip(one, other, strict=True):
            assert odds == pytest.approx(wanted, abs=1e-3)


@pytest.mark.slow  # slow: three exports, seconds each; the shipped files are compared above
def test_a_model_of_ones_own_is_exported_with_its_decoder(tmp_path) -> None:
    config = preset("vary-nano-test")
    config.reading["decoder_weight"] = 0.2
    model = VaryForConditionalGeneration(config).eval().half()
    model.save_pretrained(tmp_path)
    assert {path.name for path in export_reader(tmp_path)} == {ONNX_FILE, *LINE_FILES}
    assert sum(Path(tmp_path, name).stat().st_size for name in LINE_FILES) < 80_000  # their weights are not in them
    cells = np.random.default_rng(1).random((2, 4, 8, model.connector.squeeze.in_features), np.float32)
    model = TorchLines(load_model(tmp_path))
    np.testing.assert_allclose(OnnxLines(tmp_path, 1).connect(cells), model.connect(cells), atol=1e-4)


def test_files_for_other_weights_are_refused(tmp_path) -> None:
    for path in weights_dir("vary-nano").glob("*.*"):
        Path(tmp_path, path.name).write_bytes(path.read_bytes())
    header = Path(tmp_path, WEIGHTS_FILE).read_bytes()
    Path(tmp_path, WEIGHTS_FILE).write_bytes(header.replace(b'"language_model', b'"languagE_model', 1))
    with pytest.raises(InputError, match=r"lines_connect.onnx: written for another model.safetensors .*train.export"):
        OnnxLines(tmp_path, 1)


def test_strips_hold_their_lines(page_source, tiny_model) -> None:
    sample = page_source(seed=2, height=256, width=512, degraded=0.0, sizes_px=(12, 20)).sample(0)
    strips, texts = make_strips([sample], 2, tiny_model, limit=100)
    assert strips
    assert any("\n" in text for text in texts)
    for strip, text in zip(strips, texts, strict=True):
        lines = [line for line in sample.lines if line.text in text.split("\n")]
        assert any(
            strip.top * 8 <= line.box[1] + 8 and line.box[3] - 8 <= (strip.top + strip.height) * 8 for line in lines
        )
        assert strip.height % 4 == 0
        assert strip.width % 4 == 0


def test_a_strip_is_centred_on_its_line() -> None:
    strip = strip_of(0, 100.0, 100.0, 40.0, 200.0, (8, 4), (4, 4))
    assert strip.height == 4
    assert abs((strip.top + 2) * 8 - 100) <= 4
    assert strip.left * 4 <= 40
    assert (strip.left + strip.width) * 4 >= 200
