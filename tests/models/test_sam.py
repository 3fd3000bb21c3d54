"""The paper's vocabulary against transformers: same tokens, same gradients, whichever way it attends."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers import GotOcr2VisionConfig, UnlimitedOcrSamVisionConfig
from transformers.models.got_ocr2.modeling_got_ocr2 import GotOcr2VisionEncoder
from transformers.models.unlimited_ocr.modeling_unlimited_ocr import UnlimitedOcrSamVisionEncoder

from vary.models.convert.key_tables import rename
from vary.models.convert.towers import transformers_sam
from vary.models.vocab import sam
from vary.models.vocab.sam import SamVocabulary

SIZES = {
    "image_size": 128, "patch": 8, "hidden": 24, "depth": 3, "heads": 3, "mlp": 40, "window": 6, "global_blocks": (1,),
    "neck": 16, "convs": (32, 20),
}  # fmt: skip
WAYS = ("attend_blocks", "attend_flash", "attend_small")
NAMES = [
    *transformers_sam("", "", ""), ("net_{i}.weight", "net_{i}.weight"),
    ("proj.conv1.weight", "net_2.weight"), ("proj.conv2.weight", "net_3.weight"),
]  # fmt: skip


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        shift = 1.0 if name.endswith(("norm1.weight", "norm2.weight")) else 0.0
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2 + shift
    return network.eval()


def pixels(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def ours() -> SamVocabulary:
    return randomised(SamVocabulary(**SIZES))


@pytest.fixture(params=WAYS)
def way(request, monkeypatch) -> str:
    """Every block attends this way; blocks of queries end inside a row of patches and inside the image."""
    monkeypatch.setattr(sam, "attend", getattr(sam, request.param))
    monkeypatch.setattr(sam, "BLOCK", 37 * 256)
    return request.param


class Got(nn.Module):
    """transformers' GOT encoder and the two convolutions of its projector."""

    def __init__(self, ours: SamVocabulary):
        super().__init__()
        self.encoder = GotOcr2VisionEncoder(configuration(GotOcr2VisionConfig))
        fill(self.encoder, ours)
        self.net_2 = nn.Conv2d(16, 32, 3, 2, 1, bias=False)
        self.net_3 = nn.Conv2d(32, 20, 3, 2, 1, bias=False)
        self.net_2.weight.data, self.net_3.weight.data = ours.net_2.weight.data.clone(), ours.net_3.weight.data.clone()

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        return self.net_3(self.net_2(self.encoder(pixels_BCHW).last_hidden_state))


def configuration(kind: type, **more: object):
    return kind(
        hidden_size=24, output_channels=16, num_hidden_layers=3, num_attention_heads=3, image_size=128, patch_size=8,
        window_size=6, global_attn_indexes=[1], mlp_dim=40, **more,
    )  # fmt: skip


def fill(theirs: nn.Module, ours: SamVocabulary) -> None:
    weights = ours.state_dict()
    for name, tensor in rename(theirs.state_dict(), NAMES).items():
        tensor.copy_(weights[name])
    theirs.eval()


def unlimited(ours: SamVocabulary, attention: str = "eager") -> nn.Module:
    config = configuration(UnlimitedOcrSamVisionConfig, downsample_channels=[32, 20])
    config._attn_implementation = attention
    network = UnlimitedOcrSamVisionEncoder(config)
    fill(network, ours)
    assert set(rename(network.state_dict(), NAMES)) == set(ours.state_dict())
    return network


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def test_full_size_has_the_published_tensors() -> None:
    with torch.device("meta"):
        network = SamVocabulary()
    state = network.state_dict()
    assert (len(state), sum(t.numel() for t in state.values())) == (179, 95_569_152)
    assert (network.width, network.stride, network.grid(1024, 1024)) == (1024, (64, 64), (16, 16))
    shapes = {
        "pos_embed": (1, 64, 64, 768), "patch_embed.proj.weight": (768, 3, 16, 16), "neck.0.weight": (256, 768, 1, 1),
        "blocks.0.attn.rel_pos_h": (27, 64), "blocks.11.attn.rel_pos_w": (127, 64), "neck.2.weight": (256, 256, 3, 3),
        "blocks.3.attn.qkv.bias": (2304,), "blocks.3.mlp.lin1.weight": (3072, 768), "neck.3.bias": (256,),
        "net_2.weight": (512, 256, 3, 3), "net_3.weight": (1024, 512, 3, 3),
    }  # fmt: skip
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


def test_tokens_are_those_of_got(ours, way) -> None:
    """16 x 16 patches in windows of 6 leave two rows and two columns of padding."""
    image = pixels(2, 3, 128, 128)
    with torch.no_grad():
        tokens, expected = ours(image), Got(ours)(image).flatten(2).transpose(1, 2)
    assert tokens.shape == (2, 16, 20)
    assert expected.abs().max() > 1
    assert apart(tokens, expected) <= 1e-5 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("size", [(128, 128), (64, 64), (96, 160), (160, 32), (192, 192)])
