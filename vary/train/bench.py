"""Train the arms of a bench at one budget: the same samples, steps and seeds for every arm. Measure each one.

An arm is a model: the base with some keys changed, or the miniature of a row of the zoo. Every arm is one run of
`loop.train`, whose recipe lies in its folder. All arms use one tokenizer of characters, and parts of the same name and
shape start from the same weights. `evaluate/bench.py` makes the tables of what is written here.
"""

from __future__ import annotations

import copy
import datetime
import json
import platform
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from PIL import Image
from torch import Tensor

from ..data.mixture import Mixture, load_recipe, read_mix
from ..data.render import render
from ..document.alphabets import LATIN
from ..io.errors import ConfigError, VaryError, check_keys
from ..io.files import atomic_write
from ..markup.prompts import character_vocabulary
from ..models.config import VaryConfig
from ..models.generate.chat import ChatModel
from ..models.hub import weights_dir
from ..models.modeling import VaryForConditionalGeneration, load_model
from ..models.processor import VaryProcessor, character_tokenizer, load_processor
from ..models.zoo import settings
from .checkpoint import load_start, load_tensors
from .distributed import Ranks
from .export import export
from .eyes import read_eye
from .flops import count_cost
from .loop import Log, train
from .recipe import Recipe, apply_change
from .tasks.chat_task import EVAL_BATCHES, ChatBatch, ChatData, ChatTask
from .tasks.task import HELD_OUT_SEED, TaskContext

