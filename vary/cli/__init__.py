"""The command line, `vary VERB`: one function per verb, whose signature is its options.

A `VaryError` or an `OSError` is printed as one line. Any other exception is a bug and shows its traceback; `--debug`
shows all of them. This package may import every other one, inside its functions so that `vary --help` starts at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import click

from .. import __version__
from ..io.errors import MissingExtra, VaryError
from .audit import audit
from .console import INTERRUPTED, NOTHING, OK, USAGE, complain, escape_unprintable, write
from .documents import read
from .models import ask, chart, convert, detect, family, info
from .parameters import make_verb
from .servers import demo, mcp, serve
from .training import bench, evaluate, render, train

__all__ = ["VERBS", "app", "main"]

VERBS: dict[str, Callable[..., int]] = {
    "read": read, "audit": audit, "ask": ask, "chart": chart, "detect": detect, "info": info, "family": family,
    "convert": convert, "serve": serve, "demo": demo, "mcp": mcp, "render": render, "train": train, "bench": bench,
    "eval": evaluate,
}  # fmt: skip
SHELLS = "bash", "zsh", "fish"
EXTRAS = {"render": "render", "eval": "eval", "bench": "train", "train": "train", "family": None}  # others: torch
PACKAGES = {"yaml": "pyyaml"}  # of modules that have another name
FAILED = {"audit": NOTHING}  # exit codes of a command that fails, where code 1 has another meaning
COMPLETE = "_VARY_COMPLETE"  # environment variable by which a shell asks


class _Verbs(click.Group):
    """The group of all verbs, each made when it is called for; errors of the user are one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the verbs."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb, None without one of this name."""
        return make_verb(cmd_name, VERBS[cmd_name]) if cmd_name in VERBS else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the verb that is called; the message about an unknown one names one like it."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = get_close_matches(args[0], VERBS, 1)
            ctx.fail(f"No such command {args[0]!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

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
            return FAILED.get(str(ctx.invoked_subcommand), USAGE)
        except ModuleNotFoundError as error:
            verb, package = str(ctx.invoked_subcommand), (error.name or "vary").split(".")[0]
            if ctx.params.get("debug") or package == "vary":
                raise
            extra = "torch" if verb == "eval" and package in ("torch", "transformers") else EXTRAS.get(verb, "torch")
            complain(str(MissingExtra(f"vary {verb}", PACKAGES.get(package, package), extra)))
            return FAILED.get(verb, USAGE)


def _reason_of(error: Exception) -> str:
    """Return the message of an error; of the system's errors the file and the reason, without a number."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        write(f"vary {__version__}")
        ctx.exit()


def _print_completion(ctx: click.Context, _: click.Parameter, shell: str | None) -> None:
    if shell:
        from click.shell_completion import get_completion_class

        kind = get_completion_class(shell)
        assert kind
        write(kind(app, {}, "vary", COMPLETE).source())
        ctx.exit()


app = _Verbs(
    "vary",
    help="Read PDFs and page images as Markdown; train, convert, serve and measure models that do.",
    epilog="Exit codes: 0 all read, 1 usage, 2 some of it lost, 3 nothing read, 130 Ctrl-C.",
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[
        click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
                     help="Print the version."),
        click.Option(["--completion"], type=click.Choice(SHELLS), metavar="SHELL", is_eager=True, expose_value=False,
                     callback=_print_completion, help=f"Print the script that makes {', '.join(SHELLS)} complete."),
        click.Option(["--debug"], is_flag=True, help="Show the traceback of every error."),
    ],
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    escape_unprintable()
    try:
        return app.main(argv, prog_name="vary", complete_var=COMPLETE, standalone_mode=False) or OK
    except click.ClickException as error:  # wrong usage
        context = getattr(error, "ctx", None)
        if context:
            print(context.get_usage(), file=sys.stderr)
        complain(error.format_message())
        return FAILED.get(context.info_name, USAGE) if context else USAGE
