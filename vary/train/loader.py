"""Batches of a stage: make reading batches, and load any batches ahead in worker processes."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..data.sample import UNREAD, Sample, Source
from ..document.lines import FrameGrid
from ..io.errors import InputError, VaryError
from .distributed import Ranks
from .recipe import Stage
from .tasks.reading_loss import ReadingTargets, reading_targets

T = TypeVar("T")

PREFETCH = 4  # batches that each worker prepares ahead
HELD = {signal.SIGINT, signal.SIGTERM}


@contextlib.contextmanager
def iterate_batches(data: Any, stage: Stage, step: int, ranks: Ranks, workers: int) -> Iterator[Iterator[Any]]:
    """Yield an iterator over this rank's batches, from a step on. Step s has batches s * accumulate + 0, 1, ...

    Workers are killed when the context ends. Otherwise a worker that ignores one SIGTERM would keep the process alive.
    """
    parts = range(ranks.rank, stage.accumulate, ranks.world)
    numbers = (at * stage.accumulate + part for at in itertools.count(step) for part in parts)
    prefetch = PREFETCH if workers else None
    loader: Any = DataLoader(
        data, None, sampler=numbers, num_workers=workers, prefetch_factor=prefetch, worker_init_fn=ignore_signals
    )
    with _signals_held():
        batches: Any = iter(loader)
    try:
        yield batches
    finally:
        if workers:
            batches._shutdown_workers()
            for worker in batches._workers:
                worker.kill()


def ignore_signals(worker: int) -> None:
    """Ignore SIGINT and the first SIGTERM in a DataLoader worker, so the trainer can finish its step and save.

    A second SIGTERM ends the worker. Python sends one when the trainer exits.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Hold signals back while processes are forked; they hold them until `ignore_signals`.

    Otherwise a SIGTERM to the whole group would end a worker that is just starting, and the run with an error.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass
class ReadingBatch:
    """Page images (B, 1, H, W) uint8, the samples they come from, and the reading head's targets."""

    images: Tensor
    samples: list[Sample]
    targets: ReadingTargets


class ReadingData(Dataset[Any]):
    """Batches of pages for the reading head. Item k is drawn from one of several sources.

    Args:
        sources: One per view; each gives pages of one size.
        batches: Pages in a batch, for each source.
        weights: How often each source is drawn, relative to the others.
        seed: Seed of the draw.
        frame_grid: Where the head's frames lie and what they spell.
    """

    def __init__(
        self, sources: list[Source], batches: list[int], weights: list[float], seed: int, frame_grid: FrameGrid
    ):
        self.sources, self.batches, self.seed, self.frame_grid = sources, batches, seed, frame_grid
        self.weights = np.array(weights) / sum(weights)

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, k: int) -> ReadingBatch:
        rng = np.random.default_rng((self.seed, 7, k))
        which = int(rng.choice(len(self.sources), p=self.weights))
        source, count = self.sources[which], self.batches[which]
        samples = [source.sample(k * count + n) for n in range(count)]
        images = torch.from_numpy(np.stack([s.image for s in samples]))[:, None]
        unread = [(n, r.box) for n, s in enumerate(samples) for r in s.regions if r.label == UNREAD]
        targets = reading_targets([s.lines for s in samples], samples[0].image.shape, self.frame_grid, unread)
        return ReadingBatch(images, samples, targets)


def next_batch(batches: Iterator[Any]) -> Any:
    """Take a batch from a DataLoader's iterator.

    A worker that is killed while it sends a batch closes its socket. Raise PyTorch's error for a dead worker then.
    PyTorch puts a traceback into the message of a worker's error. Of an error of the user only its own line is kept.
    """
    try:
        return next(batches)
    except VaryError as error:
        own = str(error).strip().splitlines()[-1].partition(f"{type(error).__name__}: ")[2]
        raise (type(error)(own) if own else error) from None
    except (EOFError, ConnectionError) as error:
        raise RuntimeError(f"DataLoader worker closed its connection ({type(error).__name__})") from None


def call_in_child(make: Callable[[], T]) -> T:
    """Call a function in a forked process and return its result. Where processes start anew, call it here."""
    if multiprocessing.get_start_method() != "fork":
        return make()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe()
    process = context.Process(target=_send_result, args=(sender, make))
    with _signals_held():
        process.start()
    sender.close()
    try:
        failed, found = receiver.recv()
        receiver.send(None)
    except (EOFError, ConnectionError):
        process.join()
        raise InputError(f"the process that draws held-out samples died (exit code {process.exitcode})") from None
    process.join()
    if failed:
        raise found
    return found


def _send_result(sender: Connection, make: Callable[[], Any]) -> None:
    ignore_signals(0)
    torch.set_num_threads(1)  # the threads of OpenMP do not survive a fork either
    try:
        result = False, make()
    except Exception as error:
        result = True, error
    sender.send(result)
    sender.recv()  # tensors are shared until the other side has them
