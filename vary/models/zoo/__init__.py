"""The zoo: one YAML file per named model, `parts.yaml` with the parts that they share, `systems.yaml` with the rest.

Belongs here: sizes, names and facts of models. Imports neither torch nor transformers, so listing models is quick.
Never here: code for one model. A file has the keys of `VaryConfig` and `about` (see `About`). `of: NAME` takes a part
of `parts.yaml`; a file of a user may have the same form.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ...document.alphabets import EUROPEAN, LATIN
from ...io.errors import ConfigError
from ...markup.math_tokens import GLYPHS, STRUCTURE
from .shrink import shrink

Settings = dict[str, Any]
FOLDER = Path(__file__).parent
NAMED: dict[tuple[str, str], dict[str, Any]] = {  # long values that a row gives by name
    ("reading", "alphabet"): {"latin": LATIN, "european": EUROPEAN},
    ("reading", "decoder_alphabet"): {"latin": LATIN},
    ("formulas", "glyphs"): {"math": GLYPHS},
    ("glyph_head", "glyphs"): {"math": GLYPHS},
    ("formulas", "structure"): {"math": list(STRUCTURE)},
}
RESEARCH = "the authors' weights: research use only (their README; no licence file)"


@dataclass(frozen=True)
class About:
    """Facts of a row that do not change the model.

    `row` is its number in the list of systems (docs/family.md), `paper` its source, `licence` that of its weights.
    `reference` is the model type of transformers that computes the same, `code` the authors' public code: repository,
    file and commit. `level` says what a test shows: `equal` to the reference, `transcribed` (equal to that code, which
    the test writes again), or `shape`. `trains` names the parts that its training changes. `note` names what differs.
    """

    row: int | None = None
    paper: str = ""
    licence: str = RESEARCH
    reference: str = ""
    code: str = ""
    level: str = "shape"
    trains: tuple[str, ...] = ()
    note: str = ""


def names() -> list[str]:
    """Return the names of all models, our own first."""
    return list(_names())


@cache
def _names() -> tuple[str, ...]:
    own = (
        "vary-nano",
        "vary-nano-formulas",
        "vary-nano-scripts",
        "vary-tiny",
        "vary-tiny-paper",
        "vary-tiny-600k",
        "vary-toy",
        "vary-base",
        "vary-base-vicuna",
    )
    found = sorted(file.stem for file in FOLDER.glob("*.yaml") if file.stem not in ("parts", "systems"))
    return (*own, *(name for name in found if name not in own))


def settings(name: str) -> Settings:
    """Return the arguments of `VaryConfig` for a model of the zoo or a YAML file; `-test` after it is the miniature.

    Raises:
        ValueError: The name is unknown, or the file is not a description of a model.
    """
    full = name.removesuffix("-test")
    found = _expand(full)
    found.pop("about", None)
    if name != full:
        found = shrink(found)
    found["text_config"].pop("ordinary_tokens", None)
    return found


def about(name: str) -> About:
    """Return the facts of a model of the zoo or of a YAML file."""
    given: Any = _expand(name.removesuffix("-test")).get("about", {})
    if unknown := set(given) - {f.name for f in fields(About)}:
        raise ConfigError(f"{name}: about: unknown key {sorted(unknown)[0]!r}; allowed: {_list_names(About)}")
    return About(**given | {"trains": tuple(given.get("trains", ()))})


def is_named(name: str) -> bool:
    """Return whether a name is that of a model of the zoo, or of an existing YAML file."""
    return name in _names() or (name.endswith((".yaml", ".yml")) and Path(name).is_file())


def unknown_model(name: str, others: str = "a YAML file") -> ConfigError:
    """Return the error for a name that no model has. others: what is allowed besides names."""
    if name.endswith((".yaml", ".yml")):
        return ConfigError(f"{name}: no such file")
    near = get_close_matches(name, _names(), 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return ConfigError(f"unknown model {name!r}; {hint}allowed: a name that `vary family` lists, {others}")


def _list_names(kind: type) -> str:
    return ", ".join(f.name for f in fields(kind))


def _expand(name: str) -> Settings:
    """Read a row and put the parts in it."""
    if not is_named(name):
        raise unknown_model(name)
    file = FOLDER / f"{name}.yaml" if name in _names() else Path(name)
    row = _of_zoo(file) if name in _names() else _read(file)
    if not isinstance(row, dict) or not isinstance(row.get("text_config"), dict):
        raise ConfigError(f"{file}: not a description of a model: it needs a mapping text_config")
    row = _with_parts(row, str(file))
    for (part, key), values in NAMED.items():
        given = (row.get(part) or {}).get(key)
        if isinstance(given, str) and given in values:
            row[part][key] = values[given]
    return row


def _read(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: {' '.join(str(error).split())}") from None


_of_zoo = cache(_read)  # these files do not change


def _parts() -> Settings:
    return _of_zoo(FOLDER / "parts.yaml")


def _with_parts(value: Any, where: str) -> Any:
    """Replace every mapping with a key `of` by that part, changed by the other keys of the mapping."""
    if isinstance(value, list):
        return [_with_parts(member, where) for member in value]
    if not isinstance(value, dict):
        return value
    if "of" not in value:
        return {key: _with_parts(member, where) for key, member in value.items()}
    name = value["of"]
    if name not in _parts():
        raise ConfigError(f"{where}: unknown part {name!r}; allowed: {', '.join(_parts())}")
    part = _with_parts(_parts()[name], where)
    return _merge(part, {key: _with_parts(member, where) for key, member in value.items() if key != "of"})


def _merge(part: Settings, changes: Settings) -> Settings:
    found = dict(part)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = _merge(found[key], value) if both else value
    return found


__all__ = ["About", "about", "is_named", "names", "settings", "shrink"]
