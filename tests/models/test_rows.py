"""Every row of the zoo is held to its level: logits of a class of transformers, conversion, beams, training."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as Decoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CONFIG_MAPPING,
    AutoModelForImageTextToText,
    AutoProcessor,
    BlipForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from vary.cli import main
from vary.markup.prompts import TEMPLATES
from vary.models.config import VaryConfig, preset
from vary.models.connect import CONNECTORS
from vary.models.connect.chain import STEPS
from vary.models.convert.convert import convert
from vary.models.convert.peers import PEERS, peer_inputs, peer_tensors
from vary.models.fuse import FUSIONS
from vary.models.fuse.branches import BRANCHES
from vary.models.fuse.regions import REGIONS
from vary.models.generate.chat import load_chat_model
from vary.models.heads import HEADS
from vary.models.images.arrange import ARRANGES
from vary.models.images.views import VIEWS
from vary.models.modeling import VaryForConditionalGeneration, load_model
from vary.models.processor import VaryProcessor
from vary.models.vocab import VOCABULARIES
from vary.models.vocab.merge import MERGES
from vary.models.zoo import about, names, settings
from vary.models.zoo.listing import STATE_MEANS, markdown, rows

from .references import REFERENCES, reference
from .test_family import picture

ROWS = [name for name in names() if about(name).reference]


def one_of_each_part(rows: list[str]) -> list:
    """Mark the rows as slow that have no part which another row lacks; of the others, each part is in one or more."""
    seen: set[str] = set()
    marked = []
    for name in sorted(rows, key=lambda name: -len(parts(settings(f"{name}-test")))):
        new = parts(settings(f"{name}-test")) - seen
        marked.append(name if new else pytest.param(name, marks=pytest.mark.slow))
        seen |= new
    return marked


def parts(value: object) -> set[str]:
    """The names of connectors, routes, fusions, views, heads and masks, and the types of towers and language models."""
    if isinstance(value, list):
        return set().union(*map(parts, value))
    if not isinstance(value, dict):
        return set()
    own = {value[key] for key in ("name", "model_type", "mask") if key in value}
    return own.union(*map(parts, value.values()))


def tokenizer_of(config: VaryConfig, image: str = "<imgpad>") -> PreTrainedTokenizerFast:
    """Bytes and the special tokens, at the ids of the configuration."""
    text = config.text_config
    bos = getattr(text, "bos_token_id", None)
    end = "<|endoftext|>" if bos is None else "</s>"
    ids = {config.image_token_id: image, text.eos_token_id: end}
    ids |= {head["token"]: f"<head {k}>" for k, head in enumerate(config.heads)}
    ids |= {config.regions["token"]: "<region>"} if config.regions else {}
    ids.setdefault(text.pad_token_id, "<pad>")
    if bos is not None:
        ids.setdefault(bos, "<s>")
    free = (k for k in range(text.vocab_size) if k not in ids)
    vocabulary = {letter: next(free) for letter in sorted(ByteLevel.alphabet())}
    inner = Tokenizer(BPE({**vocabulary, **{token: k for k, token in ids.items()}}, []))
    inner.pre_tokenizer, inner.decoder = ByteLevel(add_prefix_space=False), Decoder()
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ids.values()])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token=ids[text.pad_token_id], eos_token=end, bos_token=ids.get(bos)
    )


def pair(name: str) -> tuple[VaryForConditionalGeneration, torch.nn.Module]:
    """The row's miniature and the reference of the same sizes and weights."""
    config = preset(f"{name}-test")
    theirs = reference(about(name).reference, config)
    state = peer_tensors(theirs)
    if config.connector == {"name": "linear"} and "connector.layers.0.weight" in state:
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


DARK = 99  # a picture that differs from the others in its brightness too


