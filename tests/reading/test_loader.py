"""Loading a reader: the same vocabulary and head as the whole model's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vary.io.errors import ConfigError
from vary.models.config import VaryConfig
from vary.models.describe import describe
from vary.models.generate.strip_decoder import StripDecoder
from vary.models.modeling import VaryForConditionalGeneration, load_model
from vary.models.zoo import settings
from vary.reading import api
from vary.reading.loader import load_reader
from vary.reading.runs.spec import ReaderSpec
from vary.serve.app import load_models

from .in_memory import log_probs_of, reader_of


@pytest.fixture(scope="module")
def second_reads() -> VaryForConditionalGeneration:
    """A model of two vocabularies whose head reads the second one, which is wider and normalised otherwise."""
    sizes = settings("vary-nano-test")
    first = sizes["vocabularies"][0]
    second = first | {"width": first["width"] + 6, "preprocess": first["preprocess"] | {"mean": 0.25}}
    torch.manual_seed(7)
    return VaryForConditionalGeneration(
        VaryConfig(**sizes | {"vocabularies": [first, second], "reading": sizes["reading"] | {"vocabulary": 1}})
    ).eval()


def test_the_configured_vocabulary_is_read(second_reads, tmp_path) -> None:
    """From memory, from a folder and in the model itself, `reading.vocabulary` names the same vocabulary."""
    second_reads.save_pretrained(tmp_path)
    pixels = torch.randint(0, 255, (64, 96), dtype=torch.uint8)
    with torch.inference_mode():
        _, expected, _ = second_reads.read_rows((pixels[None, None].float() / 255 - 0.25) / 0.5)
    for reader in (load_reader(str(tmp_path)), reader_of(second_reads, "two")):
        assert reader.preprocess["mean"] == 0.25
        found = log_probs_of(reader.network(pixels.numpy()))
        np.testing.assert_allclose(found, expected[0].log_softmax(-1).numpy(), atol=1e-3, rtol=1e-4)


def test_a_vocabulary_without_pixels_cannot_be_read(second_reads, tmp_path) -> None:
    second_reads.save_pretrained(tmp_path)
    path = Path(tmp_path, "config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"merge": "serial"}))
    with pytest.raises(ValueError, match=r"reading\.vocabulary 1: in a serial merge only vocabulary 0 takes pixels"):
        load_reader(str(tmp_path))


def test_strips_show_one_vocabulary(second_reads) -> None:
    with pytest.raises(ValueError, match="needs a model with one vocabulary"):
        StripDecoder(second_reads)


def change(**keys) -> str:
    """The miniature's configuration with other values; None leaves a key out."""
    whole = json.loads(VaryConfig(**settings("vary-nano-test")).to_json_string())
    return json.dumps({key: value for key, value in (whole | keys).items() if value is not None})


@pytest.mark.parametrize(
    ("text", "reason", "readers"),
    [
        ('{"vocabularies": [', "not JSON: Expecting value: line 1", "all"),
        ("\udcff", "not JSON: 'utf-8' codec", "all"),
        ("[1]", r"expected an object, got \[1\]", "all"),
        (change(vocabularies=3), "vocabularies: expected a list, got 3", "all"),
        (change(text_config=3), "text_config: expected an object, got 3", "all"),
        (change(reading=[1]), r"reading: expected an object or null, got \[1\]", "all"),
        (change(reading={"frames": 3}), r"no reading\.alphabet", "pages"),
        (change(reading={"frames": 3}), "reading: .*alphabet", "model"),
        (change(vocabularies=[]), r"no vocabularies\.0\.preprocess", "pages"),
        (change(connector=None), "no connector", "facts"),
        (change(connector={"name": "glue"}), "unknown connector 'glue'", "model"),
    ],
)
def test_a_broken_configuration_is_named_with_the_reason(tmp_path, text, reason, readers) -> None:
    (tmp_path / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    ways = {
        "pages": lambda path: load_reader(str(path)),
        "facts": lambda path: describe(str(path)),
        "model": load_model,
    }
    for name, load in ways.items():
        if readers in ("all", name):
            with pytest.raises(ConfigError, match=rf"^{tmp_path}/config\.json: {reason}"):
                load(tmp_path)


def test_every_way_of_loading_uses_the_text_layer_unless_told_not_to() -> None:
    """`vary read`, `vary serve` and `vary eval` read a PDF alike."""
    ways = (
        lambda **more: load_reader("vary-nano", **more),
        lambda **more: api.load("vary-nano", **more),
        lambda **more: ReaderSpec("vary-nano", **more).open(),
        lambda **more: load_models(["vary-nano"], **more)["vary-nano"].reader,
    )
    assert [open_reader().uses_layer for open_reader in ways] == [True] * 4
    assert [open_reader(pixels=True).uses_layer for open_reader in ways] == [False] * 4
