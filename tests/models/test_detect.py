"""Grounding DINO as a tool: boxes equal those of transformers' class, and answers and programs can ask for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoProcessor,
    BertTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    GroundingDinoProcessor,
)

from vary.io.errors import ConfigError
from vary.models.generate.detect import GroundingDino
from vary.models.generate.tools import ask_with_tools, run_program

from .references import randomised
from .test_rows import DARK, shown
from .test_tools import CALL, Model

BACKBONE = {"model_type": "swin", "image_size": 64, "patch_size": 4, "embed_dim": 8, "depths": [1] * 4,
            "num_heads": [1, 1, 2, 2], "window_size": 4, "out_features": ["stage2", "stage3", "stage4"]}  # fmt: skip
TEXT = {"model_type": "bert", "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 20}  # fmt: skip
SIZES = {"num_queries": 9, "encoder_layers": 1, "decoder_layers": 2, "d_model": 32, "encoder_ffn_dim": 40,
         "decoder_ffn_dim": 44, "encoder_attention_heads": 2, "decoder_attention_heads": 2}  # fmt: skip
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "cat", "dog", "a"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("grounding-dino")
    config = GroundingDinoConfig(backbone_config=BACKBONE, text_config=TEXT, max_text_len=32, **SIZES)
    randomised(GroundingDinoForObjectDetection(config)).save_pretrained(made)
    pictures = GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 90})
    words = BertTokenizer({word: k for k, word in enumerate(WORDS)})
    GroundingDinoProcessor(pictures, words).save_pretrained(made)
    return made


@torch.no_grad()
def test_boxes_are_those_of_the_class(folder) -> None:
    detect, image = GroundingDino(folder), shown(1)
    found = detect(image, "A cat. a dog", box_threshold=0.0, text_threshold=0.5)
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(images=image, text="a cat. a dog.", return_tensors="pt")
    out = GroundingDinoForObjectDetection.from_pretrained(folder).eval()(**inputs)
    scores = out.logits[0].sigmoid().amax(-1)
    middle, size = out.pred_boxes[0].split(2, -1)
    order = scores.argsort(descending=True)
    expected = torch.cat([middle - size / 2, middle + size / 2], -1)[order]
    torch.testing.assert_close(torch.tensor(found["boxes"]), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.tensor(found["logits"]), scores[order], atol=1e-4, rtol=0)
    assert len(found["phrases"]) == SIZES["num_queries"]
    best = found["logits"][2]
    assert 0 < len(detect(image, "a cat. a dog", box_threshold=best)["boxes"]) < 4
    assert detect(image, "a cat", 0.0) != found
    assert detect(shown(DARK), "a cat. a dog", 0.0) != found


def test_answers_and_programs_ask_it(folder) -> None:
    detect, image = GroundingDino(folder), shown(1)
    found = detect(image, "cat", 0.0)
    tools = {"LOC": lambda image, object: detect(image, object, 0.0)["boxes"], "COUNT": lambda box: len(box)}
    count, names = run_program("BOX=LOC(image=IMAGE,object='cat')\nN=COUNT(box=BOX)", tools, IMAGE=image)
    assert (count, names["BOX"]) == (SIZES["num_queries"], found["boxes"])
    call = CALL.replace('"find"', '"grounding_dino"').replace(
        '{"what": "cat"}', '{"caption": "cat", "box_threshold": 0}'
    )
    calls = ask_with_tools(Model(call, "There."), [image], "Where is the cat?", {"grounding_dino": detect})[1]
    assert calls[0].result == found


def test_another_processor_is_refused(tmp_path) -> None:
    BertTokenizer({word: k for k, word in enumerate(WORDS)}).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="allowed: processors of Grounding DINO"):
        GroundingDino(tmp_path)
