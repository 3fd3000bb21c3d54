"""The command line, `vary VERB`: one function per verb, whose signature is its options.

A `VaryError` or an `OSError` is printed as one line. Any other exception is a bug and shows its traceback; `--debug`
shows all of them. This package may import every other one, inside its functions so that `vary --help` starts at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from ..io.errors import MissingExtra, VaryError
from .audit import audit
from .console import INTERRUPTED, OK, USAGE, complain, escape_unprintable, write
from .documents import read
from .models import ask, chart, convert, detect, family, info
from .servers import demo, mcp, serve
from .training import bench, evaluate, render, train

__all__ = ["VERBS", "app", "main"]

VERBS: dict[str, Callable[..., int]] = {
    "read": read, "audit": audit, "ask": ask, "chart": chart, "detect": detect, "info": info, "family": family,
    "convert": convert, "serve": serve, "demo": demo, "mcp": mcp, "render": render, "train": train, "bench": bench,
    "eval": evaluate,
}  # fmt: skip


class _Verbs(TyperGroup):
    """The group of all verbs: turns errors of the user into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb and return its exit code."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            complain("interrupted")
            return INTERRUPTED
        except (VaryError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            complain(_reason_of(error))
            return USAGE
        except ModuleNotFoundError as error:
            if ctx.params.get("debug") or error.name not in ("torch", "transformers"):
                raise
            complain(str(MissingExtra(f"vary {ctx.invoked_subcommand}", error.name, "torch")))
            return USAGE


def _reason_of(error: Exception) -> str:
    """Return the message of an error; of the system's errors the file and the reason, without a number."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


app = typer.Typer(
    cls=_Verbs,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all read, 1 usage, 2 some of it lost, 3 nothing read, 130 Ctrl-C.",
)
for _name, _verb in VERBS.items():
    app.command(_name)(_verb)


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    escape_unprintable()
    try:
        return app(argv, prog_name="vary", standalone_mode=False) or OK
    except typer.TyperException as error:  # wrong usage
        if context := getattr(error, "ctx", None):
            print(context.get_usage(), file=sys.stderr)
        complain(error.format_message())
        return USAGE


def _print_version(wanted: bool) -> None:
    if wanted:
        write(f"vary {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
) -> None:
    """Read PDFs and page images as Markdown; train, convert, serve and measure models that do."""
