"""The models of the paper: parity with transformers' own parts, sizes, prompts to the token, batches and caches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    GotOcr2Config,
    GotOcr2ForConditionalGeneration,
)
from transformers.initialization import no_init_weights

from vary.models.config import VaryConfig, preset
from vary.models.convert.got import transformers
from vary.models.convert.key_tables import rename, reverse
from vary.models.modeling import VaryForConditionalGeneration, load_model
from vary.models.processor import VaryProcessor
from vary.models.vocab import TowerVocabulary, build_vocabulary
from vary.models.vocab.merge import token_grid
from vary.train.build import checkpoint_activations

FAMILY = ["vary-tiny", "vary-tiny-paper", "vary-tiny-600k", "vary-toy", "vary-base", "vary-base-vicuna", "got"]
TWINS = ("vary-tiny-paper", "vary-tiny-600k", "vary-base")  # of the same parts as others, with another prompt or size
SHAPES = [pytest.param(name, marks=[pytest.mark.slow] if name in TWINS else []) for name in FAMILY]
# arXiv 2312.06109, 2401.12503, 2409.01704 as counted in the specification
COUNTS = {"vary-tiny": 223_165_440, "vary-toy": 2_235_000_000, "vary-base": 8_120_000_000, "got": 560_500_000}


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter random, those that start as zeros too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.08)
    return module.eval()


def picture(seed: int, size: tuple[int, int] = (90, 61)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8))


def family(name: str, tokenizers) -> tuple[VaryForConditionalGeneration, VaryProcessor]:
    config = preset(f"{name}-test")
    model = randomised(VaryForConditionalGeneration(config))
    return model, VaryProcessor.of(config, tokenizers(config))


def chat(text: str, *images: Image.Image) -> list[dict]:
    content = [*({"type": "image", "image": i} for i in images), {"type": "text", "text": text}]
    return [{"role": "user", "content": content if text else content[:-1]}]


def question(name: str, text: str) -> str:
    return "" if name == "vary-tiny-paper" else text


CLIP = {"image_size": 56, "patch": 14, "hidden": 24, "depth": 3, "heads": 3, "mlp": 40}


@pytest.mark.parametrize("layer", [-2, -1, 1])
@pytest.mark.parametrize("size", [(56, 56), (84, 42)])
def test_clip_is_a_layer_of_transformers_and_interpolates_positions(size, layer) -> None:
    ours = randomised(build_vocabulary("clip", **CLIP, layer=layer))
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        out = ours.tower(image, output_hidden_states=True, interpolate_pos_encoding=size != (56, 56))
        torch.testing.assert_close(ours(image), out.hidden_states[layer][:, 1:], atol=0, rtol=0)


@pytest.mark.parametrize("layer", [None, -2])
def test_siglip_is_a_layer_of_transformers(layer) -> None:
    ours = randomised(build_vocabulary("siglip", **CLIP, layer=layer))
    image = torch.randn(2, 3, 56, 56)
    with torch.no_grad():
        out = ours.tower(image, output_hidden_states=True)
        expected = out.last_hidden_state if layer is None else out.hidden_states[layer]
        torch.testing.assert_close(ours(image), expected, atol=0, rtol=0)


def test_a_tower_refuses_sizes_and_layers_that_it_has_not() -> None:
    with pytest.raises(ValueError, match="multiples of 14"):
        build_vocabulary("clip", **CLIP)(torch.zeros(1, 3, 60, 56))
    with pytest.raises(ValueError, match="layer 5: allowed are -4 to 3"):
        build_vocabulary("clip", **CLIP, layer=5)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_a_tower_takes_the_tokens_of_another_vocabulary(name) -> None:
    """Patch embeddings given as tokens are the same as the pixels that they come from."""
    ours = randomised(build_vocabulary(name, **CLIP))
    image = torch.randn(2, 3, 84, 42)
    with torch.no_grad():
        patches = ours.tower.embeddings.patch_embedding(image).flatten(2).mT
        torch.testing.assert_close(ours.from_tokens(patches, (6, 3)), ours(image), atol=0, rtol=0)
        torch.testing.assert_close(ours(image), ours(image), atol=0, rtol=0)


@pytest.mark.parametrize("kind", ["dinov2", "vit", "swin"])
def test_any_tower_of_transformers(kind) -> None:
    common = {"image_size": 32, "num_attention_heads": 2, "hidden_size": 16}
    configs = {
        "dinov2": {"model_type": "dinov2", "patch_size": 8, "num_hidden_layers": 2, **common},
        "vit": {"model_type": "vit", "patch_size": 8, "num_hidden_layers": 2, "intermediate_size": 20, **common},
        "swin": {"model_type": "swin", "image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1],
                 "num_heads": [2, 2], "window_size": 2},
    }  # fmt: skip
    sizes = {"config": configs[kind]} | ({"stride": 8} if kind == "swin" else {})
    vocabulary = randomised(TowerVocabulary(**sizes))
    image = torch.randn(2, 3, 32, 32)
    tokens = vocabulary(image)
    assert tokens.shape == (2, 16, vocabulary.width)
    expected = vocabulary.tower(pixel_values=image).last_hidden_state
    torch.testing.assert_close(tokens, expected[:, expected.shape[1] - 16 :])
    with pytest.raises(ValueError, match="give stride"):
        TowerVocabulary.stride_of(config={"model_type": "resnet"})


def test_gpt2_can_be_the_language_model() -> None:
    """No row has it, so nothing else builds it."""
    text = {
        "model_type": "gpt2",
        "n_embd": 24,
        "n_layer": 2,
        "n_head": 2,
        "vocab_size": 40,
        "eos_token_id": 1,
        "bos_token_id": 1,
    }
    nano = {"name": "nano", "stem": [6, 10], "width": 18, "depth": 1}
    model = randomised(VaryForConditionalGeneration(VaryConfig([nano], text_config=text)))
    alone = AutoModelForCausalLM.from_config(model.config.text_config).eval()
    alone.transformer.load_state_dict(model.language_model.state_dict())
    ids = torch.tensor([[7, 9, 11]])
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, alone(ids).logits)
        seen = model(torch.tensor([[7, 5, 5, 9]]), pixel_values=torch.randn(1, 1, 32, 32)).logits
    assert (seen - model(torch.tensor([[7, 6, 6, 9]])).logits)[0, -1].abs().max() > 1e-4


def test_vary_tiny_equals_its_encoder_and_opt(tokenizers) -> None:
    model, processor = family("vary-tiny", tokenizers)
    inputs = processor.apply_chat_template(chat("read", picture(1)), tokenize=True, return_dict=True)
    opt = AutoModelForCausalLM.from_config(model.config.text_config).eval()
    opt.model.load_state_dict(model.language_model.state_dict())
    with torch.no_grad():
        seen = model.connector[0](model.reading_vocabulary(inputs["pixel_values"]), None)
        embedded = opt.get_input_embeddings()(inputs["input_ids"]).clone()
        embedded[inputs["input_ids"] == model.config.image_token_id] = seen[0]
        expected = opt(inputs_embeds=embedded, attention_mask=inputs["attention_mask"]).logits
        torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-5, rtol=0)


def test_got_equals_transformers_in_logits_and_greedy_tokens(tokenizers) -> None:
    model, processor = family("got", tokenizers)
    sam = model.config.vocabularies[0]
    text = model.config.text_config
    vision = {
        "hidden_size": sam["hidden"], "num_hidden_layers": sam["depth"], "num_attention_heads": sam["heads"],
        "mlp_dim": sam["mlp"], "window_size": sam["window"], "global_attn_indexes": sam["global_blocks"],
        "image_size": sam["image_size"], "output_channels": 16,
    }  # fmt: skip
    sam = dict(
        sam, neck=16, convs=[32, text.hidden_size]
    )  # theirs ties the widths of the convolutions to neck and language model
    config = VaryConfig(**(model.config.to_dict() | {"vocabularies": [sam]}))
    model = randomised(VaryForConditionalGeneration(config), 3)
    theirs = GotOcr2ForConditionalGeneration(
        GotOcr2Config(vision_config=vision, text_config=text.to_dict(), image_token_index=config.image_token_id)
    ).eval()
    names = reverse(transformers("model.", "model.language_model.", "lm_head"))
    state = rename({k: v for k, v in model.state_dict().items() if k != "lm_head.weight"}, names)
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    theirs.tie_weights()
    inputs = processor.apply_chat_template(chat("OCR: ", picture(2)), tokenize=True, return_dict=True)
    with torch.no_grad():
        ours = model(**inputs)
        torch.testing.assert_close(ours.logits, theirs(**inputs).logits, atol=1e-5, rtol=0)
        runs = [m.generate(**inputs, max_new_tokens=12, do_sample=False) for m in (model, theirs)]
    assert torch.equal(*runs)


@pytest.mark.parametrize("name", FAMILY)
def test_image_tokens_equal_features(name, tokenizers) -> None:
    model, processor = family(name, tokenizers)
    inputs = processor.apply_chat_template(chat(question(name, "x"), picture(1)), tokenize=True, return_dict=True)
    pixels = inputs["pixel_values"]
    seen = model.get_image_features(pixels)
    assert seen.shape[1] == int((inputs["input_ids"] == model.config.image_token_id).sum())
    assert seen.shape[1] == processor.num_image_tokens(
        [tuple(p.shape[-2:]) for p in (pixels if isinstance(pixels, list) else [pixels])]
    )
    assert seen.shape[2] == model.config.text_config.hidden_size


@pytest.mark.parametrize("name", FAMILY)
def test_full_size_gives_256_tokens(name) -> None:
    config = preset(name)
    sizes = [(224, 224), (1024, 1024)][-len(config.vocabularies) :]
    assert token_grid(config.vocabularies, config.merge, config.connector, sizes) == (16, 16)


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_of_the_full_sizes(name) -> None:
    with torch.device("meta"), no_init_weights():
        model = VaryForConditionalGeneration(preset(name))
    model.tie_weights()
    count = sum(p.numel() for p in model.parameters())
    assert count == pytest.approx(COUNTS[name], rel=0 if name == "vary-tiny" else 0.003)
    sam = next(eye for eye in model.vocabularies if type(eye).__name__ == "SamVocabulary")
    assert sum(p.numel() for p in sam.parameters()) == 95_569_152
    assert len(sam.state_dict()) == 179
    if name in ("vary-toy", "vary-base"):
        assert sum(p.numel() for p in model.vocabularies[0].parameters()) == 303_179_776
        assert model.connector[0].linear.weight.shape == ({"vary-toy": 1024, "vary-base": 2048}[name], 1024)


@pytest.mark.parametrize("name", SHAPES)
def test_batched_equals_single_whatever_the_padding(name, tokenizers) -> None:
    model, processor = family(name, tokenizers)
    chats = [chat(question(name, "a"), picture(1)), chat(question(name, "a much longer one"), picture(2, (40, 99)))]
    both = processor.apply_chat_template(chats, tokenize=True, return_dict=True)
    together = model.generate(**both, max_new_tokens=6, do_sample=False, eos_token_id=None)
    with torch.no_grad():
        rows = model(**both).logits[:, -1]
    for k, one in enumerate(chats):
        alone = processor.apply_chat_template(one, tokenize=True, return_dict=True)
        tokens = model.generate(**alone, max_new_tokens=6, do_sample=False, eos_token_id=None)
        assert together[k, -6:].tolist() == tokens[0, -6:].tolist()
        with torch.no_grad():
            torch.testing.assert_close(rows[k], model(**alone).logits[0, -1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("beams", [1, 3])
def test_cache_equals_no_cache_and_beams_see_their_own_image(name, beams, tokenizers) -> None:
    model, processor = family(name, tokenizers)
    chats = [chat(question(name, "b"), picture(3)), chat(question(name, "b"), picture(4))]
    inputs = processor.apply_chat_template(chats, tokenize=True, return_dict=True)
    settings = {"max_new_tokens": 5, "do_sample": False, "num_beams": beams, "eos_token_id": None,
                "suppress_tokens": [model.config.image_token_id]}  # fmt: skip
    runs = [model.generate(**inputs, **settings, use_cache=cache) for cache in (True, False)]
    assert torch.equal(*runs)
    alone = processor.apply_chat_template(chats[1], tokenize=True, return_dict=True)
    assert torch.equal(model.generate(**alone, **settings)[0], runs[0][1])


@pytest.mark.parametrize("name", ["vary-toy", "got", "vary-tiny"])
def test_several_images_one_or_none_in_a_batch(name, tokenizers) -> None:
    model, processor = family(name, tokenizers)
    chats = [chat("two", picture(1), picture(2)), chat("none"), chat("one", picture(3))]
    inputs = processor.apply_chat_template(chats, tokenize=True, return_dict=True)
    with torch.no_grad():
        rows = model(**inputs).logits[:, -1]
        for k, one in enumerate(chats):
            alone = processor.apply_chat_template(one, tokenize=True, return_dict=True)
            torch.testing.assert_close(rows[k], model(**alone).logits[0, -1], atol=1e-5, rtol=1e-4)
        swapped = processor.apply_chat_template(chat("two", picture(2), picture(1)), tokenize=True, return_dict=True)
        assert not torch.allclose(model(**swapped).logits[0, -1], rows[0])
    beams = model.generate(**inputs, max_new_tokens=3, num_beams=2, do_sample=False, eos_token_id=None)
    assert len(beams) == 3


@pytest.mark.parametrize("name", ["vary-toy", "got"])
def test_samples_of_a_prompt_see_its_image(name, tokenizers) -> None:
    model, processor = family(name, tokenizers)
    chats = [chat("b", picture(3)), chat("b", picture(4))]
    inputs = processor.apply_chat_template(chats, tokenize=True, return_dict=True)
    settings = {"max_new_tokens": 5, "eos_token_id": None, "suppress_tokens": [model.config.image_token_id]}
    greedy = model.generate(**inputs, **settings, do_sample=False)
    samples = model.generate(**inputs, **settings, do_sample=True, top_k=1, num_return_sequences=3)
    assert torch.equal(samples, greedy.repeat_interleave(3, 0))


def test_pixels_of_other_prompts_are_refused(tokenizers) -> None:
    for name, kept in (("vary-toy", [0, 1, 0]), ("got", [0, 1, 0, 1])):
        model, processor = family(name, tokenizers)
        chats = [chat("b", picture(3)), chat("b", picture(4))]
        inputs = processor.apply_chat_template(chats, tokenize=True, return_dict=True)
        with pytest.raises(ValueError, match=f"{len(kept)} prompts and pixels for 2"):
            model(inputs["input_ids"][kept], inputs["pixel_values"])


@pytest.mark.parametrize("name", ["vary-toy", "got"])
def test_shards_and_halves_come_back(name, tokenizers, tmp_path) -> None:
    model, _ = family(name, tokenizers)
    state = model.to(torch.bfloat16).state_dict()
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    again = load_model(tmp_path, "auto")
    assert again.dtype == torch.bfloat16
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.state_dict().items())
    tied = again.lm_head.weight is again.get_input_embeddings().weight
    assert tied == (name == "got")


def test_a_folder_that_lacks_a_tensor_is_no_model(tokenizers, tmp_path) -> None:
    """Transformers would fill it with whatever stood in memory, and warn."""
    model, _ = family("vary-toy", tokenizers)
    state = {k: v for k, v in model.state_dict().items() if k != "vocabularies.0.tower.embeddings.class_embedding"}
    model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(
        ValueError, match=r"1 tensors are missing, the first is vocabularies\.0\.tower\.embeddings\.class"
    ):
        load_model(tmp_path)


@pytest.mark.parametrize("tied", [True, False])
def test_words_are_tied_as_the_language_model_has_them(tied) -> None:
    text = preset("got-test").text_config.to_dict() | {"tie_word_embeddings": tied}
    made = VaryForConditionalGeneration(VaryConfig([{"name": "clip", "depth": 1}], "channel", {"name": "linear"}, text))
    assert (made.lm_head.weight is made.get_input_embeddings().weight) == tied


@pytest.mark.parametrize("name", FAMILY)
def test_save_and_load_by_the_auto_classes(name, tokenizers, tmp_path) -> None:
    model, processor = family(name, tokenizers)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, reader = (
        AutoModelForImageTextToText.from_pretrained(tmp_path).eval(),
        AutoProcessor.from_pretrained(tmp_path),
    )
    one = chat(question(name, "<img>“x”"), picture(4))
    inputs = processor.apply_chat_template(one, tokenize=True, return_dict=True)
    same = reader.apply_chat_template(one, tokenize=True, return_dict=True)
    assert torch.equal(inputs["input_ids"], same["input_ids"])
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, again(**same).logits)
    assert again.config.to_dict() == {**model.config.to_dict(), "dtype": again.config.to_dict()["dtype"]} or (
        again.config.vocabularies == model.config.vocabularies
    )


def test_frozen_branches_get_no_gradient_and_the_rest_does(tokenizers) -> None:
    model, processor = family("vary-toy", tokenizers)
    model.train().vocabularies.requires_grad_(False)
    checkpoint_activations(model)
    messages = [*chat("q", picture(1)), {"role": "assistant", "content": "answer"}]
    inputs = processor.apply_chat_template(messages, tokenize=True, return_dict=True, labels=True)
    model(**inputs).loss.backward()
    assert all(p.grad is None for p in model.vocabularies.parameters())
    assert all(p.grad is not None and bool(p.grad.abs().sum()) for p in model.connector.parameters())
    assert model.lm_head.weight.grad is not None
