"""Rescoring: head and decoder choose together among the spellings of uncertain spans."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vary.document.alphabets import LATIN
from vary.document.lines import Alternative, TextLine
from vary.models.config import preset
from vary.models.generate.strip_decoder import Strip, StripDecoder, strip_embeddings, strip_of
from vary.models.modeling import VaryForConditionalGeneration
from vary.reading import verify
from vary.reading.verify import CONTEXT, DraftTree, log_odds, rescore, rescore_lines
from vary.train.tasks.reading_tasks import make_strips

from .in_memory import reader_of


@pytest.fixture(scope="module")
def decoder(tiny_model) -> StripDecoder:
    return StripDecoder(tiny_model)


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


def test_branches_score_as_whole_texts_do(decoder) -> None:
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
        together = log_odds(decoder, images, rows)
        for image, text, found, odds in zip(images, texts, alternatives, together, strict=True):
            for doubt, got in zip(found, odds, strict=True):
                assert got == pytest.approx(of_whole_texts(decoder, image, text, doubt), abs=1e-4)


def trust(monkeypatch, odds_of: dict[str, float]) -> None:
    """Script the decoder: the log-odds of a spelling with the characters after it, whatever the picture."""

    def log_odds(decoder, images, rows):
        texts = [[[decoder.decode([t for _, t in pick]) for pick in span] for span in row.picks] for row in rows]
        return [[[odds_of.get(other, 0.0) for other in others] for _, *others in row] for row in texts]

    monkeypatch.setattr(verify, "log_odds", log_odds)


@pytest.mark.parametrize(
    ("weight", "wanted"),
    [(0.0, "rnodem buttoms"), (0.25, "modem buttoms"), (0.5, "modem buttons"), (9.0, "modem buttons")],
)
def test_head_and_decoder_decide_together(decoder, monkeypatch, weight, wanted) -> None:
    trust(monkeypatch, {"modem": 6.0, "ns": 4.0, "uns": -9.0})
    alternatives = [Alternative(0, 2, (("m", -1.0), ("n", -3.5))), Alternative(12, 13, (("n", -1.5), ("un", -0.1)))]
    assert rescore(decoder, [torch.zeros(2, 40)], ["rnodem buttoms"], [alternatives], weight) == [wanted]


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
    assert rescore_lines(StripDecoder(model), lines, field, 1.0) == ["modems", "модемы", "nodems"]
    assert rescore_lines(StripDecoder(model), lines[1:], field, 1.0) == ["модемы", "nodems"]


def test_lines_keep_their_order_whatever_their_length(decoder, monkeypatch) -> None:
    monkeypatch.setattr(verify, "PASS_TOKENS", 40)
    images = strip_images(decoder.model, 3)
    drafts = ["quite a long line of text", "short", "middling text"]
    none = [[Alternative(0, 1, ((draft[0], -1e9),))] for draft in drafts]
    assert rescore(decoder, images, drafts, none, 1.0) == drafts
    swapped = [[Alternative(0, 1, (("X", 1e9),))] for _ in drafts]
    assert rescore(decoder, images, drafts, swapped, 1.0) == ["X" + draft[1:] for draft in drafts]


def test_strips_outside_the_page_are_zeros(tiny_model) -> None:
    with torch.no_grad():
        tokens = torch.ones(1, 8 * 16, tiny_model.connector.squeeze.in_features)
        inside, outside = strip_embeddings(tiny_model, tokens, (8, 16), [Strip(0, 2, 0, 4, 8), Strip(0, -40, 0, 4, 8)])
        zeros = tiny_model.connector(torch.zeros(1, 32, tokens.shape[-1]), (4, 8))[0]
    torch.testing.assert_close(outside, zeros)
    assert not torch.allclose(inside, outside)


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
