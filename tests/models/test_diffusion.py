"""Drawing by diffusion: folders of tiny random models are drawn as the papers' loops draw, written here again."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from vary.io.errors import ConfigError, InputError, MissingExtra
from vary.models.generate.diffusion import PIPELINES, Diffusion
from vary.models.generate.tools import ask_with_tools, run_program

from .references import randomised
from .test_tools import CALL, Model

try:
    import diffusers
except ModuleNotFoundError:
    diffusers = None

VOCABULARY = ["<|startoftext|>", "<|endoftext|>", "cat</w>", "dog</w>", *"catdog", "t</w>", "g</w>", "ca", "do"]
TEXT = {"vocab_size": 14, "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 2,
        "max_position_embeddings": 6, "projection_dim": 16, "bos_token_id": 0, "eos_token_id": 1,
        "pad_token_id": 1}  # fmt: skip
SEE = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8,
       "patch_size": 4, "projection_dim": 16}  # fmt: skip
SIDE, STEPS, GUIDANCE = 8, 5, {"StableDiffusionPipeline": 7.5, "DiTPipeline": 4.0}
UNET = {"block_out_channels": (8,), "layers_per_block": 1, "norm_num_groups": 2, "sample_size": SIDE}
CROSS = {"down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",),
         "cross_attention_dim": 16, "attention_head_dim": 2}  # fmt: skip
SIMPLE = {"down_block_types": ("SimpleCrossAttnDownBlock2D",), "up_block_types": ("SimpleCrossAttnUpBlock2D",),
          "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "resnet_time_scale_shift": "scale_shift",
          "addition_embed_type": "image", "encoder_hid_dim": 16, "encoder_hid_dim_type": "image_proj"}  # fmt: skip


def ddpm() -> dict[str, Any]:
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",), "add_attention": False}
    return {"unet": diffusers.UNet2DModel(**UNET | blocks), "scheduler": diffusers.DDPMScheduler(clip_sample=False)}


def autoencoder() -> Any:
    return diffusers.AutoencoderKL(block_out_channels=(8,), norm_num_groups=2, sample_size=SIDE)


def tokenizer() -> CLIPTokenizer:
    merges = [("c", "a"), ("ca", "t</w>"), ("d", "o"), ("do", "g</w>")]
    return CLIPTokenizer({w: k for k, w in enumerate(dict.fromkeys(VOCABULARY))}, merges, model_max_length=6)


def stable_diffusion() -> dict[str, Any]:
    return {
        "unet": diffusers.UNet2DConditionModel(**UNET | CROSS), "vae": autoencoder(), "tokenizer": tokenizer(),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**TEXT)), "safety_checker": None, "feature_extractor": None,
        "scheduler": diffusers.DDIMScheduler(clip_sample=False, steps_offset=1), "requires_safety_checker": False,
    }  # fmt: skip


def dit() -> dict[str, Any]:
    sizes = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1, "patch_size": 2, "sample_size": SIDE}
    transformer = diffusers.DiTTransformer2DModel(in_channels=4, out_channels=8, norm_num_groups=2, **sizes)
    scheduler = diffusers.DDIMScheduler(clip_sample=False, steps_offset=1)
    return {"transformer": transformer, "vae": autoencoder(), "scheduler": scheduler}


def kandinsky() -> dict[str, Any]:
    sizes = {"block_out_channels": (32, 32), "norm_num_groups": 2, "num_vq_embeddings": 12, "vq_embed_dim": 4}
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    prior = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1, "embedding_dim": 16}
    decoder = UNET | CROSS | SIMPLE | {"out_channels": 8}
    return {
        "unet": diffusers.UNet2DConditionModel(**decoder), "scheduler": diffusers.DDPMScheduler(),
        "movq": diffusers.VQModel(latent_channels=4, norm_type="spatial", **sizes, **blocks),
        "prior_prior": diffusers.PriorTransformer(num_embeddings=6, **prior), "prior_tokenizer": tokenizer(),
        "prior_image_encoder": CLIPVisionModelWithProjection(CLIPVisionConfig(**SEE)),
        "prior_text_encoder": CLIPTextModelWithProjection(CLIPTextConfig(**TEXT)),
        "prior_scheduler": diffusers.UnCLIPScheduler(prediction_type="sample", clip_sample_range=5.0),
        "prior_image_processor": CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size=8),
    }  # fmt: skip


MADE: dict[str, Callable[[], dict[str, Any]]] = {
    "DDPMPipeline": ddpm,
    "StableDiffusionPipeline": stable_diffusion,
    "DiTPipeline": dit,
    "KandinskyV22CombinedPipeline": kandinsky,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A folder of each pipeline, with random weights."""
    if diffusers is None:
        pytest.skip("drawing by diffusion needs the extra images")
    made = {}
    for kind in PIPELINES:
        parts = MADE[kind]()
        for part in parts.values():
            if isinstance(part, torch.nn.Module):
                randomised(part)
        made[kind] = tmp_path_factory.mktemp(kind)
        getattr(diffusers, kind)(**parts).save_pretrained(made[kind])
    index = made["DiTPipeline"] / "model_index.json"  # published folders have names of classes
    index.write_text(json.dumps(json.loads(index.read_text()) | {"id2label": {"0": "cat, kitten", "1": "dog"}}))
    return made


