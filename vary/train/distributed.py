"""Several processes that train one model: each works through its share of a step's micro-batches, and they add up.

Started by `torchrun` or `accelerate launch`, which set RANK and WORLD_SIZE. Gradients are summed once a step, behind
the last micro-batch, so a step means the same on one rank and on many. A language model that one device does not hold
is spread over all (FSDP2, arXiv 2304.11277): its weights, gradients, moments and averages are `DTensor`s then, of which
a rank has a share, and its gradients are summed where they arise. All else stays whole on every rank.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from ..io.errors import ConfigError


@dataclass(frozen=True)
class Ranks:
    """This process among the others. device: where it computes."""

    rank: int
    world: int
    device: torch.device

    @classmethod
    def join(cls) -> Ranks:
        """Meet the others, if there are any."""
        rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        cuda = torch.cuda.is_available()
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(device)
        if world > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if cuda else "gloo")
        return cls(rank, world, device)

    @property
    def first(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.rank == 0

    def add(self, numbers: list[float]) -> list[float]:
        """Sums over all ranks."""
        if self.world == 1:
            return numbers
        summed = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.all_reduce(summed)
        return summed.tolist()

    def shard(self, model: nn.Module, layers: list[nn.Module], apart: set[nn.Parameter]) -> None:
        """Spread a model over the ranks, each of `layers` gathered when it is its turn, the rest but `apart` once.

        Raises ValueError in a PyTorch that cannot sum gradients so.
        """
        from torch.distributed.fsdp import FSDPModule, fully_shard

        if not hasattr(FSDPModule, "set_force_sum_reduction_for_comms"):
            raise ConfigError("shard needs torch 2.9 or newer")
        mesh = dist.init_device_mesh(self.device.type, (self.world,))
        for layer in layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh, ignored_params=apart)
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum gradients of whole parameters over all ranks; a parameter that no rank used keeps none."""
        if self.world == 1:
            return
        trained = [p for p in parameters if not isinstance(p, DTensor)]
        used = self.add([float(p.grad is not None) for p in trained])
        for parameter, count in zip(trained, used, strict=True):
            if count:
                gradient: Tensor = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
                dist.all_reduce(gradient)
                parameter.grad = gradient

    def norm(self, gradients: list[Tensor]) -> float:
        """Length of summed gradients, all of them as one vector."""
        spread = [g for g in gradients if isinstance(g, DTensor)]
        length = float(torch.nn.utils.get_total_norm([g for g in gradients if not isinstance(g, DTensor)]))
        if not spread:
            return length
        shares = float(torch.nn.utils.get_total_norm([held(g) for g in spread]))
        return float((length**2 + self.add([shares**2])[0]) ** 0.5)

    def whole(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors with what other ranks hold of them, on the first rank. All must ask."""
        found: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            full = tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor
            found |= {name: full} if self.first else {}
        return found

    def tell(self, value: Any) -> Any:
        """The first rank's value, on every rank."""
        if self.world == 1:
            return value
        told = [value]
        dist.broadcast_object_list(told, device=self.device)
        return told[0]


def held(tensor: Tensor) -> Tensor:
    """What this rank holds of a tensor: all, or its share."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def laid_out(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor as `like` is: on its device and, if it is of its shape, spread as it is. All ranks must ask."""
    tensor = tensor.to(like.device)
    if not isinstance(like, DTensor) or isinstance(tensor, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor, like.device_mesh, like.placements)
