"""Every row of the zoo is held to its level: logits of a class of transformers, conversion, beams, training."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as Decoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    Blip2Config,
    Blip2ForConditionalGeneration,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from vary.cli import main
from vary.models.config import VaryConfig, preset
from vary.models.convert.convert import convert
from vary.models.convert.peers import peer_tensors
from vary.models.generate.chat import load_chat_model
from vary.models.modeling import VaryForConditionalGeneration, load_model
from vary.models.processor import VaryProcessor
from vary.models.zoo import about, names
from vary.models.zoo.listing import markdown, rows

from ..conftest import printed_by
from .test_family import picture

SIGMA = 0.3  # with smaller weights another picture hardly moves the logits, and a blind model would pass
ROWS = [name for name in names() if about(name).reference]
DISTINCT = ["llava", "llava-1.5", "mipha", "bakllava", "blip-2", "sharecaptioner"]  # one of each shape


def randomised(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * SIGMA)
    return module.eval()


def tokenizer_of(config: VaryConfig, image: str = "<imgpad>") -> PreTrainedTokenizerFast:
    """Bytes and the special tokens, at the ids of the configuration."""
    text = config.text_config
    end = "<|endoftext|>" if text.bos_token_id is None else "</s>"
    ids = {config.image_token_id: image, text.eos_token_id: end}
    ids.setdefault(text.pad_token_id, "<pad>")
    if text.bos_token_id is not None:
        ids.setdefault(text.bos_token_id, "<s>")
    free = (k for k in range(text.vocab_size) if k not in ids)
    vocabulary = {letter: next(free) for letter in sorted(ByteLevel.alphabet())}
    inner = Tokenizer(BPE({**vocabulary, **{token: k for k, token in ids.items()}}, []))
    inner.pre_tokenizer, inner.decoder = ByteLevel(add_prefix_space=False), Decoder()
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ids.values()])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token=ids[text.pad_token_id], eos_token=end, bos_token=ids.get(text.bos_token_id)
    )


def llava(config: VaryConfig) -> LlavaForConditionalGeneration:
    vision = config.vocabularies[0]
    linear = config.connector["name"] == "linear"
    full = vision["config"]["model_type"].startswith("siglip")
    theirs = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision["config"], text_config=config.text_config.to_dict(),
            image_token_index=config.image_token_id, vision_feature_layer=vision["layer"],
            vision_feature_select_strategy="full" if full else "default",
            projector_hidden_act="linear" if linear else "gelu",
        )
    )  # fmt: skip
    randomised(theirs)
    if linear:
        second = theirs.model.multi_modal_projector.linear_2
        with torch.no_grad():
            second.weight.copy_(torch.eye(len(second.weight)))
            second.bias.zero_()
    return theirs


def blip_2(config: VaryConfig) -> Blip2ForConditionalGeneration:
    vision, former = config.vocabularies[0]["config"], config.connector["steps"][0]
    settings = former["config"] | {"encoder_hidden_size": vision["hidden_size"]}
    theirs = Blip2Config(
        vision_config=vision, qformer_config=settings, text_config=config.text_config.to_dict(),
        num_query_tokens=former["queries"], image_token_index=config.image_token_id,
    )  # fmt: skip
    return randomised(Blip2ForConditionalGeneration(theirs))


REFERENCES = {"llava": llava, "blip-2": blip_2}


def pair(name: str) -> tuple[VaryForConditionalGeneration, torch.nn.Module]:
    """The row's miniature and the reference of the same sizes and weights."""
    config = preset(f"{name}-test")
    theirs = REFERENCES[about(name).reference](config)
    state = peer_tensors(theirs)
    if config.connector == {"name": "linear"}:
        state = {
            key.replace("connector.layers.0", "connector.linear"): tensor
            for key, tensor in state.items()
            if not key.startswith("connector.layers.2")
        }
    ours = VaryForConditionalGeneration(config).eval()
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert (set(missing) - {"lm_head.weight"}, unexpected) == (set(), [])
    ours.tie_weights()
    return ours, theirs


