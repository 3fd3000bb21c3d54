"""The paper's vision vocabulary against transformers' GOT-OCR2 encoder: same weights, same page, in turns.

`python benchmarks/encoder.py [--device cpu] [--threads 1] [--dtypes float32 bfloat16] [--repeats 5]` prints a table.
Share of peak: the network's FLOPs a second over those of a 4096 x 4096 matrix product of the same type, measured in
between. `--clock cpu` counts the processor's time instead of the wall's, for a machine that has other work to do.
"""

from __future__ import annotations

import argparse
import ctypes
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import GotOcr2VisionConfig
from transformers.models.got_ocr2.modeling_got_ocr2 import GotOcr2VisionEncoder

from vary.models.convert.key_tables import rename
from vary.models.convert.towers import transformers_sam
from vary.models.vocab.sam import SamVocabulary


class Theirs(nn.Module):
    """transformers' encoder and the two convolutions of its projector; a copy of our weights."""

    def __init__(self, ours: SamVocabulary):
        super().__init__()
        self.encoder, self.net_2, self.net_3 = GotOcr2VisionEncoder(GotOcr2VisionConfig()), ours.net_2, ours.net_3
        weights = ours.state_dict()
        for name, tensor in rename(self.encoder.state_dict(), transformers_sam("", "", "")).items():
            tensor.copy_(weights[name])

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        found = self.encoder(pixels_BCHW).last_hidden_state
        return self.net_3(self.net_2(found)).flatten(2).transpose(1, 2)


def flops(network: SamVocabulary, high: int, wide: int) -> dict[str, float]:
    """Floating-point operations of one forward pass by part, counted as the published network does the work."""
    sizes = network.sizes
    hidden, window, whole = sizes["hidden"], sizes["window"], len(sizes["global_blocks"])
    h, w = high // sizes["patch"], wide // sizes["patch"]
    n, padded = h * w, -(-h // window) * -(-w // window) * window**2
    windowed = sizes["depth"] - whole
    layers = [sizes["neck"], *sizes["convs"]]
    return {
        "patches": 2 * n * hidden * 3 * sizes["patch"] ** 2,
        "linear": 4 * n * sizes["depth"] * hidden * sizes["mlp"] + 8 * (whole * n + windowed * padded) * hidden**2,
        "whole image": 4 * whole * n * n * hidden + 2 * whole * n * hidden * (h + w),
        "windows": windowed * padded * hidden * (4 * window**2 + 4 * window),
        "neck": 2 * n * (hidden + 9 * layers[0]) * layers[0],
        "convs": sum(2 * (n / 4 ** (k + 1)) * 9 * layers[k] * layers[k + 1] for k in range(2)),
    }


def seconds(step: Callable[[], object], clock: Callable[[], float], device: str) -> float:
    """Of one call."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = clock()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def peak_memory(step: Callable[[], object], device: str) -> float:
    """Return the peak memory of one call in GiB, above that before it (resident on Linux, or of the GPU)."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**30
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = _status("VmRSS")
    step()
    return (_status("VmHWM") - before) / 2**20


def _status(name: str) -> int:
    return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


def passes(network: nn.Module, pixels: Tensor) -> dict[str, Callable[[], object]]:
    """What is timed."""

    def forward() -> None:
        with torch.no_grad():
            network(pixels)

    def both() -> None:
        network.zero_grad(set_to_none=True)
        network(pixels).float().square().mean().backward()

    return {"forward": forward, "forward + backward": both}


def measure(dtype: str, arguments: argparse.Namespace) -> None:
    """Rows of the table for one type."""
    torch.manual_seed(0)
    device, clock = arguments.device, time.process_time if arguments.clock == "cpu" else time.perf_counter
    kind = {"device": device, "dtype": getattr(torch, dtype)}
    ours = SamVocabulary()
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.02)
    networks = {"transformers": Theirs(ours).to(**kind).eval(), "vary": ours.to(**kind).eval()}
    pixels, matrix = torch.randn(1, 3, 1024, 1024, **kind), torch.randn(4096, 4096, **kind)
    work = sum(flops(ours, 1024, 1024).values())
    with torch.no_grad():
        tokens = [network(pixels).float() for network in networks.values()]
    apart = (tokens[0] - tokens[1]).abs().max() / tokens[0].abs().max()
    for name in arguments.passes:
        steps = {who: passes(network, pixels)[name] for who, network in networks.items()}
        memory = {who: peak_memory(step, device) for who, step in steps.items()}
        taken: dict[str, list[float]] = {"transformers": [], "vary": [], "product": []}
        for _ in range(arguments.repeats):
            for who, step in {**steps, "product": lambda: matrix @ matrix}.items():
                taken[who].append(seconds(step, clock, device))
        peak, total = 2 * 4096**3 / min(taken["product"]), work * (1 if name == "forward" else 3)
        for who in steps:
            low, middle = min(taken[who]), statistics.median(taken[who])
            gain = statistics.median(a / b for a, b in zip(taken["transformers"], taken[who], strict=True))
            print(f"| {dtype} | {name} | {who} | {middle * 1e3:,.0f} | {low * 1e3:,.0f} | {gain:.2f} | "
                  f"{total / low / peak:.0%} | {memory[who]:.2f} |", flush=True)  # fmt: skip
    print(f"\n{dtype}: tokens differ by {apart:.1e} of the largest; matrix product {peak / 1e9:,.0f} GFLOP/s\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--passes", nargs="+", default=["forward", "forward + backward"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clock", default="wall", choices=("wall", "cpu"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    parts = flops(SamVocabulary(), 1024, 1024)
    print(f"One image of 1024 x 1024: {sum(parts.values()) / 1e12:.3f} TFLOP forward, three times that with backward")
    print("(" + ", ".join(f"{name} {count / 1e9:.0f}" for name, count in parts.items()) + " GFLOP);")
    print(
        f"{arguments.device}, {arguments.threads} threads, {arguments.repeats} runs in turns, {arguments.clock} time\n"
    )
    print("| type | pass | network | median ms | min ms | speed-up | of peak | memory GiB |\n|" + "---|" * 8)
    for dtype in arguments.dtypes:
        measure(dtype, arguments)


if __name__ == "__main__":
    main()
