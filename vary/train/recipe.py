"""Recipes: YAML files that name a model and its stages: what is trainable, on which data, at which rate."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..io.errors import ConfigError
from ..models.hub import weights_dir

SHIPPED = "shipped:"  # before the name of a model whose weights are in this package


@dataclass(frozen=True, kw_only=True)
class View:
    """One shape of batch: pages of height x width px, `batch` of them, with `PageSource`'s other settings.

    pdfs: crops of these PDF files, folders or packages (`CropSource`) instead of rendered pages; of the other settings
    they take sizes_px and degraded.
    """

    height: int
    width: int
    batch: int
    weight: float = 1.0
    sizes_px: tuple[float, float] = (10.0, 34.0)
    degraded: float = 0.5
    text_style: str = "mixed"
    max_lines: int | None = None
    pdfs: tuple[str, ...] = ()

    def settings(self) -> dict[str, Any]:
        """What the view's source takes."""
        shared = ("height", "width", "sizes_px", "degraded")
        return {name: getattr(self, name) for name in shared + (() if self.pdfs else ("text_style", "max_lines"))}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What one stage trains on what, and how fast.

    task: `read` (the head spells rows), `write` (the decoder spells strips of 1..max_lines lines) or `answer` (the
    language model answers about images). trainable: beginnings of parameter names; all else is frozen.
    views: pages of `read` and `write`. mix: for `answer`, a recipe of data that has a mix of this stage's name, or a
    folder of rendered shards; batch: samples at a time; max_tokens: where a longer sample is cut; pack: several
    samples in one row of that length. accumulate: batches of a step, over all ranks together.
    lr: peak rate; rates: factor for names that begin so; layer_decay: factor for every layer below the top; optimizer,
    schedule: `adamw` or `muon`, a name of `optim.SCHEDULES`; warmup and decay are shares of the stage's steps, floor of
    the peak rate. clip: largest norm of the gradient, 0 for any. losses: weight of each loss.
    corrupt: share of wrong input characters in `write`. lines: of a strip, the next entry as soon as the running
    accuracy passes advance_at; one entry is no curriculum.
    """

    name: str
    task: str
    steps: int
    lr: float
    trainable: tuple[str, ...]
    views: tuple[View, ...] = ()
    mix: str = ""
    batch: int = 1
    max_tokens: int = 4096
    pack: bool = False
    accumulate: int = 1
    optimizer: str = "adamw"
    betas: tuple[float, float] = (0.9, 0.98)
    rates: dict[str, float] = field(default_factory=dict)
    layer_decay: float = 1.0
    schedule: str = "trapezoid"
    warmup: float = 0.02
    decay: float = 0.25
    floor: float = 0.02
    weight_decay: float = 0.02
    clip: float = 1.0
    losses: dict[str, float] = field(default_factory=dict)
    corrupt: float = 0.2
    lines: tuple[int, ...] = (1, 2, 4, 8)
    advance_at: float = 0.95

    def __post_init__(self) -> None:
        for key, value, allowed in (
            ("task", self.task, ("read", "write", "answer")),
            ("optimizer", self.optimizer, ("adamw", "muon")),
            ("schedule", self.schedule, ("trapezoid", "cosine", "constant")),
        ):
            if value not in allowed:
                raise ConfigError(f"stage {self.name!r}: {key} {value!r}; allowed: {', '.join(allowed)}")
        if (self.task == "answer") == (not self.mix) or (self.task != "answer") == (not self.views):
            raise ConfigError(f"stage {self.name!r}: `answer` learns from a mix, `read` and `write` from views")
        if not self.lines or any(not isinstance(n, int) or n < 1 for n in self.lines):
            raise ConfigError(f"stage {self.name!r}: lines {list(self.lines)}; allowed: whole numbers from 1")


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Adapters in the language model (arXiv 2106.09685). targets: names of linear layers, or `all-linear`. bits: 8 or 4
    hold the weights under the adapters in so many (QLoRA's idea, arXiv 2305.14314); 0 leaves them.
    """

    r: int = 16
    alpha: int = 32
    dropout: float = 0.05
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    bits: int = 0

    def __post_init__(self) -> None:
        if self.bits not in (0, 4, 8):
            raise ConfigError(f"lora: bits {self.bits}; allowed: 0, 4, 8")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """model: a named model, with random weights; a folder of one; or `shipped:NAME`, the weights in this package.
    out: folder of the run.

    ema: decay of averaged weights, which each next stage and the export take; 0 keeps none. eval_every, save_every,
    log_every: steps. keep: checkpoints that stay. most_skipped: steps in a row whose gradient may be not finite.
    precision: `bf16` (autocast) or `float32`. hold: type of the weights that no stage trains. checkpointing: compute
    activations twice instead of keeping them. compile: layers by `torch.compile`. shard: spread a language model that
    is trained whole over all ranks.
    """

    model: str
    stages: tuple[Stage, ...]
    out: str
    seed: int = 1
    ema: float = 0.998
    eval_every: int = 250
    save_every: int = 250
    log_every: int = 20
    keep: int = 2
    most_skipped: int = 20
    workers: int = 1
    precision: str = "bf16"
    hold: str = "float32"
    checkpointing: bool = False
    compile: bool = False
    shard: bool = False
    lora: Lora | None = None

    def __post_init__(self) -> None:
        for key, value, allowed in (
            ("precision", self.precision, ("bf16", "float32")),
            ("hold", self.hold, ("bfloat16", "float32")),
        ):
            if value not in allowed:
                raise ConfigError(f"{key} {value!r}; allowed: {', '.join(allowed)}")
        if self.hold == "bfloat16" and self.precision != "bf16":
            raise ConfigError("hold bfloat16 needs precision bf16")
        whole = all("language_model".startswith(s.trainable) for s in self.stages) and not self.lora
        if self.shard and not (whole and all((s.task, s.optimizer) == ("answer", "adamw") for s in self.stages)):
            raise ConfigError(
                "shard: allowed without lora, where every stage trains language_model to answer, by adamw"
            )

    @classmethod
    def load(cls, path: str | Path, changes: list[str] | None = None) -> Recipe:
        """Read a recipe; `changes` are `key=value` pairs such as `stages.0.steps=10`. Raises ValueError."""
        try:
            data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
        for change in changes or []:
            _apply(data, change)
        name = data.get("model") if isinstance(data, dict) else None
        if isinstance(name, str) and name.startswith(SHIPPED):
            data["model"] = str(weights_dir(name.removeprefix(SHIPPED)))
        return _build(cls, data, str(path))


