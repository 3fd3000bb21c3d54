"""Options and arguments of a verb, from the signature of its function; the command line itself is click's.

`name: Annotated[str, Option(help="...")] = "x"` is the option `--name`, `name: Annotated[str, Argument()]` an argument.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import click
from click.shell_completion import CompletionItem

TYPES: dict[Any, click.ParamType[Any]] = {
    str: click.STRING, int: click.INT, float: click.FLOAT, bool: click.BOOL, Path: click.Path(path_type=Path),
}  # fmt: skip


class Option:
    """An option.

    Args:
        flags: Such as `-o`, `--out`; without them the parameter's name.
        metavar: What stands for the value in the help.
        help: What it does.
        min: Least value.
        show_default: What the help names as the default; None shows the default itself.
        envvar: Environment variable that gives the value.
        choices: Returns what a shell completes.
    """

    def __init__(
        self,
        *flags: str,
        metavar: str | None = None,
        help: str | None = None,
        min: float | None = None,
        show_default: str | None = None,
        envvar: str | None = None,
        choices: Callable[[], Sequence[str]] | None = None,
    ):
        self.flags, self.metavar, self.help, self.min = flags, metavar, help, min
        self.show_default, self.envvar, self.choices = show_default, envvar, choices


@dataclass
class Argument:
    """An argument. metavar: its name in the help. help: what it is. show_default: what the help names as default."""

    metavar: str
    help: str = ""
    show_default: str | None = None


class Verb(click.Command):
    """A verb whose help lists its arguments, too."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments, then the options."""
        arguments = [param for param in self.params if isinstance(param, _Argument)]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl([(param.make_metavar(ctx), param.described) for param in arguments])
        super().format_options(ctx, formatter)


class _Argument(click.Argument):
    described = ""


def make_verb(name: str, function: Callable[..., int]) -> Verb:
    """Return the command of a verb: its docstring is its help, its parameters are its options and arguments."""
    hints = get_type_hints(function, include_extras=True)
    params = [_param(p, hints[p.name]) for p in inspect.signature(function).parameters.values()]

    def run(**given: Any) -> int:
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
        return function(**{key: value if value != [] else None for key, value in values.items()})

    settings = {"help_option_names": ["-h", "--help"]}
    return Verb(name, params=params, callback=run, help=inspect.getdoc(function), context_settings=settings)


def _param(parameter: inspect.Parameter, annotation: Any) -> click.Parameter:
    assert get_origin(annotation) is Annotated
    annotation, about = get_args(annotation)
    required = parameter.default is inspect.Parameter.empty
    default = None if required else parameter.default
    kind, many, count = _type_of(annotation)
    if isinstance(about, Argument):
        named = about.metavar if required else f"[{about.metavar}]"
        found = _Argument(
            [parameter.name], type=kind, required=required, nargs=-1 if many else count,
            metavar=named + "..." * (many and "..." not in named), **({} if required else {"default": default}),
        )  # fmt: skip
        shown = about.show_default or default
        notes = "  [required]" if required else f"  [default: {shown}]" if shown else ""
        found.described = f"{about.help}{notes}".strip()
        return found
    assert isinstance(about, Option)
    if about.min is not None:
        kind = click.IntRange(int(about.min)) if kind is click.INT else click.FloatRange(about.min)
    flags = about.flags or ("--" + parameter.name.replace("_", "-"),)
    flag = kind is click.BOOL
    extra: dict[str, Any] = {"is_flag": True}
    if not flag:
        extra = {"type": kind, "nargs": count, "multiple": True, "callback": None if many else _one_value}
        default = default if many or default is None else (default,)
    shown_default: Any = about.show_default or (default not in (None, False, "") and not (flag and "/" not in flags[0]))
    return click.Option(
        [parameter.name, *flags], required=required, default=default, metavar=about.metavar, help=about.help,
        show_default=shown_default, envvar=about.envvar, shell_complete=_completes(about.choices), **extra,
    )  # fmt: skip


def _one_value(_: click.Context, option: click.Parameter, given: tuple[Any, ...]) -> Any:
    """Return the value of an option that has one. Of a list such as A,B each option may give a part."""
    if len(given) > 1 and "," not in (option.metavar or ""):
        raise click.UsageError(f"{option.opts[-1]}: given {len(given)} times; it may be given once")
    return ",".join(given) if len(given) > 1 else given[0] if given else None


def _type_of(annotation: Any) -> tuple[click.ParamType[Any], bool, int]:
    """Return the type of one value, whether there may be any number of them, and how many values are one."""
    if get_origin(annotation) in (Union, types.UnionType):  # X | None
        annotation = next(one for one in get_args(annotation) if one is not type(None))
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation)), False, 1
    if get_origin(annotation) is list:
        return _type_of(get_args(annotation)[0])[0], True, 1
    if get_origin(annotation) is tuple:
        return _type_of(get_args(annotation)[0])[0], False, len(get_args(annotation))
    return TYPES[annotation], False, 1


def _completes(choices: Callable[[], Sequence[str]] | None) -> Callable[..., list[CompletionItem]] | None:
    if choices is None:
        return None
    return lambda _ctx, _param, typed: [CompletionItem(one) for one in choices() if one.startswith(typed)]
