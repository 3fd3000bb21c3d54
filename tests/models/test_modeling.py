"""The composite model: any vocabulary, merge and connector; batches equal singles; it saves and loads as it was."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor

from vary.document.alphabets import LATIN
from vary.models.config import Preprocess, VaryConfig, preset
from vary.models.connect import CONNECTORS, Shuffle
from vary.models.images.preprocess import prepare
from vary.models.images.views import cut_views
from vary.models.modeling import VaryForConditionalGeneration
from vary.models.processor import VaryProcessor, character_tokenizer
from vary.models.vocab import VOCABULARIES, NanoVocabulary, Vocabulary, build_vocabulary
from vary.models.vocab.merge import MERGES
from vary.models.zoo import settings


@pytest.fixture(scope="module")
def processor(tiny_model) -> VaryProcessor:
    return VaryProcessor.of(tiny_model.config, character_tokenizer(LATIN))


def image(seed: int, size: tuple[int, int] = (96, 32)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, size[::-1], np.uint8))


def test_forward_backward_and_shapes(processor) -> None:
    model = VaryForConditionalGeneration(preset("vary-nano-test"))
    inputs = processor([image(0), image(1)], ["<image>ab", "<image>abcd"])
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    out = model(**inputs, labels=labels)
    assert out.logits.shape == (*inputs["input_ids"].shape, model.config.text_config.vocab_size)
    assert out.image_hidden_states.shape == (2, processor.num_image_tokens([(32, 96)]), 32)
    out.loss.backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if n.startswith(("vocabularies", "connector")))


def test_loss_is_the_cross_entropy_of_the_next_token(tiny_model, processor) -> None:
    inputs = processor([image(0)], ["<image>reading"])
    ids = inputs["input_ids"]
    with torch.no_grad():
        out = tiny_model(**inputs, labels=ids)
    expected = nn.functional.cross_entropy(out.logits[0, :-1], ids[0, 1:])
    torch.testing.assert_close(out.loss, expected)


LANGUAGES = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256},  # its positions are a table
    "llama": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_padding_on_the_left_is_not_counted_in_training(processor, language) -> None:
    base = preset("vary-nano-test")
    text = {"model_type": language, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **LANGUAGES[language]}
    parts = {key: getattr(base, key) for key in ("vocabularies", "merge", "connector", "image_token_id")}
    torch.manual_seed(0)
    model = VaryForConditionalGeneration(
        VaryConfig(**parts, text_config=text | {"vocab_size": base.text_config.vocab_size})
    ).eval()
    talks = [
        [
            {"role": "user", "content": [{"type": "image", "image": image(k)}]},
            {"role": "assistant", "content": answer},
        ]
        for k, answer in enumerate(("ab", "a much longer answer"))
    ]
    settings = {"tokenize": True, "return_dict": True, "labels": True}
    one, both = (processor.apply_chat_template(given, **settings) for given in (talks[0], talks))
    count = one["input_ids"].shape[1]
    assert not both["attention_mask"][0, 0]
    with torch.no_grad():
        expected, found = model(**one).logits[0], model(**both).logits[0, -count:]
        shifted = model(**both, position_ids=torch.arange(both["input_ids"].shape[1])[None]).logits[0, -count:]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert language == "llama" or float((shifted - expected).abs().max()) > 0.01  # what counting padding would give


def test_batch_equals_single(tiny_model, processor) -> None:
    texts = ["<image>a", "<image>a much longer text"]
    together = tiny_model.generate(**processor([image(0), image(1)], texts), max_new_tokens=6, do_sample=False)
    for k, text in enumerate(texts):
        alone = tiny_model.generate(**processor([image(k)], [text]), max_new_tokens=6, do_sample=False)
        assert together[k, -6:].tolist() == alone[0, -6:].tolist()


def test_cache_equals_no_cache(tiny_model, processor) -> None:
    inputs = processor([image(3)], ["<image>x"])
    runs = [tiny_model.generate(**inputs, max_new_tokens=8, do_sample=False, use_cache=c) for c in (True, False)]
    assert torch.equal(*runs)


def test_a_decoder_deeper_than_its_encoder_generates(tiny_model) -> None:
    text = {"model_type": "t5", "d_model": 32, "d_kv": 8, "d_ff": 32, "num_heads": 4, "decoder_start_token_id": 1}
    text |= {"vocab_size": tiny_model.config.text_config.vocab_size, "num_layers": 1, "num_decoder_layers": 2}
    model = VaryForConditionalGeneration(VaryConfig(**settings("vary-nano-test") | {"text_config": text}))
    inputs = VaryProcessor.of(model.config, character_tokenizer(LATIN))([image(5)], ["<image>x"])
    cached, anew = (
        model.eval().generate(**inputs, max_new_tokens=4, use_cache=c, do_sample=False) for c in (True, False)
    )
    assert torch.equal(cached, anew)
    assert model.config.get_text_config().num_hidden_layers == 1


def test_save_and_load_by_the_auto_classes(tiny_model, processor, tmp_path) -> None:
    tiny_model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    again = AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(model, VaryForConditionalGeneration)
    inputs = processor([image(4)], ["<image>“x” é"])
    assert torch.equal(inputs["input_ids"], again([image(4)], ["<image>“x” é"])["input_ids"])
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, tiny_model(**inputs).logits)
    config = VaryConfig.from_pretrained(tmp_path)
    for name in ("vocabularies", "merge", "connector", "reading", "image_token_id"):
        assert getattr(config, name) == getattr(tiny_model.config, name)
    assert config.text_config.hidden_size == 32


def test_image_token_mismatch_is_an_error(tiny_model, processor) -> None:
    inputs = processor([image(0)], ["<image>x"])
    with pytest.raises(ValueError, match=r"prompt 1 holds 12 <imgpad> tokens; an image gives 6, and it has 1"):
        tiny_model(torch.cat([inputs["input_ids"]] * 2, 1), inputs["pixel_values"])
    with pytest.raises(ValueError, match="exactly one"):
        tiny_model()
    with pytest.raises(ValueError, match="hold 0 <image>, and 1 images"):
        processor([image(0)], ["no place for it"])


def test_text_alone(tiny_model, processor) -> None:
    assert tiny_model(**processor(text="just text")).logits.shape[1] == 9


class Toy(Vocabulary):
    """One mean per 8 x 4 cell: a second vocabulary in twelve lines."""

    channels = 1

    def __init__(self, width: int = 5):
        super().__init__(width=width)
        self.width, self.linear = width, nn.Linear(1, width)

    @classmethod
    def stride_of(cls, **_) -> tuple[int, int]:
        return 8, 4

    def forward(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        return self.linear(nn.functional.avg_pool2d(pixels_BCHW, self.stride).flatten(1)[..., None])


def test_a_second_vocabulary_is_one_class_and_one_line(monkeypatch, processor) -> None:
    monkeypatch.setitem(VOCABULARIES, "toy", Toy)
    config = preset("vary-nano-test")
    config.vocabularies = [config.vocabularies[0], {"name": "toy", "width": 7}]
    model = VaryForConditionalGeneration(config).eval()
    inputs = processor([image(0)], ["<image>x"])
    pixels = inputs.pop("pixel_values")
    one = model(**inputs, pixel_values=[pixels, pixels]).logits
    other = model(**inputs, pixel_values=[pixels, pixels * 0]).logits
    assert not torch.allclose(one, other)  # the second pair of eyes sees


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match="unknown vocabulary 'clap'; allowed: codes, nano, objects, packed, patch, sam, tower"
    ):
        build_vocabulary("clap")
    with pytest.raises(ValueError, match="unknown model 'vary-big'; did you mean 'vary-"):
        preset("vary-big")
    with pytest.raises(ValueError, match=r"merge 'channel' needs the same grid .* got \(2, 2\), \(3, 2\)"):
        MERGES["channel"].grid([(2, 2), (3, 2)])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("reading", "stlyes"), [], "reading: unknown key 'stlyes'; did you mean 'styles'"),
        (("vocabularies", 0, "preprocess", "meen"), 0.1, "preprocess: unknown key 'meen'; did you mean 'mean'"),
        (("vocabularies", 0, "preprocess", "fit"), "sqash", r"vocabularies.0.preprocess: .*got sqash"),
        (("vocabularies", 0, "wdith"), 3, "vocabularies.0: unknown key 'wdith'; did you mean 'width'"),
        (("vocabularies", 0, "width"), "x", "vocabularies.0: .*'width' expected int, got str"),
        (("connector", "windw"), [2, 2], "connector: unknown key 'windw'; did you mean 'window'"),
        (("connector", "name"), "shufle", "unknown connector 'shufle'; did you mean 'shuffle'"),
        (("merge",), "chanel", "unknown merge 'chanel'; allowed: channel"),
        (("text_config", "hiden_size"), 3, "text_config: unknown key 'hiden_size'; did you mean 'hidden_size'"),
        (("text_config", "model_type"), "lama", "no model type 'lama'; did you mean 'llama'"),
        (("vocabluaries",), [], "model: unknown key 'vocabluaries'; did you mean 'vocabularies'"),
        (("reading", "vocabulary"), 3, "reading.vocabulary 3: the model has 1 vocabularies"),
    ],
)
def test_a_mistake_in_a_configuration_is_refused_with_the_nearest_key(place, value, message) -> None:
    given = settings("vary-nano-test")
    target: Any = given
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    with pytest.raises(ValueError, match=message):
        VaryConfig(**given)


def test_a_mistake_made_later_is_refused_when_the_model_is_built() -> None:
    config = preset("vary-nano-test")
    config.reading["stlyes"] = []
    with pytest.raises(ValueError, match="did you mean 'styles'"):
        VaryForConditionalGeneration(config)


def test_a_saved_configuration_loads_whatever_transformers_wrote_into_it(tmp_path) -> None:
    config = preset("vary-nano-test")
    config.save_pretrained(tmp_path)
    assert VaryConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()
    shipped = VaryConfig.from_pretrained("vary/models/weights/vary-nano")
    assert shipped.reading["append_posteriors"] is True  # `feed` in older files


def test_shuffle_takes_windows_of_neighbours() -> None:
    """A change in one cell reaches only the token of its own window."""
    connector = Shuffle(3, 6, window=(2, 4), squeeze=5)
    grid = (4, 8)
    tokens = torch.randn(1, 32, 3)
    changed = tokens.clone()
    changed[0, 2 * 8 + 5] += 1  # row 2, column 5: lower right window
    moved = (connector(tokens, grid) - connector(changed, grid)).abs().sum(-1)[0] > 0
    assert moved.tolist() == [False, False, False, True]
    assert Shuffle.grid(grid, window=(2, 4)) == (2, 2)
    with pytest.raises(ValueError, match="cannot be cut"):
        connector(tokens[:, :28], (4, 7))


@pytest.mark.parametrize("name", CONNECTORS)
@pytest.mark.parametrize("merge", MERGES)
def test_every_part_builds_and_runs(name, merge, processor) -> None:
    config = preset("vary-nano-test")
    steps = {"steps": [{"name": "norm"}, {"name": "linear"}]} if name == "chain" else {}
    config.connector, config.merge = {"name": name, **steps}, merge
    model = VaryForConditionalGeneration(config)
    tokens = model.get_image_features(torch.zeros(1, 1, 32, 64))
    rows, columns = CONNECTORS[name].grid((4, 16), **steps)
    assert tokens.shape == (1, rows * columns, 32)


def test_nano_takes_any_multiple_of_its_stride() -> None:
    vocabulary = NanoVocabulary((4, 6), 8, 1).eval()
    for size in ((8, 4), (64, 320), (1024, 64), (40, 1200)):
        assert vocabulary(torch.zeros(1, 1, *size)).shape == (1, size[0] // 8 * size[1] // 4, 8)
    with pytest.raises(ValueError, match="multiple of 8"):
        vocabulary(torch.zeros(1, 1, 30, 64))


def test_the_shipped_size() -> None:
    with torch.device("meta"):
        model = VaryForConditionalGeneration(preset("vary-nano"))
    assert sum(p.numel() for p in model.parameters()) < 30_000_000


@pytest.mark.parametrize("given", [{}, {"fit": "squash", "size": 24}, {"fit": "pad", "size": 24}])
def test_settings_that_a_model_leaves_out_have_their_defaults(given) -> None:
    """As `Preprocess` says them; the views of an image too."""
    page = image(0, (50, 40))
    whole = {key: value for key, value in asdict(Preprocess(**given)).items() if value is not None}
    assert (prepare(page, given, 1) == prepare(page, whole, 1)).all()
    if "size" in given:
        cut = given | {"views": {"name": "tiles", "longest": 2}}
        views, shape = cut_views(page, cut, 1)
        expected, same = cut_views(page, whole | cut, 1)
        assert shape == same
        assert all((a == b).all() for a, b in zip(views, expected, strict=True))
