"""`vary VERB …`. Exit codes: 0 all well, 1 usage, 2 some of it lost (pages, the end of an answer), 3 nothing read."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import NOTHING, OK, SOME_LOST, USAGE
from .arguments import parser as _parser
from .io.errors import InputError, VaryError
from .io.progress import Progress
from .markup.prompts import PROMPTS

if TYPE_CHECKING:
    from .models.chat import ChatModel
    from .reading.pages import PageReader


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what can follow
        with contextlib.suppress(ImportError):
            import argcomplete

            argcomplete.autocomplete(parser)
    arguments = parser.parse_args(argv)
    try:
        return VERBS[arguments.verb](arguments)
    except KeyboardInterrupt:
        print("vary: interrupted", file=sys.stderr)
        return 130
    except (VaryError, OSError) as error:
        print(f"vary: {error}", file=sys.stderr)
        return USAGE


def _read(arguments: argparse.Namespace) -> int:
    forms = (arguments.to or "text").split(",")
    missing = [f for f in arguments.files if _plain(f) and not Path(f).exists()]
    if len(missing) == len(arguments.files):  # say so before a model is loaded
        for name in missing:
            print(f"vary: {name}: no such file", file=sys.stderr)
        return NOTHING
    if arguments.out is not None:
        return _read_into(arguments, forms)
    for name in ("figures", "workers", "ray", "json"):
        if getattr(arguments, name):
            raise InputError(f"--{name} needs -o DIR")
    return _read_to_screen(arguments, forms)


def _plain(given: str) -> bool:
    return given != "-" and not any(ch in given for ch in "*?[")


def _read_to_screen(arguments: argparse.Namespace, forms: list[str]) -> int:
    from .document.elements import Page
    from .document.writers import WRITERS
    from .io.source import find_files
    from .reading.pages import read_document

    if len(forms) > 1 or forms[0] not in WRITERS:
        raise InputError(f"--to {','.join(forms)}: to the screen one of {', '.join(WRITERS)}; give -o DIR for more")
    reader = _page_reader(arguments)
    limits = {"timeout_s": arguments.timeout, "max_pages": arguments.max_pages}
    read = lost = 0

    def tell(file: str, page: Page) -> None:
        if (what := page.error or page.doubt) and not arguments.quiet:
            print(_complaint(file, page.number, what), file=sys.stderr)

    with find_files(arguments.files) as files:
        for path, _ in files:
            try:
                on_page = functools.partial(tell, str(path))
                document = read_document(path, reader, arguments.pages, arguments.password, on_page, **limits)
            except InputError as error:
                tell(str(path), Page(0, "failed", error=str(error)))
                lost += 1
                continue
            read, lost = read + len(document.pages) - len(document.lost), lost + len(document.lost)
            text = "".join(WRITERS[forms[0]](document.source, document.model, iter(document.pages)))
            if text:
                _print(text)
    return OK if not lost else SOME_LOST if read else NOTHING


def _page_reader(arguments: argparse.Namespace) -> PageReader:
    """A model, or a server that has one; of a server the first model, or the one that --model names."""
    if arguments.server is None:
        from .reading.api import load

        return load(arguments.model or "vary-nano", arguments.device, arguments.fast)
    from .reading.remote import load_server

    return load_server(arguments.model, arguments.server)


def _complaint(file: str, number: int | None, error: str) -> str:
    return f"vary: {error}" if str(Path(file)) in error else f"vary: {file}, page {number}: {error}"


def _read_into(arguments: argparse.Namespace, forms: list[str]) -> int:
    from .reading.batch import read_all

    progress = Progress("pages", 0, per="min")

    def tell(line: dict[str, Any]) -> None:
        if arguments.json:
            _print(json.dumps(line, ensure_ascii=False))
        if arguments.quiet:
            return
        if what := line["error"] or line.get("doubt"):
            progress.say(_complaint(line["file"], line["page"], what))
        if line["page"] is not None:
            progress.first, progress.count = progress.first + line["before"], line["expected"]
            progress.at(progress.done + 1)

    summary = read_all(
        arguments.files, arguments.out, forms, model=arguments.model, device=arguments.server or arguments.device,
        pages=arguments.pages, password=arguments.password, workers=arguments.workers, ray=arguments.ray,
        timeout_s=arguments.timeout, max_pages=arguments.max_pages, figures=arguments.figures, fast=arguments.fast,
        on_page=tell,
    )  # fmt: skip
    if arguments.json:
        _print(json.dumps(vars(summary) | {"exit_code": summary.exit_code}, ensure_ascii=False))
    if not arguments.quiet:
        progress.say(f"vary: {summary}")
    return summary.exit_code


def _print(text: str) -> None:
    """To standard output; a reader of it that has gone (`| head`) is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at exit


def _present(files: list[str]) -> None:
    """Say what is not there before a model is loaded."""
    for name in files:
        if not Path(name).is_file():
            raise InputError(f"{name}: no such file")


def _chat_model(arguments: argparse.Namespace) -> tuple[ChatModel, dict[str, Any]]:
    from .models.chat import load_chat_model

    limits = {"max_tokens": arguments.max_tokens, "no_repeat": arguments.no_repeat}
    return load_chat_model(arguments.model, arguments.device, arguments.dtype), limits


