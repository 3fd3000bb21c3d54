"""The `Task` protocol: what the training loop asks of a task, and what a task is built from.

A task is built as `Kind(model, stage, context, state)`. Item k of its `data` is batch k of the stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from ...data.corpus.download import Corpus
from ...data.corpus.text import TextSource
from ...data.pages.glyphs import Face, english_faces
from ..loader import call_in_child

T = TypeVar("T")
SAMPLES = {  # letters that the faces of a text have
    "european": "żčőșğļùệơДжщєћΨωή",
    "latin": "żčőșğļđùệơ",
    "greek-cyrillic": "ДжщєΨω",
}
HELD_OUT_SEED = 987_654  # for evaluation samples; training seeds are small numbers


@dataclass(frozen=True)
class TextAssets:
    """Text and fonts for rendered pages: training text, held-out text and font faces."""

    text: TextSource
    held_out: TextSource
    faces: list[Face]

    @classmethod
    def english(cls) -> TextAssets:
        """Load the English corpus and fonts. Download them first if the cache does not hold them."""
        train, test = (TextSource(Corpus.english(part)) for part in ("train", "test"))
        return cls(train, test, english_faces())

    @classmethod
    def of_languages(cls, name: str, alphabet: str) -> TextAssets:
        """Load texts of `download.PACKAGES[name]` and the faces that have their letters. Download them if needed."""
        train, test = (TextSource(Corpus.of_languages(name, part), alphabet) for part in ("train", "test"))
        return cls(train, test, [face for face in english_faces() if face.has(SAMPLES[name])])


@dataclass
class TaskContext:
    """The run that a task belongs to.

    Args:
        seed: Seed of the run.
        index: Number of the stage, from 0.
        device: Device that trains.
        processor: Processor of the model. None for models that only read lines.
        given: Text and fonts to use instead of the English ones.
        workers: Number of data workers, which are forked from this process.
        alphabet: Characters of the model's reading head.
    """

    seed: int
    index: int
    device: torch.device
    processor: Any = None
    given: TextAssets | None = None
    workers: int = 0
    alphabet: str = ""
    _loaded: dict[str, TextAssets] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def assets(self) -> TextAssets:
        """Text and fonts. The English ones are loaded on first use."""
        return self.assets_of("english")

    def assets_of(self, text: str) -> TextAssets:
        """Return the text and fonts that a view names in `text`. They are loaded on first use."""
        if text not in self._loaded:
            self._loaded[text] = self.given or (
                TextAssets.english() if text == "english" else TextAssets.of_languages(text, self.alphabet)
            )
        return self._loaded[text]

    def draw(self, make: Callable[[], T]) -> T:
        """Call a function that draws held-out samples, in a process of its own where data workers are forked.

        Typst keeps threads that do not survive a fork. Had it run in the trainer, the workers of the next stage would
        wait for them without end.
        """
        return call_in_child(make) if self.workers else make()


class Task(Protocol):
    """A training task: batches, losses and held-out measures.

    Attributes:
        names: Names of the losses.
        metrics: Numbers to log with the losses, of the latest batch.
        data: Dataset; item k is batch k.
    """

    names: tuple[str, ...]
    metrics: dict[str, Any]
    data: Any

    def losses(self, batch: Any) -> tuple[dict[str, Tensor], float]:
        """Compute each loss of a batch, and the weight of the batch. The weight is 0 if it holds no label."""
        ...

    def size(self, batch: Any) -> tuple[int, int, list[str]]:
        """Count the samples and tokens of a batch, and list why samples were skipped."""
        ...

    def labels(self, batch: Any) -> int:
        """Count what a batch teaches that is text; the end of a text alone is none."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Measure on held-out samples. They are the same at every call."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold of the task."""
        ...
