"""Batches of a stage: `batch(step)` is a pure function of (seed, step), whatever the number of workers.

A step draws one view (a shape of page or crop) and renders `batch` samples of it. The view's own counter runs on with
the step, so resuming is setting the step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..reading import Lattice, ReadingTargets, reading_targets
from .mixture import Source
from .sample import UNREAD, Sample


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
        lattice: Lattice,
    ):
        self.sources, self.batches, self.seed, self.lattice = sources, batches, seed, lattice
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
        targets = reading_targets([s.lines for s in samples], samples[0].image.shape, self.lattice, unread)
        return Batch(images, samples, targets)