STAGE = "bench"  # name of the stage, and of its mix
PARTS = ("vocabularies", "connector", "arrange", "fusion", "routes", "language_model", "lm_head")
NEW_TOKENS = 64  # longest answer that is written, in characters
_RUN: dict[str, Any] = {
    "precision": "auto",
    "ema": 0.9,
    "workers": 0,
    "save_every": 100,
    "eval_every": 10**9,
    "log_every": 25,
    "keep": 1,
}
_STAGE: dict[str, Any] = {"batch": 16, "lr": 2e-3, "max_tokens": 512, "trainable": list(PARTS)}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A comparison of models.

    Args:
        arms: Name to settings: keys of `VaryConfig` that replace those of the base. `row` names a model of the zoo to
            begin with in place of the base. `text_config` changes single keys, or all if it has another `model_type`.
            `start` replaces that of the bench.
        mix: The data, `{bench: {part: {source: ..., prompt: ...}}}` as in any data recipe. Each part is a task: all
            are trained together, and each is measured by itself on samples of another seed.
        stage: Keys of a training stage: `steps`, `batch`, `lr`, `trainable` and others.
        base: Settings that arms without a `row` share.
        recipe: Keys of a training recipe.
        start: Folders (or names of shipped models) whose weights of the same names and shapes replace random ones.
        seeds: Number of runs of each arm.
        held_out: Number of samples that measure each task.
    """

    arms: dict[str, dict[str, Any]]
    mix: dict[str, Any]
    stage: dict[str, Any]
    base: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    start: list[str] = field(default_factory=list)
    seeds: int = 3
    held_out: int = 64

    @classmethod
    def load(cls, path: Path, changes: list[str] | None = None) -> Bench:
        """Load a bench from YAML, with `key=value` changes such as `stage.steps=500`.

        Raises:
            ConfigError: A key or a value is wrong.
        """
        data = load_recipe(path)
        for change in changes or []:
            apply_change(data, change)
        check_keys(str(path), data, cls.__dataclass_fields__)
        if missing := {"arms", "mix", "stage"} - set(data):
            raise ConfigError(f"{path}: {sorted(missing)[0]} is missing")
        data["arms"] = {str(name): arm or {} for name, arm in data["arms"].items()}
        bench = cls(**data)
        for prefix in bench.trainable:
            if not str(prefix).startswith(PARTS):
                raise ConfigError(f"{path}: stage.trainable: {prefix!r}; allowed: {', '.join(PARTS)}, or a name in one")
        read_mix({"mix": bench.mix}, STAGE, str(path))
        Recipe.from_dict(bench.run(bench.trainable), str(path))
        for name in bench.arms:
            bench.config(name)
        return bench

    def with_eyes(self, eyes: list[str], out: Path) -> Bench:
        """Return the bench with an arm for each eye in place of its own arms: the reading probe (`eyes.read_eye`)."""
        return replace(self, arms={Path(name).name: read_eye(name, out / "eyes" / Path(name).name) for name in eyes})

    @property
    def trainable(self) -> list[str]:
        """Prefixes of the parameters that are trained."""
        return list((_STAGE | self.stage)["trainable"])

    def run(
        self, trainable: list[str], model: str = "", mix: str = STAGE, out: str = "", seed: int = 1
    ) -> dict[str, Any]:
        """Return the recipe of a run as YAML holds it."""
        stage = _STAGE | self.stage | {"name": STAGE, "task": "answer", "mix": mix, "trainable": trainable}
        return _RUN | self.recipe | {"model": model, "out": out, "seed": seed, "stages": [stage]}

    def config(self, arm: str) -> VaryConfig:
        """Return the configuration of an arm, with the tokenizer of characters that all arms have.

        Raises:
            ConfigError: The settings are no model.
        """
        changes = copy.deepcopy({key: value for key, value in self.arms[arm].items() if key != "start"})
        row = changes.pop("row", None)
        given = settings(row) if row else copy.deepcopy(self.base)
        text, new = given.get("text_config", {}), changes.pop("text_config", {})
        text = new if new.get("model_type", text.get("model_type")) != text.get("model_type") else text | new
        given |= changes
        ids = character_vocabulary(LATIN)
        text |= {"vocab_size": len(ids), "pad_token_id": ids["<pad>"], "eos_token_id": ids["</s>"]}
        text |= {key: ids["<s>"] for key in ("bos_token_id", "decoder_start_token_id") if key in text}
        given |= {"text_config": text, "template": "plain", "image_token_id": ids["<imgpad>"], "reading": None}
        if given.get("fusion", {}).get("name") == "codes":  # words of images follow the characters
            count = given["fusion"].get("count") or given["vocabularies"][0]["config"]["num_embeddings"]
            given["fusion"] = given["fusion"] | {"first": len(ids)}
            text["vocab_size"] += count
        try:
            return VaryConfig(**given)
        except VaryError as error:
            raise ConfigError(f"arm {arm!r}: {error}") from None


def run_bench(bench: Bench, out: Path, log: Log = print, arms: list[str] | None = None) -> None:
    """Train and measure every arm with every seed. Runs that are done are left as they are; others go on.

    Args:
        bench: What to compare.
        out: Folder of the bench. `data` holds the samples of each seed, `ARM/seed-N` recipe, logs, model and result of
            each run.
        log: Receives each line of the log.
        arms: Names of the arms to run. None means all.

    Raises:
        ConfigError: The folder holds another bench, or there is no such arm.
    """
    for arm in arms or []:
        if arm not in bench.arms:
            raise ConfigError(f"unknown arm {arm!r}; allowed: {', '.join(bench.arms)}")
    if not bench.arms:
        raise ConfigError("the bench has no arms; the reading probe needs --eye")
    file, text = out / "bench.yaml", yaml.safe_dump(vars(bench), sort_keys=False)
    if file.exists() and yaml.safe_load(file.read_text(encoding="utf-8")) != yaml.safe_load(text):
        raise ConfigError(f"{file}: another bench is in this folder; give another one")
    out.mkdir(parents=True, exist_ok=True)
    _write(file, text)
    for seed in range(1, bench.seeds + 1):
        todo = [arm for arm in arms or bench.arms if not (_folder(out, arm, seed) / "result.json").is_file()]
        if todo:
            stage = Recipe.from_dict(bench.run(bench.trainable), str(file)).stages[0]
            count = (stage.steps * stage.accumulate + EVAL_BATCHES) * stage.batch
            render({"mix": bench.mix}, count, out / "data" / f"seed-{seed}", seed=seed, log=log)
        for arm in todo:
            log(f"{arm}, seed {seed}")
            _run_arm(bench, arm, seed, out, log)


def _folder(out: Path, arm: str, seed: int) -> Path:
    return out / arm / f"seed-{seed}"


def _run_arm(bench: Bench, arm: str, seed: int, out: Path, log: Log) -> None:
    """Train one arm with one seed, or go on with it, and write its result."""
    folder = _folder(out, arm, seed)
    recipe = _write_recipe(bench, arm, seed, out)
    train(recipe, log)
    state = export(recipe, folder / "model", half=False)
    device = Ranks.join().device
    model = cast(VaryForConditionalGeneration, load_model(folder / "model").to(device))
    processor = load_processor(folder / "model")
    stage = recipe.stages[0]
    task = ChatTask(model, stage, TaskContext(seed, 0, device, processor), {})
    result = {"arm": arm, "seed": seed, "samples": state["seen"], "ms_per_step": 1000 * state["seconds"] / stage.steps}
    result |= _describe(model, task)
    result["tasks"], answers = {}, []
    for name in bench.mix[STAGE]:
        found, written = _measure(bench, name, task)
        result["tasks"][name] = found
        answers += written
    lines = "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)
    _write(folder / "answers.jsonl", lines)
    _write(folder / "result.json", json.dumps(result, indent=1))


def _write_recipe(bench: Bench, arm: str, seed: int, out: Path) -> Recipe:
    """Write the model that a run starts from and its recipe, if they are not there. Return the recipe."""
    folder = _folder(out, arm, seed)
    start, file = folder / "start", folder / "recipe.yaml"
    if not file.is_file():
        model = _start(bench, arm, seed)
        model.save_pretrained(start)
        _processor(model.config).save_pretrained(start)
        names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
        here = [prefix for prefix in bench.trainable if any(name.startswith(prefix) for name in names)]
        whole = bench.run(here, str(start), str(out / "data" / f"seed-{seed}"), str(folder / "run"), seed)
        _write(file, yaml.safe_dump(whole, sort_keys=False))
    return Recipe.load(file)


def _write(file: Path, text: str) -> None:
    with atomic_write(file) as stream:
        stream.write(text.encode())


def _processor(config: VaryConfig) -> VaryProcessor:
    tokenizer = character_tokenizer(LATIN)
    words = '"words": true' in json.dumps(config.connector)  # a step that looks at the words of the prompt
    processor = VaryProcessor.of(config, tokenizer)
    processor.words_tokenizer = tokenizer if words else None
    return processor


def _start(bench: Bench, arm: str, seed: int) -> VaryForConditionalGeneration:
    """Build the model of an arm before training. Parts that the first arm has too start from the same weights."""
    model, first = _random(bench, arm, seed), next(iter(bench.arms))
    if arm != first:
        own, shared = model.state_dict(), _random(bench, first, seed).state_dict()
        load_tensors(model, {k: v for k, v in shared.items() if k in own and v.shape == own[k].shape}, first)
    load_start([str(weights_dir(name)) for name in bench.arms[arm].get("start", bench.start)], model)
    return model


def _random(bench: Bench, arm: str, seed: int) -> VaryForConditionalGeneration:
    config = bench.config(arm)
    torch.manual_seed(seed)
    return VaryForConditionalGeneration(config)


def _describe(model: VaryForConditionalGeneration, task: ChatTask) -> dict[str, Any]:
    """Count parameters, image tokens, operations and activation memory on one batch of the training data."""
    count = {part: sum(p.numel() for n, p in model.named_parameters() if n.startswith(part)) for part in PARTS}
    stage, batch = task.stage, task.data[0]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(stage.trainable))
    cost = count_cost(model.train(), lambda: task.measure_batch(batch)[0].backward())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    model.zero_grad(set_to_none=True)
    with torch.no_grad():
        images = model.eval()(**_inputs(batch, task.context.device)).image_hidden_states
    return {
        "parameters": count,
        "own_parameters": sum(count[part] for part in ("connector", "arrange", "fusion", "routes")),
        "trained_parameters": trained,
        "image_tokens": round(images.numel() / images.shape[-1] / batch.samples),
        "gflops_per_sample": cost.flops / batch.samples / 1e9,
        "activations_mib": cost.activations / 2**20,
        "device": torch.cuda.get_device_name() if task.context.device.type == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
    }


def _inputs(batch: ChatBatch, device: torch.device) -> dict[str, Any]:
    return {k: [t.to(device) for t in v] if isinstance(v, list) else v.to(device) for k, v in batch.inputs.items()}


@torch.no_grad()
def _measure(bench: Bench, name: str, task: ChatTask) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Measure one task on held-out samples. Return losses and accuracies, and true and written answers.

    `another_picture` is the accuracy with the picture of the next sample: that of a model that does not look.
    """
    part = {"mix": {STAGE: {name: bench.mix[STAGE][name]}}}
    source = Mixture(read_mix(part, STAGE), HELD_OUT_SEED)
    data = ChatData(source, task.context.processor, task.stage, task.model.config.image_token_id)
    task.model.eval()
    total = right = learnt = other_total = other_right = 0.0
    answers = []
    for k in range(-(-bench.held_out // task.stage.batch)):
        batch = data[k]
        if not batch.learnt:
            continue
        loss, hits = task.measure_batch(batch)
        other = replace(batch, inputs=batch.inputs | {"pixel_values": _roll(batch.inputs["pixel_values"])})
        total, right, learnt = total + float(loss) * batch.learnt, right + int(hits), learnt + batch.learnt
        loss, hits = task.measure_batch(other)
        other_total, other_right = other_total + float(loss) * batch.learnt, other_right + int(hits)
        samples = [source.sample(i) for i in range(k * task.stage.batch, (k + 1) * task.stage.batch)]
        chat = ChatModel(task.model, task.context.processor)
        asked: list[Any] = [([Image.fromarray(sample.image)], sample.prompt or "") for sample in samples]
        written = chat.ask_all(asked, max_tokens=NEW_TOKENS, no_repeat=0)
        answers += [{"task": name, "truth": s.text, "answer": a.text} for s, a in zip(samples, written, strict=True)]
    found = {"loss": total, "accuracy": right, "loss_of_another_picture": other_total, "another_picture": other_right}
    return {key: value / learnt for key, value in found.items()}, answers


def _roll(pixels: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    """Give each row the pixels of the next one."""
    return [stack.roll(-1, 0) for stack in pixels] if isinstance(pixels, list) else pixels.roll(-1, 0)


__all__ = ["Bench", "run_bench"]
