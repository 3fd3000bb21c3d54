"""Mix several sample sources by weight. `sample(i)` is a pure function of (recipe, seed, i).

The source of sample i is computed from i alone, without counters. So any worker can ask for any i, and resuming needs
only the next i. Weights become integer shares of a period. In every period each source occurs exactly its share, in
a random order. The mixes of the paper are in `recipes/mix-*.yaml`:

    seed: 1
    mix:
      vocabulary:            # a stage
        documents: {source: document, weight: 1000000, prompt: Provide the OCR results of this image.}
        negatives: {source: photo, weight: 120000}

Other keys of a part are settings of its source (`registry.py`). `train/loader.py` makes batches of these samples.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..io.errors import ConfigError, VaryError
from .registry import SOURCES
from .sample import Sample, Source

LONGEST = 10_000  # samples in a period; weights that would need a longer period are rounded


@dataclass(frozen=True)
class Part:
    """One source of a mix.

    weight: relative to the other parts. prompt: for samples without their own; if there are several, one is drawn per
    sample. settings: keyword settings of the source's builder in `registry.py`.
    """

    name: str
    source: str
    weight: float
    prompt: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_mix(recipe: Mapping[str, Any], stage: str | None = None, where: str = "recipe") -> list[Part]:
    """Parse the parts of one stage's mix. `stage` may be None if the recipe has only one stage."""
    mixes = recipe.get("mix")
    if not isinstance(mixes, Mapping) or not mixes:
        raise ConfigError(f"{where}: no 'mix', a mapping of stage -> part -> source, weight and settings")
    if stage is None and len(mixes) > 1:
        raise ConfigError(f"{where}: name one of the stages {', '.join(mixes)}")
    stage = stage or next(iter(mixes))
    if stage not in mixes:
        raise ConfigError(f"{where}: no stage {stage!r}; allowed: {', '.join(mixes)}")
    if not isinstance(mixes[stage], Mapping) or not mixes[stage]:
        raise ConfigError(f"{where}: mix.{stage} has no parts")
    return [_part(name, data, f"{where}: mix.{stage}.{name}") for name, data in mixes[stage].items()]


def _part(name: str, data: Any, where: str) -> Part:
    if not isinstance(data, Mapping) or "source" not in data:
        raise ConfigError(f"{where}: expected a mapping with 'source'; sources: {', '.join(SOURCES)}")
    settings = dict(data)
    source, weight, prompt = settings.pop("source"), settings.pop("weight", 1), settings.pop("prompt", ())
    if source not in SOURCES:
        raise ConfigError(f"{where}: unknown source {source!r}; allowed: {', '.join(SOURCES)}")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
        raise ConfigError(f"{where}: weight {weight!r}; allowed: a number above 0")
    prompts = (prompt,) if isinstance(prompt, str) else tuple(prompt)
    return Part(str(name), source, weight, prompts, settings)


def load_recipe(path: str | Path) -> dict[str, Any]:
    """Read a recipe from a YAML file. Raises an error that names the file if it is not a YAML mapping."""
    try:
        recipe = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(recipe, dict):
        raise ConfigError(f"{path}: expected a mapping with 'mix'")
    return recipe


class Schedule:
    """Compute which part gives sample i, and how many samples that part gave before. weights: one per part."""

    def __init__(self, weights: list[float], seed: int):
        self.seed, self.shares = seed, shares(weights)
        self.period = sum(self.shares)
        self._parts = np.repeat(np.arange(len(weights)), self.shares)
        self._last: tuple[int, np.ndarray, np.ndarray] = (-1, self._parts, self._parts)

    def at(self, i: int) -> tuple[int, int]:
        """Return (part, n): sample i is the n-th sample of that part, counted from 0."""
        turn, k = divmod(i, self.period)
        if self._last[0] != turn:
            order = np.random.default_rng((self.seed, turn)).permutation(self._parts)
            nth = np.empty(self.period, np.intp)
            nth[np.argsort(order, kind="stable")] = np.concatenate([np.arange(share) for share in self.shares])
            self._last = turn, order, nth
        _, order, nth = self._last
        part = int(order[k])
        return part, turn * self.shares[part] + int(nth[k])


def shares(weights: list[float]) -> list[int]:
    """Turn weights into positive integers of the same proportions.

    The result is exact if its sum is at most `LONGEST`. Otherwise it is rounded by the largest-remainder method.
    """
    if all(float(w).is_integer() for w in weights):
        whole = [int(w) // math.gcd(*(int(w) for w in weights)) for w in weights]
        if sum(whole) <= LONGEST:
            return whole
    exact = [w / sum(weights) * LONGEST for w in weights]
    found = [max(1, int(e)) for e in exact]
    for k in sorted(range(len(weights)), key=lambda k: (found[k] - exact[k], k))[: max(0, LONGEST - sum(found))]:
        found[k] += 1
    return found


class Mixture:
    """A mix with its sources built. Each source has its own seed, derived from the seed and the part's name."""

    def __init__(self, parts: list[Part], seed: int = 0):
        self.parts, self.seed = parts, seed
        self.sources: list[Source] = []
        for part in parts:
            own = int(np.random.SeedSequence((seed, zlib.crc32(part.name.encode()))).generate_state(1)[0])
            try:
                self.sources.append(SOURCES[part.source](dict(part.settings), own))
            except TypeError as error:  # a setting that the source does not take
                raise ConfigError(f"mix part {part.name!r} ({part.source}): {error}") from None
            except (VaryError, ValueError) as error:
                raise ConfigError(f"mix part {part.name!r} ({part.source}): {error}") from error
        self.schedule = Schedule([part.weight for part in parts], seed)

    def sample(self, i: int) -> Sample:
        """Return sample i; `meta["part"]` names its part. Errors of the source pass through."""
        which, n = self.schedule.at(i)
        part, sample = self.parts[which], self.sources[which].sample(n)
        if sample.prompt is None and part.prompt:
            choice = np.random.default_rng((self.seed, 1 << 40, i)).integers(len(part.prompt))
            sample = dataclasses.replace(sample, prompt=part.prompt[int(choice)])
        sample.meta["part"] = part.name
        return sample