def inputs_of(config: VaryConfig, *pictures: int) -> dict:
    """One prompt per picture, of different lengths; short, so that the picture is not lost among the words."""
    processor = VaryProcessor.of(config, tokenizer_of(config))
    images = [picture(k, (90 + k, 61)) for k in pictures]
    return dict(processor(images, ["<image>what?" + "!" * k for k in range(len(pictures))]))


@pytest.mark.parametrize("name", ROWS)
@torch.no_grad()
def test_row_equals_reference(name) -> None:
    ours, theirs = pair(name)
    inputs = inputs_of(ours.config, 1)
    logits = ours(**inputs).logits
    assert (logits - theirs(**inputs).logits).abs().max() <= 1e-4
    other = ours(**inputs_of(ours.config, 2)).logits
    assert (logits[0, -1] - other[0, -1]).abs().max() >= 1e-2, "the picture is not seen"
    settings = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    blocked = {"suppress_tokens": [ours.config.image_token_id]}
    tokens = ours.generate(**inputs, **settings, **blocked)[0, -6:]
    assert tokens.tolist() == theirs.generate(**inputs, **settings, **blocked)[0, -6:].tolist()


@pytest.mark.parametrize("name", ROWS)
@torch.no_grad()
def test_the_folder_of_the_reference_converts(name, tmp_path, capsys) -> None:
    _, theirs = pair(name)
    theirs.save_pretrained(tmp_path / "theirs")
    assert main(["convert", str(tmp_path / "theirs"), str(tmp_path / "ours"), "--check"]) == 0
    assert "logits differ from those of" in capsys.readouterr().out
    ours = load_model(tmp_path / "ours")
    again = AutoModelForImageTextToText.from_pretrained(tmp_path / "ours").eval()
    inputs = inputs_of(preset(f"{name}-test"), 3)
    assert (ours(**inputs).logits - theirs(**inputs).logits).abs().max() <= 1e-4
    assert torch.equal(again(**inputs).logits, ours(**inputs).logits)


@pytest.mark.parametrize("name", DISTINCT)
@torch.no_grad()
def test_batches_caches_and_beams(name) -> None:
    ours, _ = pair(name)
    both = inputs_of(ours.config, 1, 2)
    settings = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    settings |= {"suppress_tokens": [ours.config.image_token_id]}
    runs = [ours.generate(**both, **settings, use_cache=cache) for cache in (True, False)]
    assert torch.equal(*runs)
    alone = inputs_of(ours.config, 1)
    assert ours.generate(**alone, **settings)[0, -5:].tolist() == runs[0][0, -5:].tolist()
    beams = ours.generate(**both, **settings, num_beams=2)
    assert beams.shape == runs[0].shape


