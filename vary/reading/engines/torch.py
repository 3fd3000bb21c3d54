"""Run a reader's network and its decoder with PyTorch: on a GPU, on a CPU, or for a model without their ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...models.heads.reading import Context, vocabulary_index
from ...models.hub import read_config
from ...models.vocab import Vocabulary, build_vocabulary
from .weights import load_tensors

if TYPE_CHECKING:
    from ...models.generate.strips import Characters
    from ...models.modeling import VaryForConditionalGeneration


class TorchEngine:
    """The reading vocabulary of a model as a PyTorch module, in float32 on CPUs and bfloat16 on GPUs that have it."""

    name = "torch"

    def __init__(
        self, vocabulary: Vocabulary, device: str | torch.device = "cpu", context: torch.nn.Module | None = None
    ):
        self.device, self.stride = torch.device(device), (vocabulary.stride[0], vocabulary.stride[1])
        self.vocabulary = vocabulary.for_inference().to(self.device)
        self.context = None if context is None else context.to(self.device)
        self.dtype = number_format(self.device)

    @torch.inference_mode()
    def features(self, pixels_HW: np.ndarray) -> np.ndarray:
        """See `Engine.features`."""
        pixels_BCHW = torch.from_numpy(np.ascontiguousarray(pixels_HW))[None, None].to(self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            tokens_BND = self.vocabulary(pixels_BCHW)
            grid = self.vocabulary.grid(*pixels_HW.shape)
            if self.context is not None:
                read_BDRK = self.context(tokens_BND.transpose(1, 2).unflatten(2, grid))
                tokens_BND = torch.cat([tokens_BND, read_BDRK.flatten(2).transpose(1, 2)], -1)
        return tokens_BND[0].float().cpu().numpy().reshape(*grid, -1)


class TorchLines:
    """The decoder of a model that rescores lines. See `strips.LineScorer`."""

    def __init__(self, model: VaryForConditionalGeneration):
        from ...models.generate.strip_decoder import StripConnector, StripDecoder, StripScorer, posterior_classes

        self.characters: Characters = StripDecoder(model)
        self.window: tuple[int, int] = model.window
        self.stride, self.posteriors = model.reading_vocabulary.stride, posterior_classes(model)
        self.device, self._connector, self._scorer = model.device, StripConnector(model), StripScorer(model)
        self.dtype = number_format(self.device)

    def connect(self, cells_ShwD: np.ndarray) -> np.ndarray:
        """See `LineScorer.connect`."""
        return self._run(self._connector, cells_ShwD)

    def logits(self, *inputs: np.ndarray) -> np.ndarray:
        """See `LineScorer.logits`."""
        return self._run(self._scorer, *inputs)

    @torch.inference_mode()
    def _run(self, module: torch.nn.Module, *inputs: np.ndarray) -> np.ndarray:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            found: torch.Tensor = module(*(torch.from_numpy(one).to(self.device) for one in inputs))
        return found.float().cpu().numpy()


def number_format(device: torch.device) -> torch.dtype:
    """Return the floating-point type to compute in. On CPUs it is float32, so that all of them read the same."""
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def open_network(folder: Path, threads: int, device: str = "cpu") -> TorchEngine:
    """Open the reading vocabulary of the model in a folder, in float32."""
    torch.set_num_threads(threads)
    config = read_config(folder)
    index = vocabulary_index(config["reading"])
    with torch.device("meta"):  # saves the time of random weights, which are replaced at once
        vocabulary = build_vocabulary(**config["vocabularies"][index])
    tensors = load_tensors(folder, f"vocabularies.{index}.", "pt")
    floats = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    vocabulary.load_state_dict(floats, strict=True, assign=True)
    return TorchEngine(vocabulary.eval(), device, _context(folder, vocabulary.width, config["reading"]))


def _context(folder: Path, width: int, reading: dict[str, Any]) -> torch.nn.Module | None:
    """Return the layers by which the reading head of a model folder sees neighbouring cells, if it has them."""
    if not reading.get("context"):
        return None
    context = Context(width, reading["context"])
    context.load_state_dict({k: v.float() for k, v in load_tensors(folder, "reading_head.context.", "pt").items()})
    return context.eval()
