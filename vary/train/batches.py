"""Batches of a stage, made ahead by worker processes, which end with it."""

from __future__ import annotations

import contextlib
import itertools
import signal
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from .ranks import Ranks
from .stages import Stage

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
