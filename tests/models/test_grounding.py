"""Boxes, masks and codes: what answers mean in an image, and how regions of it are asked about."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vary.io.errors import ConfigError, InputError
from vary.models.config import VaryConfig, preset
from vary.models.fuse.regions import boxes_of, rasterise, roi_align
from vary.models.generate.grounded import ask_detector
from vary.models.heads.detector import best_boxes
from vary.models.heads.grounding import CellHead

from .grounding_transcripts import GROUNDED
from .test_rows import inputs_of
from .test_transcribed_rows import language_of, row


@pytest.mark.parametrize("name", GROUNDED)
@torch.no_grad()
def test_heads_predict_what_the_code_of_the_authors_predicts(name) -> None:
    ours, (output, parts) = row(name), GROUNDED[name]
    inputs = inputs_of(ours.config, 1)
    found = ours(**inputs).predictions
    states = output(ours, inputs, language_of(ours)).hidden_states[-1]
    for own, expected in zip(found, parts, strict=True):
        wanted = expected(ours, inputs, states)
        if own.shape[-1] == 6:  # of the detector
            own = torch.cat([own[..., :4], own[..., 4:].sigmoid()], -1)
        torch.testing.assert_close(own, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["ferret", "glamm", "covlm"])
@torch.no_grad()
def test_another_region_changes_the_answer(name) -> None:
    ours = row(name)
    inputs = inputs_of(ours.config, 1)
    other = inputs | {"regions": torch.tensor([[[0.5, 0.5, 0.9, 0.9]]])}
    assert (ours(**inputs).logits - ours(**other).logits).abs().max() >= 1e-2


@torch.no_grad()
def test_a_mask_of_a_box_is_that_box() -> None:
    """Ferret takes regions of any shape."""
    ours = row("ferret")
    inputs = inputs_of(ours.config, 1)
    mask = rasterise(inputs["regions"][0], (24, 24)).float()
    assert torch.equal(ours(**inputs).logits, ours(**inputs | {"regions": mask[None]}).logits)
    mask[0, :12] = 0
    assert not torch.equal(ours(**inputs).logits, ours(**inputs | {"regions": mask[None]}).logits)


def test_a_mask_becomes_the_box_around_it() -> None:
    mask = torch.zeros(2, 4, 10)
    mask[0, 1:3, 2:7] = 1
    mask[1, 3, 9] = 1
    torch.testing.assert_close(boxes_of(mask), Tensor([[0.2, 0.25, 0.7, 0.75], [0.9, 0.75, 1, 1]]))


def test_a_cut_of_the_whole_map_averages_its_cells() -> None:
    picture = torch.arange(16.0).reshape(1, 1, 4, 4)
    whole = roi_align(picture, Tensor([[0, 0, 4, 4]]), 4)
    torch.testing.assert_close(whole[..., 1:3, 1:3], picture[..., 1:3, 1:3])


@torch.no_grad()
def test_prompts_without_a_region_share_a_batch_with_those_that_have_one() -> None:
    ours = row("glamm")
    both = inputs_of(ours.config, 1, 2)
    alone = {k: [part[1:] for part in own] if isinstance(own, list) else own[1:] for k, own in both.items()}
    both["regions"][0] = 0
    with pytest.raises(InputError, match=r"prompts hold \[0, 0\] region tokens, and \[1, 0\] regions"):
        ours(**both | {"regions": both["regions"].flip(0), "input_ids": _without_region(ours, both["input_ids"])})
    both["input_ids"] = _without_region(ours, both["input_ids"])
    torch.testing.assert_close(ours(**both).logits[1, -1], ours(**alone).logits[0, -1], atol=1e-4, rtol=1e-4)


def _without_region(ours, ids: Tensor) -> Tensor:
    """The ids, with another token in place of the region of the first prompt."""
    ids = ids.clone()
    ids[0][ids[0] == ours.config.regions["token"]] = 7
    return ids


@torch.no_grad()
def test_regions_need_one_image() -> None:
    ours = row("covlm")
    inputs = inputs_of(ours.config, 1)
    image, pixels = ours.config.image_token_id, inputs["pixel_values"]
    count = int((inputs["input_ids"] == image).sum())
    inputs["input_ids"] = torch.cat([torch.full((1, count), image), inputs["input_ids"]], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with pytest.raises(InputError, match="one image of one view"):
        ours(**inputs | {"pixel_values": torch.stack([pixels, pixels], 1)})


@torch.no_grad()
def test_the_best_box_is_inside_the_image() -> None:
    ours = row("covlm")
    found = ours(**inputs_of(ours.config, 1)).predictions[0]
    box = best_boxes(found)
    assert box.shape == (1, 4)
    assert box.min() >= 0
    assert box.max() <= 1


@pytest.mark.parametrize("name", ["u-llava", "covlm"])
def test_heads_learn_what_they_are_shown(name) -> None:
    torch.manual_seed(0)
    ours = row(name).train()
    inputs = inputs_of(ours.config, 1)
    box = torch.tensor([[0.05, 0.05, 0.45, 0.45]])
    mask = rasterise(box, (16, 16)).float()
    targets = [mask if head["name"] == "masks" else box for head in ours.config.heads]
    optimizer = torch.optim.AdamW(ours.heads.parameters(), 1e-2)
    losses = []
    for _ in range(12):
        loss = ours(**inputs, labels=inputs["input_ids"], targets=targets).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    plain = ours(**inputs, labels=inputs["input_ids"]).loss.item()
    assert losses[-1] - plain < 0.7 * (losses[0] - plain)


def test_a_mask_is_drawn_in_the_cells_of_a_vocabulary() -> None:
    torch.manual_seed(0)
    head = CellHead(8, 6, token=1, out=5)
    states, tokens, wanted = torch.randn(2, 8), torch.randn(2, 7, 6), torch.eye(4).reshape(4, 2, 2)[:2]
    optimizer = torch.optim.AdamW(head.parameters(), 3e-2)
    for _ in range(100):
        loss = head.loss(head(states, tokens, (2, 2)), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(head(states, tokens, (2, 2)) > 0, wanted.bool())
    tokens[:, :3] += 1  # objects, which are in front of the cells
    assert torch.equal(head(states, tokens, (2, 2)) > 0, wanted.bool())


@torch.no_grad()
def test_an_image_is_learnt_as_words() -> None:
    """Where labels mark the image, its codes are the targets; a query of a causal Q-Former sees none after it."""
    ours = row("seed-llama")
    inputs = inputs_of(ours.config, 1)
    ids, image = inputs["input_ids"], ours.config.image_token_id
    tokens = ours(**inputs).image_hidden_states[0]
    ours.fusion.table.weight[: len(tokens)] = tokens.flip(0)
    out = ours(**inputs, labels=torch.where(ids == image, ids, -100))
    codes = ours.fusion.ids(tokens)
    assert (codes - ours.config.fusion["first"]).tolist() == list(range(len(tokens)))[::-1]
    spelt = ids.masked_scatter(ids == image, codes)
    alone = ours(spelt, labels=torch.where(ids == image, spelt, -100))
    torch.testing.assert_close(out.loss, alone.loss)
    ours.connector.steps[0].queries[0, -1] += 1
    changed = ours(**inputs).image_hidden_states[0]
    torch.testing.assert_close(changed[:-1], out.image_hidden_states[0][:-1])
    assert not torch.equal(changed[-1], out.image_hidden_states[0][-1])


def test_a_head_whose_vocabulary_is_missing_is_refused() -> None:
    row = preset("u-llava-test")
    with pytest.raises(ConfigError, match=r"heads.0: masks reads a second vocabulary, and the model has one"):
        VaryConfig(vocabularies=row.vocabularies[:1], connector=row.connector, heads=row.heads)
    with pytest.raises(ConfigError, match="unknown head 'mask'; did you mean 'masks'"):
        VaryConfig(heads=[{"name": "mask", "token": 1}])


@torch.no_grad()
def test_an_answer_asks_the_detector_and_reads_its_box() -> None:
    ours = row("covlm")
    inputs = inputs_of(ours.config, 1)
    head, region = ours.config.heads[0]["token"], ours.config.regions["token"]
    ours.lm_head = torch.nn.Linear(32, ours.config.text_config.vocab_size)  # it asks at every token
    torch.nn.init.zeros_(ours.lm_head.weight)
    ours.lm_head.bias.copy_(torch.nn.functional.one_hot(torch.tensor(head), ours.config.text_config.vocab_size))
    ids, boxes = ask_detector(ours, inputs, [9], max_tokens=6, do_sample=False)
    start = inputs["input_ids"].shape[1]
    assert ids[0, start:].tolist() == [head, region, 9] * 2
    assert boxes.shape == (1, 3, 4)
    asked = inputs | {"input_ids": ids[:, : start + 1], "attention_mask": torch.ones(1, start + 1)}
    torch.testing.assert_close(boxes[:, 1], best_boxes(ours(**asked).predictions[0][-1:]))
    assert torch.equal(boxes[:, :1], inputs["regions"])
    with pytest.raises(ConfigError, match="no detector"):
        ask_detector(row("ferret"), inputs, [9])