def _apply(data: Any, change: str) -> None:
    key, found, value = change.partition("=")
    if not found:
        raise ConfigError(f"--set {change}: expected key=value")
    *path, last = key.split(".")
    try:
        for part in path:
            data = data[int(part)] if isinstance(data, list) else data[part]
        data[int(last) if isinstance(data, list) else last] = yaml.safe_load(value)
    except (KeyError, IndexError, TypeError, ValueError):
        raise ConfigError(f"--set {change}: the recipe has no such place") from None


def _build(kind: type, data: Any, where: str) -> Any:
    """A frozen dataclass from a mapping; unknown and missing keys are errors that name the place."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected a mapping, got {type(data).__name__}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key in data:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; allowed: {', '.join(fields)}"
            raise ConfigError(f"{where}: unknown key {key!r}{hint}")
    values = dict(data)
    if "stages" in values and kind is Recipe:
        values["stages"] = tuple(_build(Stage, s, f"{where}: stages.{k}") for k, s in enumerate(values["stages"]))
    if "views" in values:
        values["views"] = tuple(_build(View, v, f"{where}: views.{k}") for k, v in enumerate(values["views"]))
    if values.get("lora") is not None and kind is Recipe:
        values["lora"] = _build(Lora, values["lora"], f"{where}: lora")
    for name in ("trainable", "sizes_px", "betas", "targets", "lines", "pdfs"):
        if name in values:
            values[name] = (values[name],) if isinstance(values[name], str) else tuple(values[name])
    try:  # YAML takes 2e-3 for text
        values |= {k: float(v) for k, v in values.items() if fields[k].type == "float" and isinstance(v, str)}
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None
