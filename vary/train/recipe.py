"""Load training recipes from YAML: a model and its stages, with data, trainable parameters and learning rates."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..io.errors import ConfigError, check_keys
from ..models.hub import weights_dir

SHIPPED = "shipped:"  # prefix of models whose weights are in this package
TEXTS = ("english", "european", "latin", "greek-cyrillic")
OTHER_FILES = {"arms": "a bench, for `vary bench`", "mix": "a mix, which the stages of a recipe name"}  # by their keys


@dataclass(frozen=True, kw_only=True)
class View:
    """One shape of batch: `batch` pages of height x width px, and the settings of their source.

    Args:
        weight: How often this view is drawn, relative to the others.
        sizes_px, degraded, italic, text_style, max_lines: Settings of `PageSource`.
        pdfs: PDF files, folders or packages. Their crops (`CropSource`) replace rendered pages; they use `sizes_px`
            and `degraded` only.
        text: Text and fonts of rendered pages: `english`, `european` for 27 languages in Latin, Greek and Cyrillic
            letters, or part of them, for which there are more fonts: `latin`, `greek-cyrillic`.
    """

    height: int
    width: int
    batch: int
    weight: float = 1.0
    sizes_px: tuple[float, float] = (10.0, 34.0)
    degraded: float = 0.5
    italic: float = 0.08
    text_style: str = "mixed"
    max_lines: int | None = None
    pdfs: tuple[str, ...] = ()
    text: str = "english"

    def __post_init__(self) -> None:
        if self.text not in TEXTS:
            raise ConfigError(f"a view's text {self.text!r}; allowed: {', '.join(TEXTS)}")

    def settings(self) -> dict[str, Any]:
        """Return the arguments of the view's source."""
        shared = ("height", "width", "sizes_px", "degraded")
        return {n: getattr(self, n) for n in shared + (() if self.pdfs else ("italic", "text_style", "max_lines"))}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of training: task, data, trainable parameters and optimizer settings.

    Args:
        task: `read` (the head reads lines), `write` (the decoder writes strips of lines), `glyphs` (the glyph head
            finds glyphs in drawn formulas), `formula` (the symbols decoder writes LaTeX from glyphs) or `answer` (the
            language model answers about images).
        trainable: Prefixes of parameter names. All other parameters are frozen.
        views: Pages of `read` and `write`.
        mix: For `answer`: a data recipe that has a mix of this stage's name, or a folder of rendered shards.
        formulas: For `formula` and `glyphs`: packages that hold real formulas (`corpus.formulas`).
        longest: Most steps of a formula.
        found: For `formula`: share of formulas that are drawn, with the glyphs that the model's glyph head finds.
        batch: Samples in a batch of `answer`, `formula` and `glyphs`.
        max_tokens: Longer samples are cut to this length.
        pack: Put several samples into one row of `max_tokens`.
        accumulate: Batches per step, over all ranks together.
        optimizer: `adamw` or `muon`.
        lr: Peak learning rate.
        rates: Factor of the rate by prefix of parameter names.
        layer_decay: Factor of the rate for every layer below the top.
        schedule: A name of `optim.SCHEDULES`.
        warmup, decay: Shares of the stage's steps.
        floor: Lowest rate, as a share of `lr`.
        clip: Largest norm of the gradient. 0 does not clip.
        losses: Weight of each loss.
        z_loss: Weight of the squared logarithm of the softmax's denominator in `answer` (arXiv 2204.02311).
        noise: NEFTune's alpha: uniform noise on the embeddings of words in `answer` (arXiv 2310.05914).
        corrupt: Share of wrong input characters in `write`.
        lines: Lines in a strip of `write`. The next entry begins when the running accuracy passes `advance_at`.
    """

    name: str
    task: str
    steps: int
    lr: float
    trainable: tuple[str, ...]
    views: tuple[View, ...] = ()
    mix: str = ""
    formulas: tuple[str, ...] = ()
    longest: int = 152
    found: float = 0.0
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
    z_loss: float = 0.0
    noise: float = 0.0
    corrupt: float = 0.2
    lines: tuple[int, ...] = (1, 2, 4, 8)
    advance_at: float = 0.95

    def __post_init__(self) -> None:
        for key, value, allowed in (
            ("task", self.task, ("read", "write", "answer", "formula", "glyphs")),
            ("optimizer", self.optimizer, ("adamw", "muon")),
            ("schedule", self.schedule, ("trapezoid", "cosine", "constant")),
        ):
            if value not in allowed:
                raise ConfigError(f"stage {self.name!r}: {key} {value!r}; allowed: {', '.join(allowed)}")
        given = tuple(name for name in ("mix", "formulas", "views") if getattr(self, name))
        if given != ({"answer": "mix", "formula": "formulas", "glyphs": "formulas"}.get(self.task, "views"),):
            kinds = "`answer` learns from a mix, `formula` and `glyphs` from formulas, `read` and `write` from views"
            raise ConfigError(f"stage {self.name!r}: {kinds}")
        if not 0 <= self.found <= 1:
            raise ConfigError(f"stage {self.name!r}: found {self.found}; allowed: from 0 to 1")
        if not self.lines or any(not isinstance(n, int) or n < 1 for n in self.lines):
            raise ConfigError(f"stage {self.name!r}: lines {list(self.lines)}; allowed: whole numbers from 1")


@dataclass(frozen=True, kw_only=True)
class Lora:
    """LoRA adapters in the language model (arXiv 2106.09685).

    Args:
        targets: Names of linear layers, or `all-linear`.
        bits: Quantise the adapted weights to 8 or 4 bits (the idea of QLoRA, arXiv 2305.14314). 0 does not.
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
    """A training run: a model, its stages and the run's folder.

    Args:
        model: A model folder, a named model with random weights, or `shipped:NAME` for weights in this package.
        preset: Named model of the same architecture. `--dry-run` builds it when the folder does not exist.
        made_by: Command that makes the model folder. Errors quote it when the folder does not exist.
        start: Folders (or `shipped:NAME`) whose weights of the same names a new run begins with; later ones win.
        out: Folder of the run.
        ema: Decay of averaged weights, used by the next stage and the export. 0 keeps no average.
        eval_every, save_every, log_every: In steps.
        keep: Number of checkpoints to keep.
        most_skipped: The run stops after so many steps in a row without a finite gradient.
        precision: `bf16` (autocast), `float32`, or `auto`: bf16 on devices that are fast at it.
        hold: Type of frozen weights, `float32` or `bfloat16`.
        checkpointing: Recompute activations in the backward pass instead of storing them.
        compile: Compile layers by `torch.compile`.
        shard: Shard the language model over all ranks.
    """

    model: str
    stages: tuple[Stage, ...]
    out: str
    preset: str = ""
    made_by: str = ""
    start: tuple[str, ...] = ()
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
            ("precision", self.precision, ("auto", "bf16", "float32")),
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

    @property
    def has_folder(self) -> bool:
        """Whether `model` is a folder with a model in it."""
        return (Path(self.model) / "config.json").is_file()

    @classmethod
    def load(cls, path: str | Path, changes: list[str] | None = None) -> Recipe:
        """Load a recipe from YAML.

        Args:
            path: The YAML file.
            changes: `key=value` pairs, for example `stages.0.steps=10`.

        Raises:
            ConfigError: The file cannot be read, or a key or value is wrong.
        """
        try:
            data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
        if isinstance(data, dict) and "stages" not in data:
            for key, other in OTHER_FILES.items():
                if key in data:
                    raise ConfigError(f"{path}: not a recipe but {other}")
        for change in changes or []:
            apply_change(data, change)
        name = data.get("model") if isinstance(data, dict) else None
        if isinstance(name, str) and name.startswith(SHIPPED):
            data["model"] = _shipped(name)
        if isinstance(data, dict) and isinstance(data.get("start"), list):
            data["start"] = [_shipped(str(s)) for s in data["start"]]
        return cls.from_dict(data, str(path))

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Recipe:
        """Build a recipe from what YAML holds. `where` names its source in errors.

        Raises:
            ConfigError: A key or value is wrong.
        """
        return _build(cls, data, where)