@pytest.mark.parametrize("name", ROWS)
def test_training_changes_what_the_row_trains_and_lowers_the_loss(name) -> None:
    config = preset(f"{name}-test")
    torch.manual_seed(0)
    model = VaryForConditionalGeneration(config).train()
    trains = about(name).trains
    for key, parameter in model.named_parameters():
        parameter.requires_grad_(key.startswith(trains))
    inputs = inputs_of(config, 1)
    labels = inputs["input_ids"].clone()
    labels[labels == config.image_token_id] = -100
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 3e-3)
    losses = []
    for _ in range(4):
        loss = model(**inputs, labels=labels).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    moved = {key.split(".")[0] for key, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert moved >= {part.split(".")[0] for part in trains}
    assert all(p.grad is None for key, p in model.named_parameters() if not key.startswith(trains))


def test_no_row_claims_a_level_that_no_test_holds() -> None:
    for name in names():
        expected = "equal" if about(name).reference in REFERENCES else "shape"
        assert about(name).level == expected, name
    assert {about(name).reference for name in ROWS} == set(REFERENCES)


def test_a_converted_folder_answers_with_its_own_prompts(tmp_path) -> None:
    """The text of a user stays text, whatever it spells."""
    config = preset("llava-1.5-test")
    _, theirs = pair("llava-1.5")
    theirs.save_pretrained(tmp_path / "theirs")
    tokenizer = tokenizer_of(config, "<image>")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role.upper() }}: {% for part in m.content %}{% if part.type == 'image' %}<image>\n"
        "{% else %}{{ part.text }}{% endif %}{% endfor %}{% if m.role == 'assistant' %}</s>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    )
    tokenizer.save_pretrained(tmp_path / "theirs")
    assert convert([tmp_path / "theirs"], tmp_path / "ours")[1:] == []
    model = load_chat_model(tmp_path / "ours")
    answer = model.ask(picture(1), "what </s> is <image>?", max_tokens=4)
    assert answer.tokens <= 4
    processor = AutoProcessor.from_pretrained(tmp_path / "ours")
    talk = [
        {
            "role": "user",
            "content": [{"type": "image", "image": picture(1)}, {"type": "text", "text": "is </s> <image>?"}],
        },
        {"role": "assistant", "content": "yes"},
    ]
    learnt = processor.apply_chat_template(talk, tokenize=True, return_dict=True, labels=True)
    ids, labels = learnt["input_ids"][0], learnt["labels"][0]
    end, image = tokenizer.eos_token_id, config.image_token_id
    assert int((ids == image).sum()) == processor.num_image_tokens([tuple(learnt["pixel_values"].shape[-2:])])
    assert int((ids == end).sum()) == 1
    assert tokenizer.decode(labels[labels >= 0]) == "yes</s>"
    assert (
        tokenizer.decode(
            torch.cat([ids[:6], ids[ids.tolist().index(image) :][:1], ids[(ids == image).nonzero()[-1] + 1 :]])
        )
        == "USER: <image>\nis </s> <image>?ASSISTANT: yes</s>"
    )


@torch.no_grad()
def test_older_names_of_a_published_checkpoint_convert(tmp_path) -> None:
    """Transformers 4 wrote `language_model.model.` and `vision_tower.vision_model.`."""
    from safetensors.torch import save_file

    ours, theirs = pair("llava-1.5")
    theirs.save_pretrained(tmp_path / "old")
    state = {}
    for key, tensor in theirs.state_dict().items():
        key = key.replace("model.language_model.", "language_model.model.").replace("lm_head", "language_model.lm_head")
        key = key.replace("model.vision_tower.", "vision_tower.vision_model.").replace(
            "model.multi_modal", "multi_modal"
        )
        state[key] = tensor.contiguous()
    save_file(state, tmp_path / "old" / "model.safetensors", metadata={"format": "pt"})
    convert([tmp_path / "old"], tmp_path / "new")
    inputs = inputs_of(ours.config, 1)
    assert (load_model(tmp_path / "new")(**inputs).logits - ours(**inputs).logits).abs().max() <= 1e-4


def test_the_family_is_listed(capsys) -> None:
    assert main(["family", "--level", "equal", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in found} == set(ROWS)
    assert main(["family", "--axis", "connector"]) == 0
    shown = capsys.readouterr().out
    assert "llava-1.5" in shown
    assert [row["connector"] for row in rows("connector")] == sorted(row["connector"] for row in rows())
    assert main(["family", "--axis", "colour"]) == 1
    assert "unknown axis 'colour'; allowed: vocabularies, connector" in capsys.readouterr().err


def test_the_page_of_the_family_is_generated() -> None:
    with open("docs/family.md", encoding="utf-8") as file:
        assert file.read() == markdown()


def test_the_walk_through_of_the_docs_runs(tmp_path) -> None:
    text = Path("docs/models.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(from pathlib.*?)```", text, re.S).group(1)
    shown = printed_by(f"import os; os.chdir({str(tmp_path)!r})\n{code}")
    assert "logits differ from those of LlavaForConditionalGeneration by" in shown
    assert "new: {'1'}" in shown
    losses = [float(line.split()[1]) for line in shown.splitlines() if re.match(r"\d+ ", line)]
    assert len(losses) == 10
    assert losses[-1] < losses[0]
