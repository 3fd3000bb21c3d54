"""Routes: tokens that take other parameters, with all that replaces, wraps or repeats the modules around them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from vary.io.errors import ConfigError
from vary.models.config import VaryConfig, preset
from vary.models.convert.convert import convert
from vary.models.fuse.language import layers_of
from vary.models.generate.quantize import quantize
from vary.models.modeling import VaryForConditionalGeneration, load_model
from vary.train.build import checkpoint_activations
from vary.train.recipe import Lora

from .references import randomised
from .route_transcripts import ROUTED
from .test_rows import inputs_of
from .test_transcribed_rows import language_of

KINDS = {
    "adapter": "lynx",
    "copy": "cogvlm",
    "experts": "moe-llava",
    "low-rank": "xcomposer2",
}  # a row for each kind of branch
HOOKED = [*KINDS.values(), "idefics"]  # the last one has gated cross-attention


def row(name: str) -> VaryForConditionalGeneration:
    return randomised(VaryForConditionalGeneration(preset(f"{name}-test")))


def without_routes(model: VaryForConditionalGeneration) -> VaryForConditionalGeneration:
    """A model of the same weights, without routes."""
    plain = VaryForConditionalGeneration(VaryConfig(**model.config.to_dict() | {"routes": []})).eval()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("routes.")})
    return plain


def logits_of(model: VaryForConditionalGeneration, *pictures: int) -> Tensor:
    with torch.no_grad():
        return model(**inputs_of(model.config, *pictures or (1,))).logits


@pytest.mark.parametrize("name", KINDS.values())
def test_a_route_begins_as_the_model_without_it_and_is_taken(name) -> None:
    model = row(name)
    plain = logits_of(without_routes(model))
    assert (logits_of(model) - plain).abs().max() > 1e-2
    assert model.routes.start(model) == ["routes.0."]
    torch.testing.assert_close(logits_of(model), plain, atol=1e-5, rtol=1e-5)
    words, branch = "language_model.norm.weight", next(key for key in model.state_dict() if key.startswith("routes"))
    assert [model.routes.start(model, names) for names in ([branch, words], [branch], [])] == [[], [], []]
    assert model.routes.start(model, [words]) == ["routes.0."]


@pytest.mark.parametrize("name", ["cogvlm", "xcomposer2"])
def test_words_alone_take_no_branch_of_image_tokens(name) -> None:
    model = row(name)
    ids = torch.tensor([[7, 9, 11]])
    with torch.no_grad():
        logits_of(model)  # what an earlier prompt showed must not stay
        assert torch.equal(model(ids).logits, without_routes(model)(ids).logits)


def loss_of(model: VaryForConditionalGeneration, picture: int) -> Tensor:
    inputs = inputs_of(model.config, picture)
    return model(**inputs, labels=inputs["input_ids"].masked_fill(inputs["input_ids"] > 255, -100)).loss


def test_the_balance_of_experts_is_a_term_of_the_loss() -> None:
    model = row("moe-llava")
    inputs, language = inputs_of(model.config, 1), language_of(model)
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] > 255, -100)
    with torch.no_grad():
        ROUTED["moe-llava"](model, inputs, language)
        out = model(**inputs, labels=labels)
        kept = labels[0, 1:] != -100
        plain = torch.nn.functional.cross_entropy(out.logits[0, :-1][kept], labels[0, 1:][kept])
    expected = 0.01 * sum(layer.mlp.l_aux for layer in language.model.layers if hasattr(layer.mlp, "l_aux"))
    torch.testing.assert_close(out.aux_loss, expected)
    torch.testing.assert_close(out.loss, plain + expected)


@pytest.mark.parametrize("name", [*HOOKED, "lavin", "kosmos-1"])  # the last one has xPos, without parameters
def test_two_checkpointed_passes_before_a_backward_pass_change_no_gradient(name) -> None:
    """The first one is computed again after the hooks have seen the second prompt, which has another length."""
    gradients = []
    for checkpointing in (False, True):
        model = row(name).train()
        if checkpointing:
            checkpoint_activations(model)
        longer = inputs_of(model.config, 1, 2)
        torch.manual_seed(0)  # of dropout
        (loss_of(model, 1) + model(**longer, labels=longer["input_ids"]).loss).backward()
        gradients.append({key: p.grad for key, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert any(key.startswith(("routes", "fusion")) for key in gradients[0]) == (name != "kosmos-1")
    for key, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], expected, atol=1e-6, rtol=1e-4, msg=key)


@pytest.mark.parametrize("name", KINDS.values())
def test_quantised_layers_keep_their_branches(name) -> None:
    """Quantisation replaces the modules; a change of the branches must change the answer as before."""
    model = row(name)
    quantize(model, "int8")
    off = (logits_of(model) - logits_of(row(name))).abs().max()
    for parameter in model.routes.parameters():
        parameter.data.zero_()
    assert off < 0.5 * (logits_of(model) - logits_of(row(name))).abs().max()


@pytest.mark.slow  # compiling takes 10 s for each
@pytest.mark.parametrize("name", HOOKED)
def test_compiled_layers_compute_the_same_and_learn_the_same(name) -> None:
    torch.compiler.reset()
    model, compiled = row(name).train(), row(name).train()
    for layer in layers_of(compiled.language_model):
        layer.compile(backend="aot_eager")
    for picture in (1, 2):
        losses = [loss_of(each, picture) for each in (model, compiled)]
        torch.testing.assert_close(*losses)
        for loss in losses:
            loss.backward()
    theirs = dict(compiled.named_parameters())
    for key, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(theirs[key].grad, parameter.grad, atol=1e-5, rtol=1e-3, msg=key)
    ids = torch.tensor([[7, 9, 11]])
    torch.testing.assert_close(compiled(ids).logits, model(ids).logits)


@pytest.mark.parametrize("name", KINDS.values())
def test_adapters_of_peft_go_with_routes(name) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    model = row(name)
    before = logits_of(model)
    settings = LoraConfig(r=Lora.r, target_modules=list(Lora().targets))
    inject_adapter_in_model(settings, model.language_model)
    torch.testing.assert_close(logits_of(model), before)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(parameter)
    assert (logits_of(model) - before).abs().max() > 1e-2


@pytest.mark.parametrize("name", HOOKED)
def test_a_copy_of_a_model_has_its_own_branches(name) -> None:
    model = row(name)
    other, before = copy.deepcopy(model), logits_of(model)
    assert torch.equal(logits_of(other), before)
    with torch.no_grad():
        for parameter in (*other.routes.parameters(), *other.fusion.parameters()):
            parameter.zero_()
    assert not torch.equal(logits_of(other), before)
    assert torch.equal(logits_of(model), before)


def test_assembled_models_start_their_routes_from_the_language_model(tmp_path) -> None:
    from transformers import LlamaForCausalLM

    config = preset("cogvlm-test")
    language = randomised(LlamaForCausalLM(config.text_config))
    language.save_pretrained(tmp_path / "language")
    report = convert([tmp_path / "language"], tmp_path / "ours", name="cogvlm-test")
    assert not any("routes" in line.partition("random: ")[2] for line in report)
    assert "routes.0: as without" in report
    ours = load_model(tmp_path / "ours")
    torch.testing.assert_close(logits_of(ours), logits_of(without_routes(ours)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ({"name": "copy", "at": ["self_attn.qkv"]}, "no such module in a layer; it has layer, self_attn,"),
        ({"name": "copy", "at": ["mlp"], "token": "all"}, "unknown key 'token'"),
        ({"name": "copy", "at": ["mlp"], "tokens": "sound"}, "routes.0: .*tokens"),
        ({"name": "low-rank", "at": ["mlp"]}, "routes.0: missing .*rank"),
        ({"name": "rank", "at": ["mlp"]}, "unknown branch 'rank'"),
        (
            {"name": "copy", "at": ["mlp"], "part": "connector"},
            "unknown part 'connector'; allowed: language_model, voc",
        ),
    ],
)
def test_a_wrong_route_is_named(route, message) -> None:
    settings: dict[str, Any] = preset("cogvlm-test").to_dict() | {"routes": [route]}
    with pytest.raises(ConfigError, match=message):
        VaryForConditionalGeneration(VaryConfig(**settings))


def test_xpos_takes_the_place_of_the_positions_of_the_language_model() -> None:
    model = row("kosmos-1")
    before = logits_of(model)
    counted = VaryForConditionalGeneration(VaryConfig(**model.config.to_dict() | {"positions": {"name": "plain"}}))
    counted.eval().load_state_dict(model.state_dict())
    other = logits_of(counted)
    for each in (model, counted):
        each.language_model.embed_positions.weights += 1
    assert torch.equal(logits_of(model), before)
    assert not torch.equal(logits_of(counted), other)
    quantize(model, "int8")
    assert (logits_of(model) - before).abs().max() < 0.5 * (other - before).abs().max()
    settings: dict[str, Any] = preset("llava-test").to_dict() | {"positions": {"name": "xpos"}}
    with pytest.raises(ConfigError, match="xpos needs a model with embed_positions; llama has none"):
        VaryForConditionalGeneration(VaryConfig(**settings))


@torch.no_grad()
def test_prompts_without_images_have_shares_of_their_own() -> None:
    """LaVIN has a vector for each kind of prompt; in a batch each prompt has the shares of its kind."""
    model, ids = row("lavin"), torch.tensor([[7, 9, 11]])
    words, seen = model(ids).logits, logits_of(model)
    image = inputs_of(model.config, 1)
    padded = torch.nn.functional.pad(ids, (0, image["input_ids"].shape[1] - 3), value=7)
    both = image | {"input_ids": torch.cat([image["input_ids"], padded])}
    both["attention_mask"] = torch.ones_like(both["input_ids"])
    for key in ("pixel_values", "image_shapes"):
        both |= {key: torch.cat([image[key], image[key]])} if key in image else {}
    mixed = model(**both).logits
    torch.testing.assert_close(mixed[1:, :3], words)
    torch.testing.assert_close(mixed[:1], seen)
    model.fusion.kinds.weight[1] += 1
    assert torch.equal(model(ids).logits, words)
    assert not torch.equal(logits_of(model), seen)
