"""The verbs that use or describe a model: `ask`, `chart`, `detect`, `info`, `family`, `convert`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..io.errors import ConfigError, InputError
from ..markup.prompts import PROMPTS
from .console import OK, SOME_LOST, complain, write
from .options import Device, Folder, Image, Language, MaxTokens, NoRepeat, Weights
from .parameters import Argument, Option

if TYPE_CHECKING:
    from ..models.generate.chat import ChatModel


def _load_chat(images: Sequence[str | Path], model: str, device: str, dtype: str) -> ChatModel:
    """Load a model that answers, after a look whether the images are there."""
    for name in images:
        if not Path(name).is_file():
            raise InputError(f"{name}: no such file")
    from ..models.generate.chat import load_chat_model

    return load_chat_model(model, device, dtype)


def ask(
    words: Annotated[list[str], Argument(metavar="IMAGE... QUESTION", help="Images, then the question.")],
    model: Folder,
    task: Annotated[
        str | None,
        Option(
            metavar="TASK",
            help=f"A prompt as the question: {', '.join(PROMPTS)}.",
            choices=lambda: list(PROMPTS),
        ),
    ] = None,
    language: Language = "en",
    device: Device = "cpu",
    dtype: Weights = "auto",
    max_tokens: MaxTokens = 2048,
    no_repeat: NoRepeat = 20,
) -> int:
    """Ask a model about images."""
    *images, question = words if task is None else [*words, ""]
    if task is not None:
        if task not in PROMPTS:
            raise InputError(f"--task {task}: allowed: {', '.join(PROMPTS)}")
        question = PROMPTS[task][language]
        if "{}" in question:
            raise InputError(f"--task {task} needs words of yours: write the question itself")
    elif Path(question).is_file():
        raise InputError(f"{question}: a file in place of the question; write the question last, or --task")
    chat = _load_chat(images, model, device, dtype)
    answer = chat.ask([*images], question, max_tokens=max_tokens, no_repeat=no_repeat)
    write(answer.text)
    if answer.repeated:
        complain(f"the answer began to repeat itself and was ended after {answer.tokens} tokens")
    elif not answer.finished:
        complain(f"the answer was cut off after {answer.tokens} tokens (--max-tokens)")
    return OK if answer.finished else SOME_LOST


def chart(
    image: Image,
    model: Folder,
    language: Language = "en",
    device: Device = "cpu",
    dtype: Weights = "auto",
    max_tokens: MaxTokens = 2048,
    no_repeat: NoRepeat = 20,
) -> int:
    """Read a chart as data."""
    chat = _load_chat([image], model, device, dtype)
    found = chat.chart(image, language, max_tokens=max_tokens, no_repeat=no_repeat)
    write(json.dumps(dataclasses.asdict(found), ensure_ascii=False, indent=2))
    return OK if found.complete else SOME_LOST


def detect(
    image: Image,
    model: Folder,
    classes: Annotated[str | None, Option(metavar="A,B", help="Only objects of these classes.")] = None,
    language: Language = "en",
    device: Device = "cpu",
    dtype: Weights = "auto",
    max_tokens: MaxTokens = 2048,
    no_repeat: NoRepeat = 20,
) -> int:
    """Find objects and their boxes, in pixels of the image."""
    chat = _load_chat([image], model, device, dtype)
    wanted = classes.split(",") if classes else None
    boxes = chat.detect(image, wanted, language, max_tokens=max_tokens, no_repeat=no_repeat)
    write(json.dumps(dataclasses.asdict(boxes), ensure_ascii=False, indent=2))
    return OK if not boxes.rejected else SOME_LOST


def info(
    model: Annotated[str, Argument(metavar="MODEL", help="A named model (vary-toy, got, ...) or a folder.")],
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> int:
    """Describe a model: parameters, sizes, preprocessing, template, licence."""
    from ..models.describe import describe, format_description

    facts = describe(model)
    write(json.dumps(facts, ensure_ascii=False, indent=2) if as_json else format_description(facts))
    return OK


def convert(
    sources: Annotated[list[Path], Argument(metavar="SRC", help="A checkpoint, or the parts of one model.")],
    target: Annotated[Path, Argument(metavar="DST", help="Folder to write; it must be empty.")],
    name: Annotated[
        str | None,
        Option("--as", metavar="NAME", help="A named model, a YAML file, or a model folder of ours."),
    ] = None,
    layout: Annotated[
        str | None, Option(metavar="L", help="Write our SRC as qwen, opt, 600k, got, got-transformers.")
    ] = None,
    check: Annotated[bool, Option("--check", help="Compare the logits with those of transformers' class.")] = False,
) -> int:
    """Convert official checkpoints and parts of models to ours, and back."""
    from ..models.convert.convert import convert

    for line in convert(sources, target, name, layout, check):
        write(line)
    return OK


def family(
    axis: Annotated[
        str | None,
        Option(metavar="AXIS", help="Group by vocabularies, views, connector, arrange, fusion, positions, ..."),
    ] = None,
    level: Annotated[
        str | None, Option(metavar="LEVEL", help="Only rows of this level: equal, transcribed or shape.")
    ] = None,
    everything: Annotated[
        bool, Option("--all", help="List all 132 systems, also those without a model, each with its state.")
    ] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> int:
    """List the models of the zoo: what each is made of, and what shows that it is right."""
    from ..models.zoo.listing import format_systems, format_table, rows, systems

    if everything and (axis or level):
        raise ConfigError("--all lists systems, not models; it goes without --axis and --level")
    found = systems() if everything else rows(axis, level)
    table = format_systems if everything else format_table
    write(json.dumps(found, ensure_ascii=False, indent=2) if as_json else table(found))
    return OK
