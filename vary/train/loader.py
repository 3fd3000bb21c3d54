"""Batches of a stage, made ahead by worker processes, which end with it."""

from __future__ import annotations

import contextlib
import itertools
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..data.sample import UNREAD, Sample, Source
from ..document.lines import FrameGrid
from .distributed import Ranks
from .reading_loss import ReadingTargets, reading_targets
from .recipe import Stage

AHEAD = 4  # batches that a worker prepares


@contextlib.contextmanager
def batches_of(data: Any, stage: Stage, step: int, ranks: Ranks, workers: int) -> Iterator[Iterator[Any]]:
    """This rank's batches from a step on; those of a step are step * accumulate + 0, 1, ...

    The workers are ended on leaving and not when the iterator happens to be collected: a process that ends with one of
    them alive sends it a single SIGTERM, which it does not hear, and waits for it for ever.
    """
    parts = range(ranks.rank, stage.accumulate, ranks.world)
    numbers = (at * stage.accumulate + part for at in itertools.count(step) for part in parts)
    ahead = AHEAD if workers else None
    made: Any = iter(
        DataLoader(data, None, sampler=numbers, num_workers=workers, prefetch_factor=ahead, worker_init_fn=deaf)
    )
    try:
        yield made
    finally:
        if workers:
            made._shutdown_workers()
            for worker in made._workers:
                worker.kill()


def deaf(worker: int) -> None:
    """Workers leave signals to the process that started them; its second SIGTERM, sent at its own end, ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))


@dataclass
class Batch:
    """images (B, 1, H, W) uint8 and what is to be learnt from them."""

    images: Tensor
    samples: list[Sample]
    targets: ReadingTargets


class StageData(Dataset):
    """`self[step]` is the batch of that step; the indices of its samples are step * batch + 0, 1, ..."""

    def __init__(
        self,
        sources: list[Source],
        batches: list[int],
        weights: list[float],
        seed: int,
        frame_grid: FrameGrid,
    ):
        self.sources, self.batches, self.seed, self.frame_grid = sources, batches, seed, frame_grid
        self.weights = np.array(weights) / sum(weights)

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng((self.seed, 7, step))
        which = int(rng.choice(len(self.sources), p=self.weights))
        source, count = self.sources[which], self.batches[which]
        samples = [source.sample(step * count + k) for k in range(count)]
        images = torch.from_numpy(np.stack([s.image for s in samples]))[:, None]
        unread = [(k, r.box) for k, s in enumerate(samples) for r in s.regions if r.label == UNREAD]
        targets = reading_targets([s.lines for s in samples], samples[0].image.shape, self.frame_grid, unread)
        return Batch(images, samples, targets)