def shown(k: int) -> Image.Image:
    size = (90 + k, 61)
    return picture(k, size) if k != DARK else picture(k, size).point(lambda value: value // 4)


def film(k: int) -> Image.Image:
    """An animation of seven frames."""
    frames, file = [shown(k).rotate(10 * turn) for turn in range(7)], io.BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    return Image.open(file)


def inputs_of(config: VaryConfig, *pictures: int) -> dict:
    """One prompt per picture, of different lengths; short, so that the picture is not lost among the words."""
    processor = VaryProcessor.of(config, tokenizer_of(config))
    if '"words": true' in json.dumps(config.connector):
        processor.words_tokenizer = tokenizer_of(config)
    moves = (config.vocabularies[0]["preprocess"].get("views") or {}).get("name") == "frames"
    images = [film(k) if moves else shown(k) for k in pictures]
    region, heads = "<region>" * bool(config.regions), "".join(f"<head {k}>" for k in range(len(config.heads)))
    texts = [f"<image>what{region}?{'!' * k}{heads}" for k in range(len(pictures))]
    regions = [[(0.1, 0.2, 0.6, 0.7)] for _ in pictures] if config.regions else None
    return dict(processor(images, texts, regions=regions))


def answered(model: torch.nn.Module, config: VaryConfig, inputs: dict, count: int = 6, **more) -> list[list[int]]:
    """Greedy tokens after each prompt."""
    settings = {"max_new_tokens": count, "do_sample": False, "eos_token_id": None, "pad_token_id": 0} | more
    settings |= {"suppress_tokens": [config.image_token_id]}
    if isinstance(model, BlipForConditionalGeneration):  # its `generate` gives these itself, and drops the last token
        del settings["eos_token_id"], settings["pad_token_id"]
        model.config.text_config.sep_token_id = None
        inputs = inputs | {key: torch.nn.functional.pad(inputs[key], (0, 1)) for key in ("input_ids", "attention_mask")}
    return model.generate(**inputs, **settings)[:, -count:].tolist()


def decoder_of(config: VaryConfig) -> dict[str, torch.Tensor]:
    """The decoder's input of models that have one."""
    if not config.is_encoder_decoder:
        return {}
    return {"decoder_input_ids": torch.tensor([[config.text_config.decoder_start_token_id, 7, 9]])}


@pytest.mark.parametrize("name", ROWS)
@torch.no_grad()
def test_row_equals_reference(name) -> None:
    ours, theirs = pair(name)
    inputs, decoder = inputs_of(ours.config, 1), decoder_of(ours.config)
    logits = ours(**inputs, **decoder).logits
    given = peer_inputs(about(name).reference, inputs, ours)
    assert (logits - theirs(**given, **decoder).logits).abs().max() <= 1e-4
    other = ours(**inputs_of(ours.config, DARK), **decoder).logits
    assert (logits[0, -1] - other[0, -1]).abs().max() >= 1e-2, "the picture is not seen"
    assert answered(ours, ours.config, inputs) == answered(theirs, ours.config, given)


@pytest.mark.parametrize("name", one_of_each_part(ROWS))
@torch.no_grad()
def test_the_folder_of_the_reference_converts(name, tmp_path, capsys) -> None:
    _, theirs = pair(name)
    theirs.save_pretrained(tmp_path / "theirs")
    assert main(["convert", str(tmp_path / "theirs"), str(tmp_path / "ours"), "--check"]) == 0
    assert "logits differ from those of" in capsys.readouterr().out
    ours = load_model(tmp_path / "ours")
    again = AutoModelForImageTextToText.from_pretrained(tmp_path / "ours").eval()
    row = preset(f"{name}-test")
    inputs, decoder = inputs_of(row, 3), decoder_of(row)
    given = peer_inputs(about(name).reference, inputs, ours)
    assert (ours(**inputs, **decoder).logits - theirs(**given, **decoder).logits).abs().max() <= 1e-4
    assert torch.equal(again(**inputs, **decoder).logits, ours(**inputs, **decoder).logits)


@pytest.mark.parametrize("name", one_of_each_part(ROWS))
@torch.no_grad()
def test_batches_caches_and_beams(name) -> None:
    check_batches_caches_and_beams(pair(name)[0])


def check_batches_caches_and_beams(ours: VaryForConditionalGeneration) -> None:
    both, alone = inputs_of(ours.config, 1, 2), inputs_of(ours.config, 1)
    runs = [answered(ours, ours.config, both, 4, use_cache=cache) for cache in (True, False)]
    assert runs[0] == runs[1]
    assert answered(ours, ours.config, alone, 4) == runs[0][:1]
    beams = answered(ours, ours.config, both, 4, num_beams=2)
    assert answered(ours, ours.config, alone, 4, num_beams=2) == beams[:1]


@pytest.mark.parametrize("name", one_of_each_part(ROWS))
def test_training_changes_what_the_row_trains_and_lowers_the_loss(name) -> None:
    check_training(name)


def check_training(name: str) -> None:
    config = preset(f"{name}-test")
    torch.manual_seed(0)
    model = VaryForConditionalGeneration(config).train()
    trains = about(name).trains
    for key, parameter in model.named_parameters():
        parameter.requires_grad_(key.startswith(trains))
    inputs = inputs_of(config, 1)
    labels = inputs["input_ids"].clone()
    labels[labels == config.image_token_id] = -100
    if config.mask == "prefix":  # the answer is the end of the prompt
        labels[:, :-2] = -100
    if config.heads:
        wanted = dict.fromkeys(("masks", "cells"), torch.ones(1, 9, 9)) | {
            "boxes": torch.ones(1, 4),
            "detector": torch.ones(1, 4),
        }
        inputs["targets"] = [wanted[head["name"]] for head in config.heads]
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
        expected = "equal" if about(name).reference in REFERENCES else "transcribed" if about(name).code else "shape"
        assert about(name).level == expected, name
    assert {about(name).reference for name in ROWS} == set(REFERENCES) == set(PEERS)


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


@pytest.mark.parametrize("name", ["llava", "llava-1.5", "llava-next"])
@pytest.mark.parametrize("inside", [True, False])
@torch.no_grad()
def test_the_layout_of_the_llava_authors_converts(name, inside, tmp_path) -> None:
    """Their checkpoints name the projector `mm_projector`. Some hold the tower, for others it is a second source."""
    ours, _ = pair(name)
    theirs, tower = {}, {}
    for key, tensor in ours.state_dict().items():
        key = key.replace("language_model.", "model.").replace("arrange.newline", "model.image_newline")
        key = key.replace("connector.linear.", "model.mm_projector.").replace(
            "connector.layers.", "model.mm_projector."
        )
        place = tower if key.startswith("vocabularies.") and not inside else theirs
        prefix = "model.vision_tower.vision_tower.vision_model." if inside else "vision_model."
        place[key.replace("vocabularies.0.tower.", prefix)] = tensor.contiguous()
    sources = []
    for kind, state in (("theirs", theirs), ("tower", tower)):
        if state:
            (tmp_path / kind).mkdir()
            save_file(state, tmp_path / kind / "model.safetensors")
            sources.append(tmp_path / kind)
    assert "random: nothing" in convert(sources, tmp_path / "ours", name=f"{name}-test")
    inputs = inputs_of(ours.config, 1)
    assert torch.equal(load_model(tmp_path / "ours")(**inputs).logits, ours(**inputs).logits)


def test_the_family_is_listed(capsys) -> None:
    assert main(["family", "--level", "equal", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in found} == set(ROWS)
    assert main(["family", "--axis", "connector"]) == 0
    shown = capsys.readouterr().out
    assert "llava-1.5" in shown
    assert [row["connector"] for row in rows("connector")] == sorted(row["connector"] for row in rows())
    assert main(["family", "--axis", "colour"]) == 1
    assert "unknown axis 'colour'; allowed: vocabularies, views, connector" in capsys.readouterr().err


def test_every_system_of_the_list_has_a_state_and_a_reason(capsys) -> None:
    assert main(["family", "--all", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [system["row"] for system in found] == list(range(1, 133))
    states = {system["state"] for system in found}
    assert states <= {"equal", "transcribed", "shape", *STATE_MEANS}
    assert all(system["reason"] for system in found if system["state"] in ("missing", "out"))
    parts = [system for system in found if system["state"] in ("part", "text")]
    assert {system["by"] for system in parts} - {"", "timm_wrapper"} <= set(CONFIG_MAPPING)
    assert main(["family", "--all"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^89 +ImageBind +out +transformers does not have it", shown, re.M)
    assert re.search(r"^6 +llava-1.5 +equal +llava-1.5$", shown, re.M)
    assert main(["family", "--all", "--level", "equal"]) == 1
    assert "--all lists systems, not models" in capsys.readouterr().err


def test_the_docs_name_every_part() -> None:
    text = re.sub(r"```.*?```", "", Path("docs/models.md").read_text(encoding="utf-8"), flags=re.S)
    named = set(re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`]+)`", text))))
    parts = *VOCABULARIES, *MERGES, *CONNECTORS, *STEPS, *FUSIONS, *BRANCHES, *ARRANGES, *VIEWS, *REGIONS, *HEADS
    assert {*parts, *TEMPLATES, *PEERS} <= named


def test_the_page_of_the_family_is_generated() -> None:
    with open("docs/family.md", encoding="utf-8") as file:
        assert file.read() == markdown()


def test_the_walk_through_of_the_docs_runs(tmp_path, monkeypatch, capsys) -> None:
    text = Path("docs/models.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(from pathlib.*?)```", text, re.S).group(1)
    monkeypatch.chdir(tmp_path)
    exec(code, {"__name__": "__main__"})
    shown = capsys.readouterr().out
    assert "logits differ from those of LlavaForConditionalGeneration by" in shown
    assert "new: {'1'}" in shown
    losses = [float(line.split()[1]) for line in shown.splitlines() if re.match(r"\d+ ", line)]
    assert len(losses) == 10
    assert losses[-1] < losses[0]
