"""`vary VERB …`: read, train, eval. Exit codes: 0 all well, 1 usage, 2 some pages lost, 3 nothing was read."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__

if TYPE_CHECKING:
    from .document import Document, Page

OK, USAGE, SOME_LOST, NOTHING = 0, 1, 2, 3


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print("vary: interrupted", file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError) as error:
        print(f"vary: {error}", file=sys.stderr)
        return USAGE


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"vary: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="vary", description="Read documents with a vision vocabulary; train and measure your own.")
    parser.add_argument("--version", action="version", version=f"vary {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    read = verbs.add_parser("read", help="read PDFs and page images")
    read.add_argument("files", nargs="+", metavar="FILE", help="PDF, PNG, JPEG, WebP, TIFF, BMP or GIF")
    read.add_argument(
        "--pages", metavar="1-4,7,-1", help="pages from 1, both ends included, -1 is the last (default: all)"
    )
    read.add_argument("--to", choices=("text", "json"), default="text", help="what to write (default: text)")
    read.add_argument(
        "-o", "--out", metavar="DIR", type=Path, help="write NAME.txt or NAME.json here, not to the screen"
    )
    read.add_argument("--model", default="vary-nano", help="a shipped model or a folder (default: vary-nano)")
    read.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    read.add_argument("--password", help="password of an encrypted PDF")
    read.set_defaults(run=_read)

    train = verbs.add_parser("train", help="train a recipe; the same command resumes")
    train.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    train.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="change a key")
    train.add_argument("--max-steps", type=int, metavar="N", help="stop after N steps")
    train.add_argument("--export", type=Path, metavar="DIR", help="write the run's model here and stop")
    train.set_defaults(run=_train)

    evaluate = verbs.add_parser("eval", help="measure a model, and other readers on the same pages")
    evaluate.add_argument("model", nargs="?", default="vary-nano")
    evaluate.add_argument("--tasks", default="all", metavar="A,B", help="see docs/evaluation.md (default: all)")
    evaluate.add_argument("--limit", type=int, metavar="N", help="at most N pages a task")
    evaluate.add_argument("--peers", default="", metavar="A,B", help="tesseract, rapidocr: the same pages through them")
    evaluate.add_argument("-o", "--out", type=Path, default=Path("eval"), metavar="DIR")
    evaluate.set_defaults(run=_evaluate)
    return parser


def _read(arguments: argparse.Namespace) -> int:
    from .api import load
    from .image import BadInput
    from .pages import read_document

    missing = [f for f in arguments.files if not Path(f).exists()]
    if len(missing) == len(arguments.files):  # say so before the model is loaded
        for name in missing:
            print(f"vary: {name}: no such file", file=sys.stderr)
        return NOTHING
    reader = load(arguments.model, arguments.device)
    pages_read = lost = 0
    names = _output_names(arguments.files, ".txt" if arguments.to == "text" else ".json")
    for file, name in zip(arguments.files, names, strict=True):
        try:
            document = read_document(file, reader, arguments.pages, arguments.password, _complain(file))
        except BadInput as error:
            print(f"vary: {error}", file=sys.stderr)
            lost += 1
            continue
        pages_read += len(document.pages) - len(document.lost)
        lost += len(document.lost)
        _write(document, arguments, name)
    return OK if not lost else SOME_LOST if pages_read else NOTHING


def _complain(file: str) -> Callable[[Page], None]:
    def on_page(page: Page) -> None:
        if page.error:
            where = "" if str(Path(file)) in page.error else f"{file}, page {page.number}: "
            print(f"vary: {where}{page.error}", file=sys.stderr)

    return on_page


def _write(document: Document, arguments: argparse.Namespace, name: str) -> None:
    text = document.text() if arguments.to == "text" else document.json()
    if arguments.out is None:
        if text:
            _print(text)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    target = arguments.out / name
    part = target.with_name(target.name + ".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(target)


def _print(text: str) -> None:
    """To standard output; a reader of it that has gone (`| head`) is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at exit


def _output_names(files: list[str], suffix: str) -> list[str]:
    """One name per file; files of the same name get -2, -3 ..."""
    taken: set[str] = set()
    names = []
    for file in files:
        stem = Path(file).name
        for ending in (".gz", Path(stem.removesuffix(".gz")).suffix):
            stem = stem.removesuffix(ending) if ending else stem
        name, k = stem + suffix, 1
        while name.casefold() in taken:
            k += 1
            name = f"{stem}-{k}{suffix}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _train(arguments: argparse.Namespace) -> int:
    from .train.loop import export, train
    from .train.stages import Recipe

    recipe = Recipe.load(arguments.recipe, arguments.changes)
    if arguments.export:
        state = export(recipe, arguments.export)
        print(f"wrote {arguments.export}: stage {state['stage']}, step {state['step']}, {state['seen']} samples seen")
    else:
        train(recipe, max_steps=arguments.max_steps)
    return OK


def _evaluate(arguments: argparse.Namespace) -> int:
    from .evaluate.run import evaluate

    evaluate(arguments.model, arguments.tasks, arguments.out, limit=arguments.limit, peers=arguments.peers)
    return OK


if __name__ == "__main__":
    sys.exit(main())
