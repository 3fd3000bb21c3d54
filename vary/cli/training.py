"""The verbs that make and measure models: `render`, `train`, `bench`, `eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from ..io.errors import InputError
from .console import OK, SOME_LOST, write
from .options import Decoder, Device, MaxTokens, Pixels, Ray, Workers
from .parameters import Argument, Option


def render(
    recipe: Annotated[Path | None, Argument(metavar="RECIPE.yaml", help="A file with a `mix`.")] = None,
    pdf: Annotated[Path | None, Option(metavar="DIR", help="Pages of these PDFs, without a recipe.")] = None,
    count: Annotated[
        int | None, Option("-n", metavar="N", help="Number of samples.", show_default="with --pdf: all pages")
    ] = None,
    out: Annotated[
        Path | None, Option("-o", "--out", metavar="DIR", help="Folder of the shards; run again to go on.")
    ] = None,
    show: Annotated[int | None, Option(metavar="N", help="Draw N samples in one picture, OUT, and stop.")] = None,
    stage: Annotated[str | None, Option(metavar="NAME", help="Stage whose mix is rendered.")] = None,
    seed: Annotated[int | None, Option(metavar="N", help="Replaces the recipe's seed.")] = None,
    workers: Workers = None,
    per_shard: Annotated[int, Option(metavar="N", help="Samples per shard.")] = 500,
    image: Annotated[Literal["png", "jpg"], Option(help="Image format of the samples.")] = "png",
    ray: Ray = None,
) -> int:
    """Render training data as shards: a recipe's mix, or the pages of a folder of PDFs."""
    from ..data import render as engine

    if (recipe is None) == (pdf is None):
        raise InputError("render: give a recipe or --pdf DIR")
    chosen: Any = recipe or engine.pdf_recipe(pdf)  # type: ignore[arg-type]
    if show:
        target = out or Path("samples.png")
        engine.show(chosen, show, target, stage=stage, seed=seed)
        write(f"wrote {target}")
        return OK
    if out is None:
        raise InputError("render: give -o DIR, the folder of the shards")
    options: dict[str, Any] = {"workers": workers, "per_shard": per_shard, "image": image, "ray": ray}
    manifest = engine.render(chosen, count, out, stage=stage, seed=seed, **options)
    return OK if not manifest["skipped"] else SOME_LOST


def train(
    recipe: Annotated[Path, Argument(metavar="RECIPE.yaml", help="A file of stages.")],
    changes: Annotated[
        list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change a key; may be repeated.")
    ] = None,
    max_steps: Annotated[int | None, Option(metavar="N", help="Stop after N steps.")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Print what the recipe would do, and stop.")] = False,
    export: Annotated[
        Path | None, Option(metavar="DIR", help="Write the model of the last checkpoint here, and stop.")
    ] = None,
) -> int:
    """Train a recipe; the same command resumes it."""
    from ..train.recipe import Recipe

    loaded = Recipe.load(recipe, changes or [])
    if dry_run:
        from ..train.dry_run import describe_run

        write(describe_run(loaded))
    elif export:
        from ..train import export as exporter

        state = exporter.export(loaded, export)
        write(f"wrote {export}: stage {state['stage']}, step {state['step']}, {state['seen']} samples seen")
    else:
        from ..train import loop

        loop.train(loaded, max_steps=max_steps)
    return OK


def bench(
    bench: Annotated[Path, Argument(metavar="BENCH.yaml", help="Arms, data and budget; recipes/bench-*.yaml.")],
    out: Annotated[
        Path, Option("-o", "--out", metavar="DIR", help="Folder of the runs and tables; run again to go on.")
    ] = Path("bench"),
    arms: Annotated[str | None, Option(metavar="A,B", help="Only these arms.", show_default="all")] = None,
    eye: Annotated[
        list[str] | None,
        Option(metavar="EYE", help="Instead of the arms: a model or a folder with a tower; may be repeated."),
    ] = None,
    changes: Annotated[
        list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change a key; may be repeated.")
    ] = None,
) -> int:
    """Compare models at one budget: train each arm with several seeds, measure, and write a table and a picture."""
    from ..evaluate.bench import write_bench_tables
    from ..train.bench import Bench, run_bench

    loaded = Bench.load(bench, changes)
    run_bench(loaded.with_eyes(eye, out) if eye else loaded, out, write, arms.split(",") if arms else None)
    write(write_bench_tables(out))
    return OK


def evaluate(
    model: Annotated[str, Argument(metavar="MODEL", help="A name, a folder, or none: peers alone.")] = "vary-nano",
    tasks: Annotated[str, Option(metavar="A,B", help="Tasks; docs/evaluation.md lists them.")] = "all",
    data: Annotated[Path | None, Option(metavar="DIR", help="Published benchmarks, in their own layouts.")] = None,
    limit: Annotated[int | None, Option(metavar="N", help="Most examples of a task.")] = None,
    peers: Annotated[str, Option(metavar="A,B", help="Also these programs, such as tesseract, or all.")] = "",
    server: Annotated[str | None, Option(metavar="URL", help="Also an OpenAI-compatible server.")] = None,
    server_model: Annotated[
        str | None, Option(metavar="NAME", help="The server's model.", show_default="its first")
    ] = None,
    prompt: Annotated[str | None, Option(metavar="TEXT", help="Replaces the tasks' prompts for pages.")] = None,
    device: Device = "cpu",
    max_tokens: MaxTokens = 2048,
    decoder: Decoder = False,
    pixels: Pixels = False,
    rescore: Annotated[bool, Option("--rescore", help="Score the predictions in OUT again.")] = False,
    compare: Annotated[
        tuple[str, str] | None, Option(metavar="A B", help="Compare two runs, FOLDER or FOLDER:READER.")
    ] = None,
    out: Annotated[Path, Option("-o", "--out", metavar="DIR", help="Folder of the results.")] = Path("eval"),
) -> int:
    """Measure a model, and other readers on the same pages."""
    if compare:
        from ..evaluate import compare as runs

        write(runs.as_markdown(runs.compare(*compare), *compare))
        return OK
    from ..evaluate.run import evaluate
    from ..reading.remote import server_key

    evaluate(
        None if model == "none" else model, tasks, out, limit=limit, peers=peers, server=server,
        server_model=server_model, server_key=server_key() or "", data=data, rescore=rescore,
        prompt=prompt, device=device, max_tokens=max_tokens, decoder=decoder, pixels=pixels,
    )  # fmt: skip
    return OK
