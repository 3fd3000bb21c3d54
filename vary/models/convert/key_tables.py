"""Rename tensors by two-column tables: foreign names on the left, ours on the right, read in both directions.

`{i}` in a name is a number, `{*}` anything. Where one side has several names, its tensors stacked along the first axis
are the one tensor of the other side (fused and separate q, k, v).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor

from ...io.errors import InputError

Names = str | tuple[str, ...]
Table = list[tuple[Names, Names]]


def rename(state: dict[str, Tensor], table: Table, dropped: Iterable[str] = ()) -> dict[str, Tensor]:
    """Rename tensors to the names in the right column of a table.

    dropped: patterns of names that may be there and are not kept. Raises ValueError for any other name that the table
    does not hold, for a group that is not complete, and for two tensors that would get one name.
    """
    left = {name: state[name] for name in state if not any(_pattern(d).fullmatch(name) for d in dropped)}
    found: dict[str, Tensor] = {}
    for theirs, ours in table:
        for values in _matches(left, _names(theirs)):
            tensors = [left.pop(_fill(name, values)) for name in _names(theirs)]
            for name, tensor in zip(_names(ours), _split(tensors, len(_names(ours))), strict=True):
                target = _fill(name, values)
                if target in found:
                    raise InputError(f"two tensors would become {target}")
                found[target] = tensor
    if left:
        raise InputError(f"{len(left)} tensors have no place in the model: {_some(left)}")
    return found


def reverse(table: Table) -> Table:
    """Return the same table, read from right to left."""
    return [(ours, theirs) for theirs, ours in table]


def check(state: dict[str, Tensor], expected: dict[str, torch.Size], absent: Iterable[str] = ()) -> list[str]:
    """Return names that `state` lacks and may lack (patterns of `absent`). Raises ValueError for other differences."""
    extra = [name for name in state if name not in expected]
    if extra:
        raise InputError(f"{len(extra)} tensors have no place in the model: {_some(extra)}")
    for name, tensor in state.items():
        if tensor.shape != expected[name]:
            raise InputError(f"{name} has the shape {list(tensor.shape)}, the model has {list(expected[name])}")
    missing = [name for name in expected if name not in state]
    wrong = [name for name in missing if not any(_pattern(a).fullmatch(name) for a in absent)]
    if wrong:
        raise InputError(f"{len(wrong)} tensors of the model are missing: {_some(wrong)}")
    return missing


def _names(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name).replace(r"\{i\}", r"(\d+)").replace(r"\{\*\}", r"(.+)"))


def _matches(state: dict[str, Tensor], names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Find the values of the wildcards for each tensor, or group of tensors, that fits; a group must be complete."""
    found = [m.groups() for m in map(_pattern(names[0]).fullmatch, state) if m]
    for name in names[1:]:
        others = {m.groups() for m in map(_pattern(name).fullmatch, state) if m}
        if others != set(found):
            odd = sorted(others.symmetric_difference(found))[0]
            raise InputError(f"{_fill(names[0], odd)} and {_fill(name, odd)} belong together, and one is missing")
    return found


def _fill(name: str, values: tuple[str, ...]) -> str:
    for value in values:
        name = re.sub(r"\{[i*]\}", lambda _, value=value: value, name, count=1)  # type: ignore[misc]
    return name


def _split(tensors: list[Tensor], parts: int) -> list[Tensor]:
    """n tensors -> `parts` tensors; one of the two numbers is 1 or both are equal."""
    if len(tensors) == parts:
        return tensors
    whole = torch.cat(tensors) if len(tensors) > 1 else tensors[0]
    if whole.shape[0] % parts:
        raise InputError(f"a tensor of {list(whole.shape)} cannot be cut into {parts}")
    return [part.clone() for part in whole.chunk(parts)]


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")
