"""Encoders of other systems: a vocabulary with the weights of a published class of transformers gives its tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from vary.io.errors import ConfigError
from vary.models.config import VaryConfig, preset
from vary.models.images.views import cut_views
from vary.models.modeling import VaryForConditionalGeneration
from vary.models.processor import VaryProcessor
from vary.models.vocab import TowerVocabulary
from vary.models.zoo.listing import systems

from .references import randomised
from .test_rows import DARK, film, shown, tokenizer_of

SIZES = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL = SIZES | {"image_size": 32, "patch_size": 8}
WORDS = SIZES | {"vocab_size": 60, "max_position_embeddings": 8}
STAGES = {"image_size": 64, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
MASKED = {"decoder_hidden_size": 8, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 1}
VIDEO = SIZES | {"image_size": 32, "num_frames": 6, "tubelet_size": [2, 8, 16]}
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
    "VivitForVideoClassification": ("vivit", "vivit", VIDEO),
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
    own = sizes if sizes in (STAGES, VIDEO) else SMALL
    made = TowerVocabulary(config={"model_type": kind, **own}, stride=None if own is VIDEO else 8).eval()
    state = {key: tensor for key, tensor in theirs.state_dict().items() if key in made.tower.state_dict()}
    made.tower.load_state_dict(state, strict=kind[:2] != "vi")  # these classes have no pooler, which tokens do not need
    side, frames = made.tower.config.image_size, made.frames
    pixels = torch.rand(2, 3, frames * side, side)
    more = {"noise": torch.arange(16.0).expand(2, -1)} if "MAE" in name else {}  # without it, patches are shuffled
    seen = torch.stack(pixels.chunk(frames, 2), 1) if frames > 1 else pixels
    tokens = theirs(seen, **more).last_hidden_state
    assert tokens.shape[1] - made(pixels).shape[1] in (0, 1)
    torch.testing.assert_close(made(pixels), tokens[:, tokens.shape[1] - made(pixels).shape[1] :])
    assert (made(pixels.flip(0)) - made(pixels)).abs().max() > 1e-2


def test_every_encoder_of_the_list_is_tested() -> None:
    assert {kind for kind, *_ in CASES.values()} == NAMED


def told(tower: dict[str, Any], preprocess: dict[str, Any], *images: Image.Image) -> torch.Tensor:
    """The last logits of a small model that sees images by such a tower."""
    eye = {"name": "tower", "config": tower, "preprocess": preprocess}
    config = VaryConfig([eye], "channel", {"name": "mlp"}, preset("llava-1.5-test").text_config, image_token_id=270)
    processor = VaryProcessor.of(config, tokenizer_of(config))
    model = randomised(VaryForConditionalGeneration(config))
    with torch.no_grad():
        return model(**processor(list(images), ["<image>what?"] * len(images))).logits[:, -1]


def test_a_video_is_seen_in_its_order() -> None:
    tower = {"model_type": "vivit", **VIDEO}
    preprocess = {"fit": "squash", "size": 32, "views": {"name": "film", "count": 6}}
    views, shape = cut_views(film(1), preprocess, 3)
    assert (len(views), views[0].shape, shape) == (1, (3, 6 * 32, 32), (0, 0, 6 * 32, 32))
    frames = cut_views(film(1), preprocess | {"views": {"name": "frames", "count": 6}}, 3)[0]
    assert np.array_equal(views[0], np.concatenate(frames, 1))
    one, other, still = told(tower, preprocess, film(1), film(DARK), shown(1))
    assert (one - other).abs().max() > 1e-2
    assert (one - still).abs().max() > 1e-2


@torch.no_grad()
def test_a_mask_is_the_fourth_channel_as_in_alpha_clip() -> None:
    """SunzeY/AlphaCLIP, alpha_clip/model.py, 0ef04bd: the patches of the mask are added to those of the image."""
    sizes = {"model_type": "clip_vision_model", **SMALL}
    ours = randomised(TowerVocabulary(config=sizes | {"num_channels": 4}))
    theirs = TowerVocabulary(config=sizes).eval()
    state, stem = ours.state_dict(), "tower.embeddings.patch_embedding.weight"
    theirs.load_state_dict(state | {stem: state[stem][:, :3]})
    pixels = torch.rand(2, 4, 32, 32)
    of_mask = torch.nn.functional.conv2d(pixels[:, 3:], state[stem][:, 3:], stride=8)
    theirs.get_submodule(stem.removesuffix(".weight")).register_forward_hook(lambda _, given, out: out + of_mask)
    torch.testing.assert_close(ours(pixels), theirs(pixels[:, :3]))


def test_the_processor_gives_the_mask_of_an_image() -> None:
    preprocess = {"fit": "squash", "size": 32, "mean": [0.5, 0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5, 0.26]}
    masked, plain = (shown(1).resize((32, 32)) for _ in range(2))
    mask = np.zeros((32, 32), np.uint8)
    mask[8:16, 4:20] = 255
    masked.putalpha(Image.fromarray(mask))
    view = cut_views(masked, preprocess, 4)[0][0]
    np.testing.assert_allclose(view[3], (mask / 255 - 0.5) / 0.26, rtol=1e-6)
    whole = cut_views(plain, preprocess, 4)[0][0]
    assert np.array_equal(whole[:3], view[:3]), "what the mask hides keeps its colour"
    assert (whole[3] == whole[3].max()).all(), "an image without a mask is seen whole"
    tower = {"model_type": "clip_vision_model", "num_channels": 4, **SMALL}
    one, other = told(tower, preprocess, masked, plain)
    assert (one - other).abs().max() > 1e-2
    with pytest.raises(ConfigError, match="views 'frames' need images of 1 or 3 channels"):
        cut_views(plain, preprocess | {"views": {"name": "frames", "count": 2}}, 4)
