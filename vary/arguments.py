"""What can be typed behind `vary`: the verbs and their options. What they do stands in `cli.py`.

The help of a verb fits one screen of 24 lines by 80 columns, so a usage is one line and so is each option.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from . import __version__
from .markup.prompts import PROMPTS

DTYPES = ("auto", "float32", "bfloat16", "float16", "int8", "int4")
OK, USAGE, SOME_LOST, NOTHING = 0, 1, 2, 3
_Verbs = argparse._SubParsersAction


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"vary: {message}\n")


class _Help(argparse.HelpFormatter):
    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=27)


def parser() -> argparse.ArgumentParser:
    """The whole command line: `verb` is what was asked for, the rest its arguments."""
    whole = _Parser(prog="vary", description="Read documents with a vision vocabulary; train and measure your own.")
    whole.add_argument("--version", action="version", version=f"vary {__version__}")
    verbs = whole.add_subparsers(dest="verb", required=True, metavar="VERB")
    for add in (_read, _asking, _info_and_convert, _serving, _render, _train, _evaluate):
        add(verbs)
    return whole


def _verb(verbs: _Verbs, name: str, help: str, usage: str) -> argparse.ArgumentParser:
    return verbs.add_parser(name, help=help, usage=f"vary {name} [options] {usage}", formatter_class=_Help)


def _read(verbs: _Verbs) -> None:
    read = _verb(verbs, "read", "read PDFs and page images", "IN [IN ...]")
    add = read.add_argument
    add("files", nargs="+", metavar="IN", help="PDFs, images, folders, patterns, - for stdin")
    add("--pages", metavar="1-4,7,-1", help="from 1, both ends included, -1 is the last")
    add("--to", metavar="A,B", help="text, md, html, json; with -o also pdf, overlay")
    add("-o", "--out", metavar="DIR", type=Path, help="write NAME.md ... here; run again to go on")
    add("--figures", action="store_true", help="with -o: crop figures and link them")
    add("--workers", type=int, metavar="N", help="with -o: processes (default: one per core)")
    add("--ray", metavar="ADDRESS", help="with -o: on a Ray cluster; local starts one")
    add("--server", metavar="URL", help="an OpenAI-compatible server reads, no model here")
    add("--timeout", type=float, default=60.0, metavar="S", help="seconds a page may take (default: 60)")
    add("--max-pages", type=int, default=20_000, metavar="N", help="of one file (default: 20000)")
    add("--model", help="a shipped model or a folder (default: vary-nano)")
    add("--fast", action="store_true", help="by the reading head alone, doubts are not settled")
    add("--device", default="cpu", help="cpu or cuda (default: cpu)")
    add("--password", help="of encrypted PDFs")
    add("-q", "--quiet", action="store_true", help="say nothing; the exit code and run.jsonl tell")
    add("--json", action="store_true", help="with -o: a JSON line per page on stdout")


def _asking(verbs: _Verbs) -> None:
    ask = _verb(verbs, "ask", "ask a model about images", "IMAGE ... QUESTION")
    ask.add_argument("words", nargs="+", metavar="WORD", help="images, then the question (or --task)")
    ask.add_argument("--task", choices=tuple(PROMPTS), metavar="T", help=f"its prompt instead: {', '.join(PROMPTS)}")
    chart = _verb(verbs, "chart", "a chart as data", "IMAGE")
    chart.add_argument("image", metavar="IMAGE")
    detect = _verb(verbs, "detect", "objects and their boxes, in pixels of the image", "IMAGE")
    detect.add_argument("image", metavar="IMAGE")
    detect.add_argument("--classes", metavar="A,B", help="only these")
    for verb in (ask, chart, detect):
        add = verb.add_argument
        add("--model", required=True, metavar="DIR", help="a model folder, as `vary convert` writes it")
        add("--language", choices=("en", "zh"), default="en", help="of the task's prompt (default: en)")
        add("--device", default="cpu", help="cpu or cuda (default: cpu)")
        add("--dtype", choices=DTYPES, default="auto", metavar="D", help=f"of the weights: {', '.join(DTYPES)}")
        add("--max-tokens", type=int, default=2048, metavar="N", help="of the answer (default: 2048)")
        add("--no-repeat", type=int, default=20, metavar="N", help="no run of N tokens may come twice; 0: it may")


def _info_and_convert(verbs: _Verbs) -> None:
    info = _verb(verbs, "info", "what a model is: parameters, sizes, preprocessing, template, licence", "MODEL")
    info.add_argument("model", metavar="MODEL", help="a named model (vary-toy, got, ...) or a folder")
    info.add_argument("--json", action="store_true", help="as JSON")

    convert = _verb(verbs, "convert", "official checkpoints and parts of models to ours, and back", "SRC [SRC ...] DST")
    add = convert.add_argument
    add("sources", nargs="+", type=Path, metavar="SRC", help="a checkpoint, or the parts of one model")
    add("target", type=Path, metavar="DST", help="folder to write; must not hold anything")
    add("--as", dest="name", metavar="NAME", help="a named model, or a folder with a config.json of ours")
    add("--layout", metavar="L", help="write our SRC as qwen, opt, 600k, got, got-transformers")


def _serving(verbs: _Verbs) -> None:
    for name, help in (("serve", "read and answer over HTTP, OpenAI-compatible"), ("demo", "a web page to try it on")):
        add = _verb(verbs, name, help, "[MODEL ...]").add_argument
        add("models", nargs="*", default=["vary-nano"], metavar="MODEL", help="names or folders (default: vary-nano)")
        add("--host", default="127.0.0.1", help="any other than this machine needs a key")
        add("--port", type=int, default=8000, help="default: 8000")
        add("--api-key", default=os.environ.get("VARY_API_KEY"), help="better in VARY_API_KEY: ps shows this")
        add("--device", default="cpu", help="cpu or cuda (default: cpu)")
        add("--dtype", choices=DTYPES, default="auto", metavar="D", help=f"of the weights: {', '.join(DTYPES)}")
        if name == "serve":
            add("--fast", action="store_true", help="read by the reading head alone, doubts are not settled")
            add("--allow-media-host", action="append", default=[], metavar="H", help="fetch images from this host")


def _render(verbs: _Verbs) -> None:
    render = _verb(
        verbs, "render", "training data: a recipe's mix, or a folder of PDFs, as shards", "[RECIPE.yaml] -o DIR"
    )
    add = render.add_argument
    add("recipe", nargs="?", type=Path, metavar="RECIPE.yaml", help="a file with a `mix`")
    add("--pdf", type=Path, metavar="DIR", help="pages of PDFs and their text, not a recipe")
    add("-n", type=int, dest="count", metavar="N", help="samples (default with --pdf: all pages)")
    add("-o", "--out", type=Path, metavar="DIR", help="folder of the shards; run again to go on")
    add("--show", type=int, metavar="N", help="write a picture of N samples to OUT instead")
    add("--stage", metavar="NAME", help="whose mix, where the recipe has several")
    add("--seed", type=int, help="in place of the recipe's")
    add("--workers", type=int, metavar="N", help="processes (default: one per core)")
    add("--per-shard", type=int, default=500, metavar="N", help="samples of a shard (default: 500)")
    add("--image", choices=("png", "jpg"), default="png", help="of the samples (default: png)")
    add("--ray", metavar="ADDRESS", help="on a Ray cluster; local starts one here")


def _train(verbs: _Verbs) -> None:
    train = _verb(verbs, "train", "train a recipe; the same command resumes", "RECIPE.yaml")
    add = train.add_argument
    add("recipe", type=Path, metavar="RECIPE.yaml")
    add("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="change a key")
    add("--max-steps", type=int, metavar="N", help="stop after N steps")
    add("--dry-run", action="store_true", help="say what the recipe would do, and stop")
    add("--export", type=Path, metavar="DIR", help="write the run's model here and stop")


def _evaluate(verbs: _Verbs) -> None:
    evaluate = _verb(verbs, "eval", "measure a model, and other readers on the same pages", "[MODEL]")
    add = evaluate.add_argument
    add("model", nargs="?", default="vary-nano", metavar="MODEL", help="a name, a folder, or none: peers alone")
    add("--tasks", default="all", metavar="A,B", help="see docs/evaluation.md (default: all)")
    add("--data", type=Path, metavar="DIR", help="published benchmarks, in their own layouts")
    add("--limit", type=int, metavar="N", help="at most N examples a task")
    add("--peers", default="", metavar="A,B", help="tesseract, rapidocr: the same pages")
    add("--server", metavar="URL", help="and through an OpenAI-compatible server")
    add("--server-model", metavar="NAME", help="its model (default: the first it lists)")
    add("--prompt", metavar="TEXT", help="in place of the tasks' own, for pages")
    add("--device", default="cpu", help="cpu or cuda (default: cpu)")
    add("--max-tokens", type=int, default=2048, metavar="N", help="of an answer (default: 2048)")
    add("--fast", action="store_true", help="the model by its reading head alone, where it has one")
    add("--rescore", action="store_true", help="read nothing, score what OUT holds anew")
    add("--compare", nargs=2, metavar=("A", "B"), help="two runs, FOLDER or FOLDER:READER")
    add("-o", "--out", type=Path, default=Path("eval"), metavar="DIR", help="default: eval")
