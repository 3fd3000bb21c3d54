"""Scores of images and texts equal those of BLIP's and BLIP-2's classes of transformers, and can be learnt."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import Blip2Config, Blip2ForImageTextRetrieval, BlipConfig, BlipForImageTextRetrieval

from vary.io.errors import ConfigError
from vary.models.connect import QFormer
from vary.models.heads.matching import BlipMatching, Matching

from .references import randomised

VISION = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 1, "num_attention_heads": 2}
FORMER: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 60,
    "max_position_embeddings": 16, "cross_attention_frequency": 2, "use_qformer_text_input": True,
}  # fmt: skip


TEXT: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 60,
    "max_position_embeddings": 16,
}  # fmt: skip


def matching(queries: int = 5) -> Matching:
    torch.manual_seed(0)
    return Matching(QFormer(24, 32, queries, FORMER), 20).eval()


def renamed(theirs: torch.nn.Module, names: dict[str, str], ours: Matching | BlipMatching) -> dict[str, torch.Tensor]:
    """Their tensors under our names, by their beginnings, and our temperature."""
    pairs = [(key, before, tensor) for key, tensor in theirs.state_dict().items() for before in names]
    found = {names[b] + key.removeprefix(b): tensor for key, b, tensor in pairs if key.startswith(b)}
    return found | {"temperature": ours.temperature}


def samples(theirs: Any) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Three images and texts, one of them padded, and the tokens of the images."""
    pixels, ids = torch.randn(3, 3, 28, 28), torch.randint(1, 60, (3, 7))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    given = {"pixel_values": pixels, "input_ids": ids, "attention_mask": mask}
    return given, theirs.vision_model(pixels).last_hidden_state


@torch.no_grad()
def test_scores_equal_those_of_blip_2() -> None:
    sizes: dict[str, Any] = {"vision_config": VISION | {"image_size": 28, "patch_size": 14}, "num_query_tokens": 5}
    sizes |= {"qformer_config": FORMER | {"encoder_hidden_size": 24}, "text_config": {"model_type": "opt"}}
    theirs = randomised(Blip2ForImageTextRetrieval(Blip2Config(**sizes, image_text_hidden_size=20)))
    theirs.config.image_token_index = None
    ours, names = matching(), {"query_tokens": "former.queries", "itm_head.": "head.", "qformer.": "former.qformer."}
    names |= {"embeddings.word_embeddings.": "words.", "embeddings.position_embeddings.": "positions."}
    names |= {"vision_projection.": "image.", "text_projection.": "text."}
    state = renamed(theirs, names, ours)
    ours.load_state_dict({key: tensor for key, tensor in state.items() if key in ours.state_dict()})
    given, tokens = samples(theirs)
    ids, mask = given["input_ids"], given["attention_mask"]
    torch.testing.assert_close(ours.contrast(tokens, ids, mask), theirs(**given).logits_per_image)
    found = theirs(**given, use_image_text_matching_head=True).logits_per_image
    torch.testing.assert_close(ours.match(tokens, ids, mask), found)
    assert (found[0] - found[2]).abs().max() > 1e-2


@torch.no_grad()
def test_scores_equal_those_of_blip() -> None:
    sizes: dict[str, Any] = {"vision_config": VISION | {"image_size": 28, "patch_size": 14}, "text_config": TEXT}
    theirs = randomised(BlipForImageTextRetrieval(BlipConfig(**sizes, image_text_hidden_size=20)))
    theirs.text_encoder.config.encoder_hidden_size = 24
    ours = BlipMatching(TEXT, 24, 20).eval()
    names = {"text_encoder.": "encoder.", "vision_proj.": "image.", "text_proj.": "text.", "itm_head.": "head."}
    ours.load_state_dict(renamed(theirs, names, ours))
    given, tokens = samples(theirs)
    ids, mask = given["input_ids"], given["attention_mask"]
    torch.testing.assert_close(ours.contrast(tokens, ids, mask), theirs(**given, use_itm_head=False).itm_score)
    found = theirs(**given).itm_score
    torch.testing.assert_close(ours.match(tokens, ids, mask), found)
    assert (ours.match(tokens.roll(1, 0), ids, mask) - found).abs().max() > 1e-2


@pytest.mark.parametrize("kind", ["blip", pytest.param("blip-2", marks=pytest.mark.slow)])  # slow: 5 s
def test_what_belongs_together_is_learnt(kind) -> None:
    torch.manual_seed(0)
    model, tokens = matching().train() if kind == "blip-2" else BlipMatching(TEXT, 24, 20), torch.randn(4, 6, 24)
    ids, mask = torch.randint(1, 60, (4, 5)), torch.ones(4, 5, dtype=torch.long)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(160):  # the second loss leaves its plateau after about 100
        optimizer.zero_grad()
        model.loss(tokens, ids, mask).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        assert model.contrast(tokens, ids, mask).argmax(1).tolist() == [0, 1, 2, 3]
        right, wrong = (model.match(tokens, text, mask).softmax(1)[:, 1] for text in (ids, ids.roll(1, 0)))
    assert (right > 0.5).all()
    assert (wrong < 0.5).all()


def test_a_q_former_that_reads_no_texts_is_refused() -> None:
    with pytest.raises(ConfigError, match="use_qformer_text_input: true"):
        Matching(QFormer(24, 32, 5, FORMER | {"use_qformer_text_input": False}))
