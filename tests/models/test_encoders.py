"""Encoders of other systems: a vocabulary with the weights of a published class of transformers gives its tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from vary.models.vocab import TowerVocabulary
from vary.models.zoo.listing import systems

from .references import randomised

SIZES = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL = SIZES | {"image_size": 32, "patch_size": 8}
WORDS = SIZES | {"vocab_size": 60, "max_position_embeddings": 8}
STAGES = {"image_size": 64, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
MASKED = {"decoder_hidden_size": 8, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 1}
FORMER = WORDS | {"cross_attention_frequency": 1}
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {  # published class: model type of the tower, its path, sizes
    "CLIPModel": ("clip_vision_model", "vision_model", {"vision_config": SMALL, "text_config": WORDS}),
    "SiglipModel": ("siglip_vision_model", "vision_model", {"vision_config": SMALL, "text_config": WORDS}),
    "ViTForImageClassification": ("vit", "vit", SMALL),
    "Dinov2ForImageClassification": ("dinov2", "dinov2", SMALL),
    "SwinForImageClassification": ("swin", "swin", STAGES),
    "Blip2ForImageTextRetrieval": (
        "blip_2_vision_model",
        "vision_model",
        {"vision_config": SMALL, "qformer_config": FORMER, "text_config": {"model_type": "opt"}},
    ),
    "Idefics3Model": (
        "idefics3_vision",
        "vision_model",
        {"vision_config": SMALL, "text_config": {"model_type": "llama", **WORDS}},
    ),
    "ViTMAEForPreTraining": ("vit", "vit", SMALL | MASKED | {"mask_ratio": 0.0}),
}
NAMED = {system["by"] for system in systems() if system["state"] == "part" and system["by"]} - {"timm_wrapper"}


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_a_vocabulary_has_the_tokens_of_the_published_class(name) -> None:
    kind, path, sizes = CASES[name]
    published = getattr(transformers, name)
    whole = randomised(published(published.config_class(**sizes)))
    theirs = whole.get_submodule(path)
    made = TowerVocabulary(config={"model_type": kind, **(SMALL if sizes is not STAGES else STAGES)}, stride=8).eval()
    state = {key: tensor for key, tensor in theirs.state_dict().items() if key in made.tower.state_dict()}
    made.tower.load_state_dict(state, strict=kind != "vit")  # this class has no pooler, which tokens do not need
    pixels = torch.rand(2, 3, *(made.tower.config.image_size,) * 2)
    more = {"noise": torch.arange(16.0).expand(2, -1)} if "MAE" in name else {}  # without it, patches are shuffled
    tokens = theirs(pixels, **more).last_hidden_state
    torch.testing.assert_close(made(pixels), tokens[:, tokens.shape[1] - made(pixels).shape[1] :])
    assert (made(pixels.flip(0)) - made(pixels)).abs().max() > 1e-2


def test_every_encoder_of_the_list_is_tested() -> None:
    assert {kind for kind, *_ in CASES.values()} == NAMED