def _shipped(name: str) -> str:
    return str(weights_dir(name.removeprefix(SHIPPED))) if name.startswith(SHIPPED) else name


def apply_change(data: Any, change: str) -> None:
    """Change one key of a loaded recipe, given as `key=value`; raise ConfigError if there is no such place."""
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
    """Build a dataclass from a mapping. Errors name the place of unknown and missing keys."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected a mapping, got {type(data).__name__}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    check_keys(where, data, fields)
    values = dict(data)
    if "stages" in values and kind is Recipe:
        values["stages"] = tuple(_build(Stage, s, f"{where}: stages.{k}") for k, s in enumerate(values["stages"]))
    if "views" in values:
        values["views"] = tuple(_build(View, v, f"{where}: views.{k}") for k, v in enumerate(values["views"]))
    if values.get("lora") is not None and kind is Recipe:
        values["lora"] = _build(Lora, values["lora"], f"{where}: lora")
    for name in ("trainable", "sizes_px", "betas", "targets", "lines", "pdfs", "formulas", "start"):
        if name in values:
            values[name] = (values[name],) if isinstance(values[name], str) else tuple(values[name])
    try:  # YAML reads 2e-3 as text
        values |= {k: float(v) for k, v in values.items() if fields[k].type == "float" and isinstance(v, str)}
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None