def noise_left(draw: Diffusion) -> torch.Tensor:
    """The share of the image in each of the training's steps (alpha with a bar), with the betas of the papers' code."""
    config = draw.pipeline.scheduler.config
    return (1 - torch.linspace(config.beta_start, config.beta_end, config.num_train_timesteps)).cumprod(0)


def differs(image: Image.Image, other: Any) -> int:
    return int(np.abs(np.asarray(image).astype(int) - np.asarray(other).astype(int)).max())


def as_image(pixels_1CHW: torch.Tensor) -> np.ndarray:
    return (pixels_1CHW[0].permute(1, 2, 0) / 2 + 0.5).clamp(0, 1).mul(255).round().numpy()


@torch.no_grad()
def test_ddpm_draws_by_the_loop_of_its_paper(folders) -> None:
    """Algorithm 2 of arXiv 2006.11239, with every 200th step of the training."""
    draw = Diffusion(folders["DDPMPipeline"])
    left, unet = noise_left(draw), draw.pipeline.unet
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(1, 3, SIDE, SIDE, generator=generator)
    for t in range(800, -1, -200):
        now, before = left[t], left[t - 200] if t else torch.tensor(1.0)
        alpha = now / before
        x = (x - (1 - alpha) / (1 - now).sqrt() * unet(x, t).sample) / alpha.sqrt()
        if t:
            sigma = ((1 - alpha) * (1 - before) / (1 - now)).sqrt()
            x = x + sigma * torch.randn(x.shape, generator=generator)
    image = draw(seed=7, steps=STEPS)
    assert differs(image, as_image(x)) <= 1
    assert len(np.unique(image)) > 2


@pytest.mark.parametrize("kind", GUIDANCE)
@torch.no_grad()
def test_models_of_latents_draw_by_guided_steps(kind, folders) -> None:
    """DDIM without noise (arXiv 2010.02502, equation 12) and classifier-free guidance (arXiv 2207.12598)."""
    draw, prompt = Diffusion(folders[kind]), "dog"
    pipe, left = draw.pipeline, noise_left(draw)
    x = torch.randn(1, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(7))
    if kind == "DiTPipeline":
        labels = torch.tensor([1, pipe.transformer.config.num_embeds_ada_norm])
    else:
        ids = pipe.tokenizer([prompt, ""], padding="max_length", return_tensors="pt").input_ids
        words = pipe.text_encoder(ids).last_hidden_state
    for t in range(801, 0, -200):
        both, times = x.expand(2, -1, -1, -1), torch.tensor([t, t])
        if kind == "DiTPipeline":
            wanted, free = pipe.transformer(both, timestep=times, class_labels=labels).sample[:, :4].chunk(2)
        else:
            wanted, free = pipe.unet(both, times, encoder_hidden_states=words).sample.chunk(2)
        noise = free + GUIDANCE[kind] * (wanted - free)
        now, before = left[t], left[t - 200] if t > 200 else torch.tensor(1.0)
        x = before.sqrt() * (x - (1 - now).sqrt() * noise) / now.sqrt() + (1 - before).sqrt() * noise
    expected = as_image(pipe.vae.decode(x / pipe.vae.config.scaling_factor).sample)
    image = draw(prompt, seed=7, steps=STEPS)
    assert differs(image, expected) <= 1
    assert len(np.unique(image)) > 2


