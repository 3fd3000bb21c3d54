"""Several images in one prompt: every way of cutting and placing them; and images of an earlier call are forgotten."""

from __future__ import annotations

import pytest
import torch

from vary.models.config import VaryConfig, preset
from vary.models.convert.peers import peer_inputs
from vary.models.modeling import VaryForConditionalGeneration
from vary.models.processor import VaryProcessor
from vary.models.zoo import about

from .references import randomised
from .test_rows import DARK, pair, shown, tokenizer_of

WAYS = {  # row: whether its class of transformers takes several images in a prompt as we do
    "llava-1.5": True,
    "deepseek-vl-1.3b": True,
    "paligemma": True,  # a prefix mask
    "llava-next": True,  # tiles of the best of some sizes
    "llava-onevision": False,  # the class does not cut several images into tiles
    "idefics3": True,  # tiles with text between them
    "idefics2": True,  # the size of the image
    "qwen2-vl": True,  # the same, packed, and positions in three rows
    "fuyu": True,  # padded, a token after each row
    "idefics": True,  # cross-attention
    "openflamingo": False,  # no class
    "llava-uhd": False,  # slices of several sizes
    "minicpm-v": False,
    "blip-2": False,  # the class takes one image
}


def model_of(name: str) -> VaryForConditionalGeneration:
    if about(name).reference:
        return pair(name)[0]
    return randomised(VaryForConditionalGeneration(preset(f"{name}-test")))


def inputs_of(config: VaryConfig, *rows: tuple[int, ...]) -> dict:
    processor = VaryProcessor.of(config, tokenizer_of(config))
    texts = ["<image>a<image>b" if len(row) > 1 else "<image>what is it?" for row in rows]
    return dict(processor([[shown(k) for k in row] for row in rows], texts))


@pytest.mark.parametrize("name", WAYS)
@torch.no_grad()
def test_two_images_next_to_one_in_a_batch(name) -> None:
    ours = model_of(name)
    rows = [(1, DARK), (2,)]
    together = ours(**inputs_of(ours.config, *rows)).logits[:, -1]
    for found, row in zip(together, rows, strict=True):
        alone = ours(**inputs_of(ours.config, row)).logits[0, -1]
        assert (found - alone).abs().max() <= 1e-4
    swapped = ours(**inputs_of(ours.config, (DARK, 1))).logits[0, -1]
    assert (together[0] - swapped).abs().max() >= 1e-3


@pytest.mark.parametrize("name", [name for name, same in WAYS.items() if same])
@torch.no_grad()
def test_two_images_equal_the_class_of_transformers(name) -> None:
    ours, theirs = pair(name)
    inputs = inputs_of(ours.config, (1, 2))  # of the same number of cells, as Fuyu's class asks
    given = peer_inputs(about(name).reference, inputs, ours)
    assert (ours(**inputs).logits - theirs(**given).logits).abs().max() <= 1e-4


@pytest.mark.parametrize("name", ["idefics", "openflamingo", "blip"])
@torch.no_grad()
def test_images_of_an_earlier_call_are_forgotten(name) -> None:
    """Cross-attention holds the images of one call; the next one must not see them."""
    used, fresh = model_of(name), model_of(name)
    one, other = (inputs_of(used.config, (k,)) for k in (1, DARK))
    text = {key: one[key] for key in ("input_ids", "attention_mask")}
    used(**one)
    assert torch.equal(used(**other).logits, fresh(**other).logits)
    if name != "blip":  # BLIP's decoder always attends to an image
        assert torch.equal(used(**text).logits, model_of(name)(**text).logits)
    settings = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    used.generate(**one, **settings)
    assert torch.equal(used.generate(**other, **settings), fresh.generate(**other, **settings))


@pytest.mark.parametrize("head", [{}, {"bias": True}, {"scale": 0.5}, {"bias": True, "scale": 0.25}])
@torch.no_grad()
def test_the_head_has_a_bias_and_a_scale(head) -> None:
    """Phi has a bias; T5 and Granite scale the states before the projection."""
    config = VaryConfig(**preset("llava-phi-test").to_dict() | {"head": head})
    ours = randomised(VaryForConditionalGeneration(config))
    inputs = inputs_of(config, (1,))
    out = ours(**inputs, output_hidden_states=True)
    expected = out.hidden_states[-1] * head.get("scale", 1.0) @ ours.lm_head.weight.T
    if "bias" in head:
        assert ours.lm_head.bias.abs().max() > 0
        expected = expected + ours.lm_head.bias
    else:
        assert ours.lm_head.bias is None
    torch.testing.assert_close(out.logits, expected, atol=1e-5, rtol=1e-5)
