"""Data-parallel training: this process's rank, sums over ranks, and FSDP2 sharding.

`torchrun` or `accelerate launch` starts the processes and sets RANK and WORLD_SIZE. Each rank works on its share of a
step's micro-batches. Gradients are summed once, after the last micro-batch. So a step means the same on any number of
ranks. A language model that is too large for one device is sharded over all ranks (FSDP2, arXiv 2304.11277). Its
weights, gradients, optimizer state and averages are then `DTensor`s. All other parameters are whole on every rank.
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
from ..reading.engines.torch import number_format


@dataclass(frozen=True)
class Ranks:
    """The rank of this process, the number of processes, and the device of this one."""

    rank: int
    world: int
    device: torch.device

    @classmethod
    def join(cls) -> Ranks:
        """Join the process group that the environment describes, if there is one."""
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
        """Whether this is rank 0, which writes files and logs."""
        return self.rank == 0

    def all_reduce(self, numbers: list[float]) -> list[float]:
        """Sum each number over all ranks."""
        if self.world == 1:
            return numbers
        summed = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.all_reduce(summed)
        return summed.tolist()

    def shard(self, model: nn.Module, layers: list[nn.Module], ignored: set[nn.Parameter]) -> None:
        """Shard a model over the ranks: each of `layers` by itself, the rest together, `ignored` not at all.

        Raises:
            ConfigError: This PyTorch cannot sum gradients of shards.
        """
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, fully_shard

        if not hasattr(FSDPModule, "set_force_sum_reduction_for_comms"):
            raise ConfigError("shard needs torch 2.9 or newer")
        mesh = init_device_mesh(self.device.type, (self.world,))
        for layer in layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh, ignored_params=ignored)
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)

    def all_reduce_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum the gradients of unsharded parameters over all ranks. A parameter that no rank used keeps None."""
        if self.world == 1:
            return
        trained = [p for p in parameters if not isinstance(p, DTensor)]
        used = self.all_reduce([float(p.grad is not None) for p in trained])
        for parameter, count in zip(trained, used, strict=True):
            if count:
                gradient: Tensor = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
                dist.all_reduce(gradient)
                parameter.grad = gradient

    def total_norm(self, gradients: list[Tensor]) -> float:
        """Return the L2 norm of all gradients as one vector."""
        sharded = [g for g in gradients if isinstance(g, DTensor)]
        norm = float(torch.nn.utils.get_total_norm([g for g in gradients if not isinstance(g, DTensor)]))
        if not sharded:
            return norm
        own = float(torch.nn.utils.get_total_norm([local_shard(g) for g in sharded]))
        return float((norm**2 + self.all_reduce([own**2])[0]) ** 0.5)

    def gather(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Gather whole tensors on rank 0; other ranks get none. All ranks must call it."""
        found: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            full = tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor
            found |= {name: full} if self.first else {}
        return found

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value on every rank."""
        if self.world == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, device=self.device)
        return values[0]


def local_shard(tensor: Tensor) -> Tensor:
    """Return this rank's part of a tensor. It is the whole tensor if that is not sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def distribute_like(tensor: Tensor, like: Tensor) -> Tensor:
    """Move a whole tensor to the device of `like`, and shard it as `like` if their shapes agree.

    All ranks must call it.
    """
    tensor = tensor.to(like.device)
    if not isinstance(like, DTensor) or isinstance(tensor, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor, like.device_mesh, like.placements)


def fast_bf16(device: torch.device) -> bool:
    """Return whether the device has matrix units for bfloat16.

    Other CPUs compute it slower than float32: with AVX512-BF16 alone, convolutions forward and backward took 1.45 times
    as long (Intel Xeon, 2026-11-30).
    """
    if device.type == "cpu":
        return bool(torch.cpu._is_amx_tile_supported())
    return number_format(device) == torch.bfloat16