@pytest.mark.parametrize("kind", PIPELINES)
def test_the_seed_and_the_prompt_choose_the_image(kind, folders) -> None:
    draw = Diffusion(folders[kind])
    size = (16, 8) if PIPELINES[kind] == "words" else None
    first = None if PIPELINES[kind] == "nothing" else "cat"
    image = draw(first, seed=1, steps=3, size=size)
    assert image.size == (size or (SIDE, SIDE))
    before = torch.get_rng_state()
    assert differs(Diffusion(folders[kind])(first, seed=1, steps=3, size=size), image) == 0
    assert torch.equal(torch.get_rng_state(), before)
    assert differs(draw(first, seed=2, steps=3, size=size), image) > 0
    assert differs(draw(first, seed=1, steps=2, size=size), image) > 0
    if first:
        assert differs(draw("dog", seed=1, steps=3, size=size), image) > 0


def test_noise_outside_the_generator_follows_the_seed_too(folders) -> None:
    draw = Diffusion(folders["DiTPipeline"])
    draw.pipeline.scheduler = diffusers.DDPMScheduler(clip_sample=False)
    assert differs(draw("cat", steps=3), draw("cat", steps=3)) == 0


def test_answers_and_programs_draw(folders) -> None:
    draw = Diffusion(folders["StableDiffusionPipeline"])
    expected = draw("dog", steps=2)
    drawn, _ = run_program("PICTURE=DRAW(prompt='dog')", {"DRAW": lambda prompt: draw(prompt, steps=2)})
    assert differs(drawn, expected) == 0
    call = CALL.replace('"find"', '"stable_diffusion"').replace('{"what": "cat"}', '{"prompt": "dog"}')
    tools = {"stable_diffusion": lambda image, prompt: draw(prompt, steps=2)}
    calls = ask_with_tools(Model(call, "There."), [], "Draw a dog.", tools)[1]
    assert differs(calls[0].result, expected) == 0


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("DDPMPipeline", {"prompt": "cat"}, "DDPMPipeline draws from nothing; the prompt is 'cat'"),
        ("StableDiffusionPipeline", {}, "StableDiffusionPipeline draws from words; the prompt is None"),
        ("DiTPipeline", {"prompt": "cat", "size": (8, 8)}, r"DiTPipeline draws in one size; the size is \(8, 8\)"),
        ("DiTPipeline", {"prompt": "bird"}, "no class 'bird'; allowed: 0 to 999, cat, dog, kitten"),
        ("DiTPipeline", {"prompt": "1000"}, "no class '1000'"),
    ],
)
def test_what_a_model_cannot_draw_is_named(kind, given, message, folders) -> None:
    with pytest.raises(InputError, match=message):
        Diffusion(folders[kind])(**given)


def test_code_in_a_folder_is_not_run(folders, tmp_path) -> None:
    folder = shutil.copytree(folders["DDPMPipeline"], tmp_path / "copy")
    (folder / "unet" / "own.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')\nclass Own: pass")
    index = json.loads((folder / "model_index.json").read_text()) | {"unet": ["own", "Own"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="trust_remote_code"):
        Diffusion(folder)
    assert not (tmp_path / "run").exists()


def test_another_folder_is_refused_and_a_missing_extra_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ConfigError, match=r"model_index.json: No such file"):
        Diffusion(tmp_path)
    for kind, error, message in [
        (
            "FluxPipeline",
            ConfigError,
            "model_index.json: 'FluxPipeline'; allowed: DDPMPipeline, StableDiffusionPipeline",
        ),
        (["own", "DDPMPipeline"], ConfigError, "allowed: DDPMPipeline"),
        ("DDPMPipeline", MissingExtra, r"needs the package diffusers: pip install 'vary\[images\]'"),
    ]:
        (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": kind}))
        with pytest.raises(error, match=message):
            Diffusion(tmp_path)