def _ask(arguments: argparse.Namespace) -> int:
    *images, question = arguments.words if arguments.task is None else [*arguments.words, ""]
    if arguments.task is not None:
        question = PROMPTS[arguments.task][arguments.language]
        if "{}" in question:
            raise InputError(f"--task {arguments.task} needs words of yours: write the question itself")
    if arguments.task is None and Path(question).is_file():
        raise InputError(f"{question}: a file where the question should stand; write the question last, or --task")
    _present(images)
    chat_model, limits = _chat_model(arguments)
    answer = chat_model.ask(images, question, **limits)
    _print(answer.text)
    if answer.repeated:
        print(f"vary: the answer began to repeat itself and was ended after {answer.tokens} tokens", file=sys.stderr)
    elif not answer.finished:
        print(f"vary: the answer was cut off after {answer.tokens} tokens (--max-tokens)", file=sys.stderr)
    return OK if answer.finished else SOME_LOST


def _chart(arguments: argparse.Namespace) -> int:
    _present([arguments.image])
    chat_model, limits = _chat_model(arguments)
    chart = chat_model.chart(arguments.image, arguments.language, **limits)
    _print(json.dumps(dataclasses.asdict(chart), ensure_ascii=False, indent=2))
    return OK if chart.complete else SOME_LOST


def _detect(arguments: argparse.Namespace) -> int:
    _present([arguments.image])
    chat_model, limits = _chat_model(arguments)
    classes = arguments.classes.split(",") if arguments.classes else None
    boxes = chat_model.detect(arguments.image, classes, arguments.language, **limits)
    _print(json.dumps(dataclasses.asdict(boxes), ensure_ascii=False, indent=2))
    return OK if not boxes.rejected else SOME_LOST


def _info(arguments: argparse.Namespace) -> int:
    from .models.describe import described, info

    facts = info(arguments.model)
    _print(json.dumps(facts, ensure_ascii=False, indent=2) if arguments.json else described(facts))
    return OK


def _demo(arguments: argparse.Namespace) -> int:
    from .serve.demo import demo

    demo(arguments.models, arguments.host, arguments.port, arguments.api_key, arguments.device, arguments.dtype)
    return OK


def _serve(arguments: argparse.Namespace) -> int:
    import logging

    from .serve.app import load_models, serve

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    models = load_models(arguments.models, arguments.device, arguments.dtype, arguments.fast)
    serve(models, arguments.host, arguments.port, arguments.api_key, tuple(arguments.allow_media_host))
    return OK


def _convert(arguments: argparse.Namespace) -> int:
    from .models.convert.convert import convert

    for line in convert(arguments.sources, arguments.target, arguments.name, arguments.layout):
        print(line)
    return OK


def _render(arguments: argparse.Namespace) -> int:
    from .data.render import pdf_recipe, render, show

    if (arguments.recipe is None) == (arguments.pdf is None):
        raise InputError("render: give a recipe or --pdf DIR")
    recipe = arguments.recipe or pdf_recipe(arguments.pdf)
    if arguments.show:
        target = arguments.out or Path("samples.png")
        show(recipe, arguments.show, target, stage=arguments.stage, seed=arguments.seed)
        print(f"wrote {target}")
        return OK
    if arguments.out is None:
        raise InputError("render: give -o DIR, the folder of the shards")
    manifest = render(
        recipe, arguments.count, arguments.out, stage=arguments.stage, seed=arguments.seed, workers=arguments.workers,
        per_shard=arguments.per_shard, image=arguments.image, ray=arguments.ray,
    )  # fmt: skip
    return OK if not manifest["skipped"] else SOME_LOST


def _train(arguments: argparse.Namespace) -> int:
    from .train.loop import export, train
    from .train.recipe import Recipe

    recipe = Recipe.load(arguments.recipe, arguments.changes)
    if arguments.dry_run:
        from .train.dry_run import plan

        print(plan(recipe))
        return OK
    if arguments.export:
        state = export(recipe, arguments.export)
        print(f"wrote {arguments.export}: stage {state['stage']}, step {state['step']}, {state['seen']} samples seen")
    else:
        train(recipe, max_steps=arguments.max_steps)
    return OK


def _evaluate(arguments: argparse.Namespace) -> int:
    if arguments.compare:
        from .evaluate.compare import as_markdown, compare

        _print(as_markdown(compare(*arguments.compare), *arguments.compare))
        return OK
    from .evaluate.run import evaluate

    evaluate(
        None if arguments.model == "none" else arguments.model, arguments.tasks, arguments.out, limit=arguments.limit,
        peers=arguments.peers, server=arguments.server, server_model=arguments.server_model,
        server_key=os.environ.get("OPENAI_API_KEY", ""), data=arguments.data, rescore=arguments.rescore,
        prompt=arguments.prompt, device=arguments.device, max_tokens=arguments.max_tokens, fast=arguments.fast,
    )  # fmt: skip
    return OK


VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "read": _read, "ask": _ask, "chart": _chart, "detect": _detect, "info": _info, "convert": _convert,
    "serve": _serve, "demo": _demo, "render": _render, "train": _train, "eval": _evaluate,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
