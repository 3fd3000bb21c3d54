"""Recipes: YAML files that name a model and its stages: what is trainable, on which data, at which rate."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, kw_only=True)
class View:
    """One shape of batch: pages of height x width px, `batch` of them, with `PageSource`'s other settings."""

    height: int
    width: int
    batch: int
    weight: float = 1.0
    sizes_px: tuple[float, float] = (10.0, 34.0)
    degraded: float = 0.5
    text_style: str = "mixed"
    max_lines: int | None = None

    def page_settings(self) -> dict[str, Any]:
        """What `PageSource` takes."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("batch", "weight")}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """trainable: module names of the model, all else is frozen. task: `read` (the head spells rows) or `write` (the
    decoder spells strips of 1..max_lines lines). lr: peak rate; warmup and decay are shares of the stage's steps.
    losses: weight of each loss. advance_at: teacher-forced accuracy at which `write` moves on to more lines.
    """

    name: str
    task: str
    steps: int
    lr: float
    views: tuple[View, ...]
    trainable: tuple[str, ...]
    losses: dict[str, float] = field(default_factory=dict)
    warmup: float = 0.02
    decay: float = 0.25
    weight_decay: float = 0.02
    clip: float = 1.0
    corrupt: float = 0.2
    advance_at: float = 0.95


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """model: preset name. out: folder of the run. eval_every and save_every: steps. ema: decay of averaged weights."""

    model: str
    stages: tuple[Stage, ...]
    out: str
    seed: int = 1
    ema: float = 0.998
    eval_every: int = 250
    save_every: int = 250
    workers: int = 1

    @classmethod
    def load(cls, path: str | Path, changes: list[str] | None = None) -> Recipe:
        """Read a recipe; `changes` are `key=value` pairs such as `stages.0.steps=10`. Raises ValueError."""
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        for change in changes or []:
            _apply(data, change)
        return _build(cls, data, str(path))


def _apply(data: Any, change: str) -> None:
    key, found, value = change.partition("=")
    if not found:
        raise ValueError(f"--set {change}: expected key=value")
    *path, last = key.split(".")
    for part in path:
        data = data[int(part)] if isinstance(data, list) else data[part]
    data[int(last) if isinstance(data, list) else last] = yaml.safe_load(value)


def _build(kind: type, data: Any, where: str) -> Any:
    """A frozen dataclass from a mapping; unknown and missing keys are errors that name the place."""
    if not isinstance(data, dict):
        raise ValueError(f"{where}: expected a mapping, got {type(data).__name__}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key in data:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; allowed: {', '.join(fields)}"
            raise ValueError(f"{where}: unknown key {key!r}{hint}")
    values = dict(data)
    if "stages" in values and kind is Recipe:
        values["stages"] = tuple(_build(Stage, s, f"{where}: stages.{k}") for k, s in enumerate(values["stages"]))
    if "views" in values:
        values["views"] = tuple(_build(View, v, f"{where}: views.{k}") for k, v in enumerate(values["views"]))
    for name in ("trainable", "sizes_px"):
        if name in values:
            values[name] = tuple(values[name])
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from None