def test_tokens_of_other_sizes_are_those_of_unlimited_ocr(ours, way, size) -> None:
    image = pixels(1, 3, *size)
    with torch.no_grad():
        tokens, expected = ours(image), unlimited(ours)(image).last_hidden_state
    assert (size[0] // 32, size[1] // 32) == tuple(expected.shape[2:]) == ours.grid(*size)
    assert apart(tokens, expected.flatten(2).transpose(1, 2)) <= 1e-5 * max(1.0, float(expected.abs().max()))


def test_gradients_are_those_of_transformers(ours, way) -> None:
    image = pixels(1, 3, 128, 128)
    theirs = Got(ours)
    weight = pixels(1, 16, 20, seed=2)
    ours.zero_grad()
    (ours(image) * weight).sum().backward()
    (theirs(image).flatten(2).transpose(1, 2) * weight).sum().backward()
    expected = rename({n.removeprefix("encoder."): p.grad for n, p in theirs.named_parameters()}, NAMES)
    found = {n: p.grad for n, p in ours.named_parameters()}
    assert set(found) == set(expected)
    for name, gradient in found.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(gradient, expected[name], rtol=2e-4, atol=2e-5 * float(gradient.abs().max()))


@pytest.mark.parametrize("name", ["attend_blocks", "attend_flash"])
def test_ways_have_the_same_gradients(monkeypatch, name) -> None:
    """In float64, where only a wrong formula differs; a grid that is not square, and one query left over."""
    monkeypatch.setattr(sam, "BLOCK", 63 * 31)
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, 3, 63, n, generator=generator).double().requires_grad_() for n in (8, 8, 8, 9, 7)]
    weight = torch.randn(2, 3, 63, 8, generator=generator)
    found, expected = (
        (out := way(*inputs), *torch.autograd.grad((out * weight).sum(), inputs))
        for way in (getattr(sam, name), sam.attend_small)
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_operator_keeps_what_it_promises_to_the_compiler() -> None:
    inputs = [pixels(1, 2, 20, n, seed=n).requires_grad_() for n in (8, 8, 8, 5, 4)]
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")  # the fourth, AOT, is the compile test
    torch.library.opcheck(sam.attend_blocks, tuple(inputs), test_utils=checks)


def test_a_cpu_chooses_by_the_size_of_the_window(monkeypatch) -> None:
    chosen = []
    for name in WAYS:
        monkeypatch.setattr(sam, name, lambda q, k, v, *rel, name=name: chosen.append((name, q.shape[2])) or v)
    SamVocabulary(**SIZES)(pixels(1, 3, 192, 192))
    assert set(chosen) == {("attend_small", 36), ("attend_blocks", 576)}
    with torch.device("meta"):
        SamVocabulary(**SIZES)(torch.empty(1, 3, 128, 128))
    assert chosen[-1][0] == "attend_flash"


def test_batch_equals_single(ours, way, monkeypatch) -> None:
    images = pixels(3, 3, 96, 64)
    with torch.no_grad():
        together, alone = ours(images), torch.cat([ours(image[None]) for image in images])
        assert torch.equal(together, alone)
        monkeypatch.setattr(sam, "in_pieces", lambda x: False)  # a GPU takes batch and image whole
        assert apart(ours(images), alone) <= 1e-5 * float(alone.abs().max())


def test_gradient_checkpointing_changes_no_gradient() -> None:
    network, image = randomised(SamVocabulary(**SIZES)).train(), pixels(1, 3, 192, 192)
    gradients, runs = [], []
    network.blocks[0].register_forward_pre_hook(lambda *_: runs.append(1))
    for network.gradient_checkpointing in (False, True):
        network.zero_grad()
        network(image).square().sum().backward()
        gradients.append({n: p.grad.clone() for n, p in network.named_parameters()})
    assert len(runs) == 3  # once, then twice
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cast", ["weights", "autocast"])
def test_bfloat16_stays_near(ours, way, cast) -> None:
    image = pixels(1, 3, 128, 128)
    network = SamVocabulary(**SIZES)
    network.load_state_dict(ours.state_dict())
    with torch.no_grad():
        expected = ours(image)
        if cast == "weights":
            tokens = network.bfloat16()(image.bfloat16())
        else:
            with torch.autocast("cpu", torch.bfloat16):
                tokens = network(image)
    assert tokens.dtype == torch.bfloat16
    assert float((tokens - expected).square().mean().sqrt()) < 0.05 * float(expected.square().mean().sqrt())


@pytest.mark.slow  # that vary-toy with its SAM compiles without a break is shown in test_ecosystem.py
def test_compiles_as_one_graph() -> None:
    """Two blocks are enough, one of windows and one that takes the operator (20 x 16 patches)."""
    network, image = randomised(SamVocabulary(**SIZES | {"depth": 2})), pixels(1, 3, 160, 128)
    results = []
    for see in (network, torch.compile(network, fullgraph=True, backend="aot_eager")):
        network.zero_grad()
        tokens = see(image)
        tokens.square().sum().backward()
        results.append([tokens.detach(), *(p.grad.clone() for p in network.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(a.abs().max()))


@pytest.mark.parametrize("size", [(128, 100), (40, 128), (0, 32)])
def test_other_sizes_raise(ours, size) -> None:
    with pytest.raises(ValueError, match=f"image of {size[0]}x{size[1]} px: both sides must be multiples of 32"):
        ours(torch.zeros(1, 3, *size))
