"""Checkpoints of other makes: exact key names in tiny widths, there and back bit for bit, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    GotOcr2Config,
    GotOcr2ForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from vary.models.config import VaryConfig, preset
from vary.models.convert.convert import convert
from vary.models.convert.files import read_tensors
from vary.models.convert.key_tables import rename, reverse
from vary.models.convert.older import older_names
from vary.models.convert.qwen import STOCK
from vary.models.convert.tokenizer import save_tokenizer
from vary.models.modeling import VaryForConditionalGeneration, load_model

from .test_family import randomised


def tensors(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in shapes.items()}


def sam_shapes(prefix: str, hidden: int = 128, depth: int = 3, neck: int = 24, out: int = 40) -> dict:
    """The 179 names (for 12 blocks) of the published network; block 1 is global, windows are 3 wide, 128 px."""
    found = {"pos_embed": (1, 8, 8, hidden), "patch_embed.proj.weight": (hidden, 3, 16, 16),
             "patch_embed.proj.bias": (hidden,), "neck.0.weight": (neck, hidden, 1, 1), "neck.1.weight": (neck,),
             "neck.1.bias": (neck,), "neck.2.weight": (neck, neck, 3, 3), "neck.3.weight": (neck,),
             "neck.3.bias": (neck,), "net_2.weight": (32, neck, 3, 3), "net_3.weight": (out, 32, 3, 3)}  # fmt: skip
    for k in range(depth):
        span = 15 if k == 1 else 5
        block = {"norm1.weight": (hidden,), "norm1.bias": (hidden,), "norm2.weight": (hidden,), "norm2.bias": (hidden,),
                 "attn.qkv.weight": (3 * hidden, hidden), "attn.qkv.bias": (3 * hidden,),
                 "attn.proj.weight": (hidden, hidden), "attn.proj.bias": (hidden,), "attn.rel_pos_h": (span, 64),
                 "attn.rel_pos_w": (span, 64), "mlp.lin1.weight": (72, hidden), "mlp.lin1.bias": (72,),
                 "mlp.lin2.weight": (hidden, 72), "mlp.lin2.bias": (hidden,)}  # fmt: skip
        found |= {f"blocks.{k}.{name}": shape for name, shape in block.items()}
    return {prefix + name: shape for name, shape in found.items()}


def clip_shapes(prefix: str, hidden: int = 64) -> dict:
    found = {"embeddings.class_embedding": (hidden,), "embeddings.patch_embedding.weight": (hidden, 3, 14, 14),
             "embeddings.position_embedding.weight": (5, hidden), "pre_layrnorm.weight": (hidden,),
             "pre_layrnorm.bias": (hidden,), "post_layernorm.weight": (hidden,),
             "post_layernorm.bias": (hidden,)}  # fmt: skip
    for k in range(2):
        for part in ("q", "k", "v", "out"):
            found |= {f"encoder.layers.{k}.self_attn.{part}_proj.weight": (hidden, hidden),
                      f"encoder.layers.{k}.self_attn.{part}_proj.bias": (hidden,)}  # fmt: skip
        found |= {f"encoder.layers.{k}.{n}": s for n, s in {
            "layer_norm1.weight": (hidden,), "layer_norm1.bias": (hidden,), "layer_norm2.weight": (hidden,),
            "layer_norm2.bias": (hidden,), "mlp.fc1.weight": (80, hidden), "mlp.fc1.bias": (80,),
            "mlp.fc2.weight": (hidden, 80), "mlp.fc2.bias": (hidden,)}.items()}  # fmt: skip
    return {prefix + name: shape for name, shape in found.items()}


def qwen_shapes(hidden: int = 64, words: int = 300) -> dict:
    found: dict = {"transformer.wte.weight": (words, hidden), "transformer.ln_f.weight": (hidden,),
                   "lm_head.weight": (words, hidden)}  # fmt: skip
    for k in range(2):
        found |= {f"transformer.h.{k}.{n}": s for n, s in {
            "ln_1.weight": (hidden,), "ln_2.weight": (hidden,), "attn.c_attn.weight": (3 * hidden, hidden),
            "attn.c_attn.bias": (3 * hidden,), "attn.c_proj.weight": (hidden, hidden), "mlp.w1.weight": (88, hidden),
            "mlp.w2.weight": (88, hidden), "mlp.c_proj.weight": (hidden, 88)}.items()}  # fmt: skip
    return found


def opt_shapes(prefix: str, hidden: int = 64, positions: int = 96, words: int = 268) -> dict:
    found = {"embed_tokens.weight": (words, hidden), "embed_positions.weight": (positions + 2, hidden),
             "final_layer_norm.weight": (hidden,), "final_layer_norm.bias": (hidden,)}  # fmt: skip
    for k in range(2):
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found |= {
                f"layers.{k}.self_attn.{part}.weight": (hidden, hidden),
                f"layers.{k}.self_attn.{part}.bias": (hidden,),
            }
        found |= {f"layers.{k}.{n}": s for n, s in {
            "self_attn_layer_norm.weight": (hidden,), "self_attn_layer_norm.bias": (hidden,),
            "fc1.weight": (90, hidden), "fc1.bias": (90,), "fc2.weight": (hidden, 90), "fc2.bias": (hidden,),
            "final_layer_norm.weight": (hidden,), "final_layer_norm.bias": (hidden,)}.items()}  # fmt: skip
    return {prefix + name: shape for name, shape in found.items()}


def linear(prefix: str, out: int, width: int) -> dict:
    return {f"{prefix}weight": (out, width), f"{prefix}bias": (out,)}


def qwen_vl(words: int = 300) -> dict:
    return {**clip_shapes("transformer.vision_tower.vision_model."), **sam_shapes("transformer.vision_tower_high."),
            **linear("transformer.mm_projector.", 32, 64), **linear("transformer.mm_projector_vary.", 32, 40),
            **qwen_shapes(words=words)}  # fmt: skip


def qwen2_shapes(prefix: str, hidden: int = 64, words: int = 300) -> dict:
    found: dict = {"embed_tokens.weight": (words, hidden), "norm.weight": (hidden,)}
    for k in range(2):
        for part in "qkv":
            found |= linear(f"layers.{k}.self_attn.{part}_proj.", hidden, hidden)
        found |= {f"layers.{k}.{n}": s for n, s in {
            "self_attn.o_proj.weight": (hidden, hidden), "mlp.gate_proj.weight": (88, hidden),
            "mlp.up_proj.weight": (88, hidden), "mlp.down_proj.weight": (hidden, 88),
            "input_layernorm.weight": (hidden,), "post_attention_layernorm.weight": (hidden,)}.items()}  # fmt: skip
    return {prefix + name: shape for name, shape in found.items()}


# layout -> (model, names and shapes, config.json)
OFFICIAL = {
    "qwen": ("vary-toy", qwen_vl(), {"model_type": "mmgpt", "num_attention_heads": 2, "im_patch_token": 299}),
    "opt": ("vary-tiny", {**sam_shapes("model.vision_tower_2."), **linear("model.mm_projector.", 64, 40),
                          **opt_shapes("model.decoder."), "lm_head.weight": (268, 64)},
            {"model_type": "vary", "im_patch_token": 265}),
    "600k": ("vary-tiny-600k", {**sam_shapes("visual_encoder."), **linear("opt_proj.", 64, 40),
                                **opt_shapes("opt_model.model.decoder."), "opt_model.lm_head.weight": (268, 64)},
             {"im_patch_token": 265}),
    "got": ("got", {**sam_shapes("model.vision_tower_high."), **linear("model.mm_projector_vary.", 64, 40),
                    **qwen2_shapes("model."), "lm_head.weight": (300, 64)},
            {"num_attention_heads": 4, "im_patch_token": 299}),
}  # fmt: skip


def official(layout: str, folder: Path) -> dict[str, Tensor]:
    """A synthetic checkpoint in a layout, tied where the real one is."""
    _, shapes, config = OFFICIAL[layout]
    state = tensors(shapes)
    if layout != "qwen":
        head = next(n for n in state if n.endswith("lm_head.weight"))
        state[head] = next(t for n, t in state.items() if n.endswith("embed_tokens.weight")).clone()
    folder.mkdir()
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return state


@pytest.mark.parametrize("layout", OFFICIAL)
def test_official_checkpoints_load_and_come_back_bit_for_bit(layout, tmp_path) -> None:
    name = OFFICIAL[layout][0]
    state = official(layout, tmp_path / "official")
    report = convert([tmp_path / "official"], tmp_path / "ours", name=name)
    assert f"{name}, " in report[0]
    assert "no tokenizer" in report[1]
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "ours").eval()
    assert isinstance(model, VaryForConditionalGeneration)
    eye = model.config.vocabularies[-1]
    assert (eye["window"], eye["global_blocks"], eye["heads"], eye["image_size"]) == (3, [1], 2, 128)
    pixels = [torch.randn(1, 3, 28, 28), torch.randn(1, 3, 128, 128)][-len(model.vocabularies) :]
    ids = torch.full((1, 6), model.config.image_token_id)
    ids[0, [0, -1]] = 7
    assert torch.isfinite(model(ids, pixels).logits).all()
    convert([tmp_path / "ours"], tmp_path / "back", layout=layout)
    back = read_tensors(tmp_path / "back")
    assert back.keys() == state.keys()
    assert all(torch.equal(back[k], state[k]) for k in state)
    assert convert([tmp_path / "back"], tmp_path / "again", name=name)[0].endswith(report[0].split(": ")[1])


@torch.no_grad()
def test_the_layout_of_docling_s_code_formula_converts(tmp_path) -> None:
    """A Vary-tiny by shape; names as in `docling_ibm_models` 3.8, `code_formula_model/models/sam_opt.py`."""
    shapes = {**sam_shapes("model.vision_tower."), **linear("model.mm_projector.", 64, 40),
              **opt_shapes("model.decoder."), "lm_head.weight": (268, 64)}  # fmt: skip
    state = tensors(shapes)
    state["lm_head.weight"] = state["model.decoder.embed_tokens.weight"].clone()
    folder = tmp_path / "theirs"
    folder.mkdir()
    save_file(state, folder / "model.safetensors")
    sizes = {"sam_image_size": 128, "sam_mm_projector_in": 40, "sam_mm_projector_out": 64}
    ids = {"im_start_token": 266, "im_patch_token": 265, "im_end_token": 267}
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": 4, **sizes, **ids}))
    assert "vary-tiny, " in convert([folder], tmp_path / "ours")[0]
    ours = load_model(tmp_path / "ours")
    pixels = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    features = F.linear(
        ours.vocabularies[0](pixels), state["model.mm_projector.weight"], state["model.mm_projector.bias"]
    )
    prompt = torch.tensor([[2, 266, *[265] * features.shape[1], 267, 9]])
    embedded = F.embedding(prompt, state["model.decoder.embed_tokens.weight"])
    embedded[0, 2 : 2 + features.shape[1]] = features[0]  # after the start token, as in their forward
    expected = F.linear(ours.language_model(inputs_embeds=embedded).last_hidden_state, state["lm_head.weight"])
    torch.testing.assert_close(ours(prompt, pixels).logits, expected, atol=1e-5, rtol=0)


def test_files_that_transformers_writes_of_got_load_and_ours_load_there(tmp_path) -> None:
    """Its files hold older names than its class does; the published one has those."""
    vision = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_dim": 72, "window_size": 3,
              "global_attn_indexes": [1], "image_size": 128, "output_channels": 16}  # fmt: skip
    text = {"model_type": "qwen2", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 4, "intermediate_size": 88, "vocab_size": 300, "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}  # fmt: skip
    theirs = GotOcr2ForConditionalGeneration(
        GotOcr2Config(vision_config=vision, text_config=text, image_token_index=299)
    ).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    assert "vision_tower.pos_embed" in read_tensors(tmp_path / "theirs")
    convert([tmp_path / "theirs"], tmp_path / "ours")
    ours = AutoModelForImageTextToText.from_pretrained(tmp_path / "ours").eval()
    convert([tmp_path / "ours"], tmp_path / "back", layout="got-transformers")
    back, report = GotOcr2ForConditionalGeneration.from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ids = torch.tensor([[3, 299, 299, 299, 299, 5, 6]])
    pixels = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        logits = theirs(input_ids=ids, pixel_values=pixels).logits
        torch.testing.assert_close(ours(ids, pixels).logits, logits, atol=1e-5, rtol=0)
        torch.testing.assert_close(back.eval()(input_ids=ids, pixel_values=pixels).logits, logits, atol=1e-5, rtol=0)


def test_got_goes_from_the_authors_layout_to_transformers_and_back(tmp_path) -> None:
    state = official("got", tmp_path / "official")
    convert([tmp_path / "official"], tmp_path / "ours")
    convert([tmp_path / "ours"], tmp_path / "theirs", layout="got-transformers")
    assert (tmp_path / "theirs" / "config.json").exists()
    convert([tmp_path / "theirs"], tmp_path / "again")
    convert([tmp_path / "again"], tmp_path / "back", layout="got")
    back = read_tensors(tmp_path / "back")
    assert back.keys() == state.keys()
    assert all(torch.equal(back[k], state[k]) for k in state)


def test_older_names_and_buffers_are_understood(tmp_path) -> None:
    state = official("opt", tmp_path / "new")
    old = {k.replace("vision_tower_2.", "vision_tower."): v for k, v in state.items()}
    (tmp_path / "old").mkdir()
    save_file(old, tmp_path / "old" / "model.safetensors")
    convert([tmp_path / "old"], tmp_path / "ours")
    toy = official("qwen", tmp_path / "toy") | {
        "transformer.vision_tower.vision_model.embeddings.position_ids": torch.arange(5)[None],
        "transformer.rotary_emb.inv_freq": torch.ones(16),
    }
    save_file(toy, tmp_path / "toy" / "model.safetensors")
    convert([tmp_path / "toy"], tmp_path / "ours-toy", name="vary-toy")
    assert (tmp_path / "ours" / "config.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s | {"transformer.extra.weight": torch.ones(2)},
            "1 tensors have no place .* transformer.extra.weight",
        ),
        (
            lambda s: {k: v for k, v in s.items() if k != "transformer.ln_f.weight"},
            "1 tensors of the model are missing",
        ),
        (lambda s: {k: v for k, v in s.items() if "0.self_attn.k_proj.bias" not in k}, "k_proj.bias"),
        (lambda s: s | {"transformer.h.1.ln_1.weight": torch.ones(65)}, r"has the shape \[65\], the model has \[64\]"),
        (lambda s: s | {"transformer.h.1.attn.c_attn.bias": torch.ones(191)}, "cannot be cut into 3"),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_it(change, message, tmp_path) -> None:
    state = official("qwen", tmp_path / "official")
    save_file(change(state), tmp_path / "official" / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        convert([tmp_path / "official"], tmp_path / "ours", name="vary-toy")
    assert not (tmp_path / "ours").exists()


def test_tensors_that_become_one_belong_together() -> None:
    table = [(("q", "k"), "qk")]
    assert rename({"q": torch.ones(2), "k": torch.zeros(1)}, table)["qk"].tolist() == [1, 1, 0]
    with pytest.raises(ValueError, match="q and k belong together, and one is missing"):
        rename({"q": torch.ones(2)}, table)


def test_folders_of_older_versions_load(tmp_path) -> None:
    """CLIP and SigLIP had sizes and names of their own, q, k and v in one tensor."""
    old = {"image_size": 28, "patch": 14, "hidden": 24, "depth": 3, "heads": 2, "mlp": 40}
    kinds = [{"name": "clip", **old, "layer": -2}, {"name": "siglip", **old, "layer": None}]
    config = VaryConfig(kinds, "channel", [{"name": "linear"}] * 2, preset("got-test").text_config)
    model = randomised(VaryForConditionalGeneration(config))
    state = rename(dict(model.state_dict()), reverse(older_names({"vocabularies": kinds})))
    assert {"vocabularies.0.blocks.2.attn.qkv.bias", "vocabularies.1.pos_embed"} < {*state}
    assert not any(".tower." in name for name in state)
    config.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text()) | {"vocabularies": kinds}
    (tmp_path / "config.json").write_text(json.dumps(written))
    save_file({k: v.clone() for k, v in state.items() if k != "lm_head.weight"}, tmp_path / "model.safetensors")
    pixels = [torch.randn(1, 3, 28, 28)] * 2
    for again in (load_model(tmp_path), AutoModelForImageTextToText.from_pretrained(tmp_path).eval()):
        with torch.no_grad():
            assert torch.equal(again.get_image_features(pixels), model.get_image_features(pixels))
    again.save_pretrained(tmp_path / "new")
    assert any(".tower." in name for name in read_tensors(tmp_path / "new"))
    assert torch.equal(load_model(tmp_path / "new").state_dict()["lm_head.weight"], model.lm_head.weight)


def test_a_head_that_is_not_the_embedding_is_refused_where_they_are_tied(tmp_path) -> None:
    state = official("opt", tmp_path / "official")
    save_file(state | {"lm_head.weight": state["lm_head.weight"] + 1}, tmp_path / "official" / "model.safetensors")
    with pytest.raises(ValueError, match="this model ties the two"):
        convert([tmp_path / "official"], tmp_path / "ours")


def test_usage_errors(tmp_path) -> None:
    official("qwen", tmp_path / "official")
    with pytest.raises(ValueError, match=r"neither vary-toy's nor vary-base's; say which with --as"):
        convert([tmp_path / "official"], tmp_path / "a")
    with pytest.raises(ValueError, match="a checkpoint of vary-toy or vary-base, not of got"):
        convert([tmp_path / "official"], tmp_path / "a", name="got")
    with pytest.raises(ValueError, match="unknown layout 'gguf'; allowed: qwen, opt"):
        convert([tmp_path / "official"], tmp_path / "a", layout="gguf")
    with pytest.raises(ValueError, match="--layout takes one folder of a model of ours"):
        convert([tmp_path / "official"], tmp_path / "a", layout="got")
    with pytest.raises(ValueError, match="not empty"):
        convert([tmp_path / "official"], tmp_path / "official")
    with pytest.raises(ValueError, match="no such file"):
        convert([tmp_path / "nothing"], tmp_path / "a")


def test_of_mixed_precision_the_widest_is_kept(tmp_path) -> None:
    state = official("got", tmp_path / "official")
    mixed = {k: t.half() if k.startswith("model.vision") else t for k, t in state.items()}
    save_file(mixed, tmp_path / "official" / "model.safetensors")
    convert([tmp_path / "official"], tmp_path / "ours")
    assert load_model(tmp_path / "ours", "auto").dtype == torch.float32


@pytest.mark.parametrize("name", ["vary-tiny-test", "vary-base-vicuna-test"])
def test_a_stock_tokenizer_gets_the_image_tokens_where_the_model_has_them(name, tokenizers, tmp_path) -> None:
    config = preset(name)
    data = json.loads(tokenizers(config).backend_tokenizer.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if "im" not in token["content"]]
    stock = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(data)), pad_token="</s>")
    stock.save_pretrained(tmp_path / "stock")
    assert save_tokenizer(tmp_path / "stock", tmp_path / "ours", config) == []
    made = AutoProcessor.from_pretrained(tmp_path / "ours").tokenizer
    first = config.image_token_id - (0 if name.startswith("vary-tiny") else 2)
    assert {made.convert_tokens_to_ids(t) for t in ("<img>", "</img>", "<imgpad>")} == {first, first + 1, first + 2}


def plain_qwen(state: dict[str, Tensor], ids: Tensor, heads: int) -> Tensor:
    """Qwen-1 as its paper's code computes it up to 8192 tokens, transcribed in plain tensor operations."""

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * weight

    x = state["transformer.wte.weight"][ids]
    length, hidden = x.shape
    size = hidden // heads
    angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, size, 2) / size)
    angles = torch.cat([angles, angles], -1)[:, None]

    def rotate(v: Tensor) -> Tensor:
        first, second = v.chunk(2, -1)
        return v * angles.cos() + torch.cat([-second, first], -1) * angles.sin()

    mask = torch.full((length, length), float("-inf")).triu(1)
    for k in range(2):
        own = {n: state[f"transformer.h.{k}.{n}.weight"] for n in
               ("ln_1", "ln_2", "attn.c_attn", "attn.c_proj", "mlp.w1", "mlp.w2", "mlp.c_proj")}  # fmt: skip
        fused = norm(x, own["ln_1"]) @ own["attn.c_attn"].T + state[f"transformer.h.{k}.attn.c_attn.bias"]
        q, key, v = (part.reshape(length, heads, size) for part in fused.split(hidden, -1))
        scores = torch.einsum("qhd,khd->hqk", rotate(q), rotate(key)) / size**0.5 + mask
        seen = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).reshape(length, hidden)
        x = x + seen @ own["attn.c_proj"].T
        y = norm(x, own["ln_2"])
        x = x + ((y @ own["mlp.w1"].T) * F.silu(y @ own["mlp.w2"].T)) @ own["mlp.c_proj"].T
    return norm(x, state["transformer.ln_f.weight"]) @ state["lm_head.weight"].T


def test_qwen_1_computes_the_same_as_its_own_maths(tmp_path) -> None:
    state = official("qwen", tmp_path / "official")
    convert([tmp_path / "official"], tmp_path / "ours", name="vary-toy")
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "ours").eval()
    ids = torch.randint(0, 290, (1, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits[0], plain_qwen(state, ids[0], 2), atol=1e-5, rtol=0)


def test_tables_read_in_both_directions() -> None:
    state = tensors(qwen_shapes())
    there = rename(state, STOCK)
    assert there["language_model.layers.1.self_attn.k_proj.bias"].shape == (64,)
    assert torch.equal(there["language_model.layers.0.mlp.gate_proj.weight"], state["transformer.h.0.mlp.w2.weight"])
    back = rename(there, reverse(STOCK))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[k], state[k]) for k in state)
