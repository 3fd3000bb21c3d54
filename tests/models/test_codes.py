"""Images as words: drawn from an answer, written by an encoder-decoder (Parti), and unmasked step by step (MaskGIT)."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from vary.io.errors import ConfigError, InputError
from vary.models.config import preset
from vary.models.generate.draw import draw_images
from vary.models.generate.unmask import hide, unmask
from vary.models.modeling import VaryForConditionalGeneration

from .test_rows import DARK, inputs_of
from .test_transcribed_rows import row


def two_images(model: VaryForConditionalGeneration) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels (2, C, H, W) of two images, and their codes (2, N) as words."""
    pixels = torch.cat([inputs_of(model.config, k)["pixel_values"] for k in (1, DARK)])
    codes = model.vocabularies[0](pixels)[..., 0].long() + model.fusion.first
    assert not torch.equal(codes[0], codes[1])
    return pixels, codes


@torch.no_grad()
def test_an_answer_is_drawn_from_its_codes() -> None:
    ours = row("llamagen")
    inputs = inputs_of(ours.config, 1)
    ids, pixels = inputs["input_ids"], inputs["pixel_values"]
    image, coder = ours.config.image_token_id, ours.vocabularies[0].coder
    codes = coder.encode(pixels).image_tokens
    spelt = ids.masked_scatter(ids == image, codes + ours.config.fusion["first"])
    torch.testing.assert_close(ours(**inputs).logits, ours(spelt).logits)
    expected = coder.decode(codes[None]) * 0.5 + 0.5
    torch.testing.assert_close(draw_images(ours, spelt), expected.clamp(0, 1))
    with pytest.raises(InputError, match=r"answer 1 holds 0 codes; an image has 4"):
        draw_images(ours, ids)
    with pytest.raises(ConfigError, match="no codes of images that can be drawn"):
        draw_images(row("seed-llama"), ids)


def test_an_encoder_decoder_learns_to_write_an_image() -> None:
    torch.manual_seed(0)
    model = VaryForConditionalGeneration(preset("parti-test")).eval()
    model.vocabularies.load_state_dict(row("parti").vocabularies.state_dict())
    pixels, codes = two_images(model)
    ids, end = torch.tensor([[7, 8], [9, 10]]), torch.full((2, 1), model.config.text_config.eos_token_id)
    labels = torch.cat([torch.full_like(codes, model.config.image_token_id), end], 1)
    spelt = model(ids, labels=torch.cat([codes, end], 1)).loss
    torch.testing.assert_close(model(ids, pixels, labels=labels).loss, spelt)
    optimizer = torch.optim.AdamW(model.language_model.parameters(), 3e-3)
    for _ in range(100):
        optimizer.zero_grad()
        model(ids, pixels, labels=labels).loss.backward()
        optimizer.step()
    written = model.generate(input_ids=ids, max_new_tokens=codes.shape[1], do_sample=False)
    assert torch.equal(written[:, 1:], codes)
    expected = model.vocabularies[0].draw(codes - model.fusion.first) * 0.5 + 0.5
    torch.testing.assert_close(draw_images(model, written), expected.clamp(0, 1).detach())


@torch.no_grad()
def test_an_encoder_reads_an_image_and_the_answer_is_words() -> None:
    model = row("parti")
    pixels, codes = two_images(model)
    words, labels = torch.tensor([[7, 8], [9, 10]]), torch.tensor([[11, 12, 13], [14, 15, -100]])
    ids = torch.cat([torch.full_like(codes, model.config.image_token_id), words], 1)
    read = model(torch.cat([codes, words], 1), labels=labels).loss
    torch.testing.assert_close(model(ids, pixels, labels=labels).loss, read)
    assert (model(ids, pixels.flip(0), labels=labels).loss - read).abs() > 1e-2, "the picture is not seen"


def masked_words(model: VaryForConditionalGeneration, *words: int) -> torch.Tensor:
    """A word, and the places of an image, for each word."""
    count = two_images(model)[1].shape[1]
    return torch.tensor([[word, *[model.config.image_token_id] * count] for word in words])


def authors_decode(
    model: VaryForConditionalGeneration, ids: torch.Tensor, steps: int, temperature: float, generator: torch.Generator
) -> list[torch.Tensor]:
    """The ids after each step, as google-research/maskgit has it: maskgit/libml/parallel_decode.py, d7c8ec0."""
    mask, first = model.config.image_token_id, model.fusion.first
    started, found = (ids == mask).sum(-1), []
    for step in range(steps):
        unknown = ids == mask
        probs = model(ids).logits[..., first : first + 40].softmax(-1)
        drawn = torch.multinomial(probs.flatten(0, 1), 1, generator=generator).view(ids.shape)
        chosen = torch.where(unknown, probs.gather(-1, drawn[..., None])[..., 0], torch.inf)
        drawn = torch.where(unknown, drawn + first, ids)
        ratio = (step + 1) / steps
        length = torch.floor(started * math.cos(math.pi / 2 * ratio))[:, None]
        length = torch.maximum(torch.tensor(1), torch.minimum(unknown.sum(-1, keepdim=True) - 1, length)).long()
        gumbel = -torch.empty(ids.shape).exponential_(generator=generator).log()
        confidence = chosen.log() + temperature * (1 - ratio) * gumbel
        cut_off = confidence.sort(-1).values.gather(-1, length)
        ids = torch.where(confidence < cut_off, mask, drawn)
        found.append(ids if step < steps - 1 else drawn)
    return found


@pytest.mark.parametrize("steps", [1, 3, 8])
@torch.no_grad()
def test_the_surest_codes_are_kept_as_by_the_authors(steps) -> None:
    model = row("maskgit")
    ids = masked_words(model, 7, 9)
    written = unmask(model, ids, steps, generator=torch.Generator().manual_seed(1))
    expected = authors_decode(model, ids, steps, 4.5, torch.Generator().manual_seed(1))
    assert torch.equal(written, expected[-1])
    left = [model.is_image(found).sum(1).tolist() for found in expected]
    assert left == {1: [[0, 0]], 3: [[3, 3], [2, 2], [0, 0]]}.get(steps, left)
    assert not torch.equal(written[0, 1:], written[1, 1:])
    later = ids.clone()
    later[0, -1] = model.fusion.first + 3
    assert (model(later).logits[0, 1] - model(ids).logits[0, 1]).abs().max() > 1e-2, "what follows is not seen"


def test_images_are_learnt_by_hiding_their_codes() -> None:
    model, generator = row("maskgit"), torch.Generator().manual_seed(0)
    pixels, codes = two_images(model)
    ids = masked_words(model, 7, 9)
    optimizer = torch.optim.AdamW(model.language_model.parameters(), 3e-3)
    for _ in range(80):
        hidden, spelt = hide(model, ids, pixels, generator)
        assert torch.equal(spelt[:, 1:], codes)
        learnt = model.is_image(hidden)
        assert learnt.any(1).all()
        optimizer.zero_grad()
        cross_entropy(model(hidden).logits[learnt], spelt[learnt]).backward()
        optimizer.step()
    assert torch.equal(unmask(model, ids, generator=generator)[:, 1:], codes)
    with pytest.raises(ConfigError, match="mask: prefix; this one has causal"):
        unmask(row("llamagen"), ids)
