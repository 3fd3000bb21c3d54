"""Parts of models, stock ones too, become a model: which tensors come from where, and what is left random."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    OPTConfig,
    OPTForCausalLM,
    OPTModel,
    SamConfig,
    SamModel,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from vary.models.config import VaryConfig, preset
from vary.models.convert.convert import convert
from vary.models.convert.files import read_tensors
from vary.models.convert.layouts import resize_rows
from vary.models.convert.opt import stretch_positions

from .test_convert import clip_shapes, qwen_shapes, sam_shapes, tensors


def test_parts_as_transformers_writes_them(tmp_path) -> None:
    """A configuration of one's own as the target; towers alone or beside a text tower, of today's names and older."""
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 80}
    small = {**sizes, "image_size": 28, "patch_size": 14}
    words = {**sizes, "vocab_size": 60, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1}
    clip = CLIPModel(CLIPConfig(vision_config=small, text_config=words))
    clip.save_pretrained(tmp_path / "clip")
    CLIPVisionModel(CLIPVisionConfig(**small)).save_pretrained(tmp_path / "clip-tower")
    SiglipModel(SiglipConfig(vision_config=small, text_config=words)).save_pretrained(tmp_path / "siglip")
    SiglipVisionModel(SiglipVisionConfig(**small)).save_pretrained(tmp_path / "siglip-tower")
    vision = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "mlp_dim": 72, "image_size": 128,
              "output_channels": 24, "global_attn_indexes": [1], "window_size": 3}  # fmt: skip
    SamModel(SamConfig(vision_config=vision)).save_pretrained(tmp_path / "sam")
    opt = {"vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 2, "ffn_dim": 90, "num_attention_heads": 4,
           "max_position_embeddings": 96, "word_embed_proj_dim": 64}  # fmt: skip
    OPTModel(OPTConfig(**opt)).save_pretrained(tmp_path / "opt")
    vit = {"image_size": 28, "patch": 14, "hidden": 64, "depth": 2, "heads": 1, "mlp": 80}
    sam = {"image_size": 128, "hidden": 64, "depth": 2, "heads": 1, "mlp": 72, "window": 3, "global_blocks": [1],
           "neck": 24, "convs": [32, 40]}  # fmt: skip
    for folder, eyes in (("clip", "clip"), ("clip-tower", "clip"), ("siglip", "siglip"), ("siglip-tower", "siglip")):
        config = VaryConfig([{"name": eyes, **vit}, {"name": "sam", **sam}], "channel", [{"name": "linear"}] * 2,
                            {"model_type": "opt", **opt}, template="opt-chat", image_token_id=299)  # fmt: skip
        config.save_pretrained(tmp_path / eyes / "mine")
        parts = [tmp_path / folder, tmp_path / "sam", tmp_path / "opt"]
        report = convert(parts, tmp_path / f"{folder}-ours", name=str(tmp_path / eyes / "mine"))
        assert "random: connector.0, connector.1, vocabularies.1" in report  # of the last one the two convolutions
        made, theirs = read_tensors(tmp_path / f"{folder}-ours"), read_tensors(tmp_path / folder)
        prefix = "" if folder.endswith("tower") else "vision_model."
        for name in ("embeddings.position_embedding.weight", "post_layernorm.bias"):
            assert torch.equal(made[f"vocabularies.0.tower.{name}"], theirs[prefix + name])
        name = "encoder.layers.1.self_attn.k_proj.weight"
        assert torch.equal(made[f"vocabularies.0.tower.{name}"], theirs[prefix + name])


def test_parts_become_a_model(tmp_path, tokenizers, monkeypatch) -> None:
    """Stock SAM and OPT -> vary-tiny; its vocabulary, CLIP and Qwen-1 -> vary-toy: the order of the paper."""
    import vary.models.convert.convert as module

    small = {name: preset(f"{name}-test") for name in ("vary-tiny", "vary-toy")}
    sam_small = {"image_size": 128, "hidden": 128, "depth": 3, "heads": 2, "mlp": 72, "window": 3, "global_blocks": [1],
                 "neck": 24, "convs": [32, 40]}  # fmt: skip
    for config in small.values():
        config.vocabularies[-1] = config.vocabularies[-1] | sam_small
    small["vary-toy"].vocabularies[0]["config"] |= {
        "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 80,
    }  # fmt: skip
    text = {"hidden_size": 64, "num_hidden_layers": 2}
    tiny = small["vary-tiny"].text_config.to_dict() | text | {"ffn_dim": 90, "word_embed_proj_dim": 64}
    toy = small["vary-toy"].text_config.to_dict() | text | {"num_attention_heads": 2, "num_key_value_heads": 2,
                                                            "intermediate_size": 88, "head_dim": 32}  # fmt: skip
    small["vary-tiny"] = VaryConfig(**(small["vary-tiny"].to_dict() | {"text_config": tiny}))
    small["vary-toy"] = VaryConfig(**(small["vary-toy"].to_dict() | {"text_config": toy}))
    monkeypatch.setattr(module, "preset", small.__getitem__)

    sam = {k: v for k, v in tensors(sam_shapes("image_encoder.")).items() if ".net_" not in k}
    save_file(sam | {"mask_decoder.x": torch.ones(1), "prompt_encoder.y": torch.ones(1)}, tmp_path / "sam.safetensors")
    opt = tmp_path / "opt"
    OPTForCausalLM(OPTConfig(vocab_size=272, hidden_size=64, num_hidden_layers=2, ffn_dim=90, num_attention_heads=4,
                             max_position_embeddings=96, word_embed_proj_dim=64)).save_pretrained(opt)  # fmt: skip
    tokenizers(small["vary-tiny"]).save_pretrained(opt)
    report = convert([tmp_path / "sam.safetensors", opt], tmp_path / "tiny", name="vary-tiny")
    assert "random: connector.0, vocabularies.0" in report
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "tiny")
    assert torch.equal(model.vocabularies[0].pos_embed, sam["image_encoder.pos_embed"])
    assert model.language_model.decoder.embed_positions.weight.shape == (
        small["vary-tiny"].text_config.max_position_embeddings + 2,
        64,
    )
    assert AutoProcessor.from_pretrained(tmp_path / "tiny").template == "opt-chat"

    save_file(tensors(clip_shapes("vision_model."), 1), tmp_path / "clip.safetensors")
    save_file(tensors(qwen_shapes(words=640), 2), tmp_path / "qwen.safetensors")
    parts = [tmp_path / "clip.safetensors", tmp_path / "tiny", tmp_path / "qwen.safetensors"]
    report = convert(parts, tmp_path / "toy", name="vary-toy")
    assert "random: connector.0, connector.1" in report
    merged = AutoModelForImageTextToText.from_pretrained(tmp_path / "toy")
    assert torch.equal(merged.vocabularies[1].net_3.weight, model.vocabularies[0].net_3.weight)
    assert len(merged.lm_head.weight) == toy["vocab_size"] < 640  # padding rows are cut
    with pytest.raises(ValueError, match="parts of a model need --as NAME"):
        convert([tmp_path / "clip.safetensors", tmp_path / "tiny"], tmp_path / "x")
    with pytest.raises(ValueError, match="holds a clip_vision_model vocabulary; this model has sam"):
        convert([tmp_path / "clip.safetensors"], tmp_path / "x", name="vary-tiny")


def test_positions_and_tokens_stretch() -> None:
    table = torch.arange(12.0)[:, None].expand(12, 3).clone()
    longer = stretch_positions(table, 19)
    assert torch.equal(longer[:2], table[:2])
    assert torch.equal(longer[[2, -1]], table[[2, -1]])
    torch.testing.assert_close(longer[2:, 0], torch.linspace(2, 11, 19))
    assert stretch_positions(table, 10) is table
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert resize_rows(rows, 3)[2].tolist() == [2.0, 3.0]
    assert resize_rows(rows, 1).tolist() == [[1.0, 2.0]]
