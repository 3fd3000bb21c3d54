"""Parse charts out of model answers (dicts) and write them as answers.

Whatever a model wrote is neither trusted nor dropped: text that cannot be parsed is kept in `rejected` as it was.

Sources: Vary's python-dict (arXiv 2312.06109 figure 10), OneChart's schema (arXiv 2404.09987).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TypeAlias

from ..io.errors import InputError

Value: TypeAlias = "str | list[Value] | dict[str, Value]"


# --- charts -----------------------------------------------------------------------------------------------------------

LEAD = "The dict of the chart is: "
_TEXTS = ("title", "source", "x_title", "y_title")
_DEPTH = 8  # dicts in dicts; a chart has two
_BEFORE = re.compile(rf"\s*(?:```\w*\s*)?(?:{LEAD.strip()}\s*)?(?:```\w*\s*)?")
_AFTER = re.compile(r"\s*(?:```\s*)?")


@dataclass(frozen=True)
class Chart:
    """The texts and values of a chart. All values are strings with their unit; `number` parses them.

    values: label -> value, or series -> {x: value}. A text that the chart does not show is None ("None" when written).
    rest: other keys of the dict. complete: whether the dict was parsed to its closing brace. repeated: keys that
    occurred again ("values > 2019") with their value; the first value is kept. rejected: text before and after the
    dict, and everything from the first entry that is cut off or malformed.
    """

    title: str | None = None
    values: dict[str, Value] = field(default_factory=dict)
    source: str | None = None
    x_title: str | None = None
    y_title: str | None = None
    rest: dict[str, Value] = field(default_factory=dict)
    complete: bool = True
    repeated: list[tuple[str, Value]] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)


def parse_chart(text: str) -> Chart:
    """Parse a chart from a Python dict or JSON of either schema, in a code fence or not, with Vary's lead line or not.

    Numbers become strings as they are spelt, null becomes "None". If the dict is cut off or malformed, the entries
    before that place are kept and `complete` is False.

    Raises:
        InputError: the text has no dict.
    """
    start = text.find("{")
    if start < 0:
        lines = text.split("\n")
        where = f"line 1, column 1 to line {len(lines)}, column {len(lines[-1]) + 1}"
        raise InputError(f"no dict of a chart: there is no '{{' from {where}: {text[:40]!r}")
    reader = _Reader(text, start)
    content: dict[str, Value] = {}
    try:
        reader.read_dict(content, ())
        complete, end = True, reader.at
    except _Stopped:
        complete, end = False, reader.entry
    before, after = text[:start], text[end:]
    rejected = [part for part, usual in ((before, _BEFORE), (after, _AFTER)) if not usual.fullmatch(part)]
    title, source, x_title, y_title = (_take_text(content, key) for key in _TEXTS)
    values: dict[str, Value] = {}
    for key in ("data", "values"):
        if not values and isinstance(given := content.get(key), dict):
            values = given
            del content[key]
    return Chart(
        title, values, source, x_title, y_title, rest=content, complete=complete, repeated=reader.repeated,
        rejected=[part.strip() for part in rejected],
    )  # fmt: skip


def _take_text(content: dict[str, Value], key: str) -> str | None:
    """Remove a text from the dict and return it. A value that is no string stays in the dict."""
    value = content.get(key)
    if not isinstance(value, str):
        return None
    del content[key]
    return None if value == "None" else value


class _Stopped(Exception):
    """The text of a dict ends, or is malformed, before its closing brace."""


_SPACE = re.compile(r"\s*")
_QUOTED = {q: re.compile(rf"{q}([^{q}\\\n]*(?:\\.[^{q}\\\n]*)*){q}") for q in "\"'"}
_BARE = re.compile(r"[^,:，：{}\[\]\"'\n]+")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U000[0-9a-fA-F]{5}|x[0-9a-fA-F]{2}|.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"} | {c: c for c in "\"'\\/"}


class _Reader:
    """Parses a dict that begins at `at`. at: the next character. entry: where the current entry begins.

    Entries are added to their dict at once, and dicts before they are filled. So the parsed part stays if parsing
    stops.
    """

    def __init__(self, text: str, at: int):
        self.text, self.at, self.entry = text, at, at
        self.repeated: list[tuple[str, Value]] = []

    def read_dict(self, found: dict[str, Value], path: tuple[str, ...]) -> None:
        """Parse entries into `found`, including the closing brace."""
        self.take("{")
        self.entry = self.at
        while self.next() != "}":
            self.entry = self.at
            key = self.scalar()
            self.take(":：")
            value = self.begin(path)
            if key in found:
                self.repeated.append((" > ".join((*path, key)), value))
            else:
                found[key] = value
            self.fill(value, (*path, key))
            self.end_entry("}")
        self.at += 1

    def read_list(self, found: list[Value], path: tuple[str, ...]) -> None:
        """Parse items into `found`, including the closing bracket."""
        self.take("[")
        self.entry = self.at
        while self.next() != "]":
            self.entry = self.at
            value = self.begin(path)
            found.append(value)
            self.fill(value, (*path, str(len(found))))
            self.end_entry("]")
        self.at += 1

    def begin(self, path: tuple[str, ...]) -> Value:
        """Parse a scalar, or return an empty dict or list that is still to be filled."""
        opening = self.next()
        if opening not in "{[":
            return self.scalar()
        if len(path) + 2 > _DEPTH:
            raise _Stopped
        return {} if opening == "{" else []

    def fill(self, value: Value, path: tuple[str, ...]) -> None:
        """Parse the content of a dict or list."""
        if isinstance(value, dict):
            self.read_dict(value, path)
        elif isinstance(value, list):
            self.read_list(value, path)

    def end_entry(self, closing: str) -> None:
        """Consume the comma after an entry; the last entry need not have one."""
        self.entry = self.at
        if self.next() != closing:
            self.take(",，")
            self.entry = self.at

    def scalar(self) -> str:
        """Parse a string without its quotes, or a bare word or number as it is spelt."""
        quote = self.next()
        match = (_QUOTED.get(quote) or _BARE).match(self.text, self.at)
        if not match or (match.end() == len(self.text) and quote not in _QUOTED):
            raise _Stopped
        self.at = match.end()
        if quote in _QUOTED:
            return _unescape(match[1])
        word = match[0].strip()
        return "None" if word == "null" else word

    def next(self) -> str:
        """Skip spaces and return the next character, which is not consumed."""
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        if self.at == len(self.text):
            raise _Stopped
        return self.text[self.at]

    def take(self, allowed: str) -> None:
        """Consume one of the allowed characters."""
        if self.next() not in allowed:
            raise _Stopped
        self.at += 1


def _unescape(text: str) -> str:
    r"""Replace escapes of Python and JSON. An unknown escape such as `\%` stays as it is."""
    if "\\" not in text:
        return text

    def character(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) > 1 else _ESCAPED.get(code, match[0])

    plain = _ESCAPE.sub(character, text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # JSON writes an emoji as two halves


def format_chart(chart: Chart, schema: str = "vary", indent: int | None = 4) -> str:
    """Write a chart as an answer. A text that is None is written "None"; the keys of `rest` follow.

    Args:
        chart: the chart.
        schema: "vary" (lead line, title, data) or "onechart" (title, source, x_title, y_title, values). The first has
            no place for the source and the titles of the axes.
        indent: spaces of indentation, None for one line.

    Raises:
        InputError: the schema is unknown.
    """
    if schema not in ("vary", "onechart"):
        raise InputError(f"the schema of a chart is 'vary' or 'onechart', not {schema!r}")
    names = ("title",) if schema == "vary" else _TEXTS
    texts = {name: "None" if getattr(chart, name) is None else getattr(chart, name) for name in names}
    content = {**texts, "data" if schema == "vary" else "values": chart.values, **chart.rest}
    return (LEAD if schema == "vary" else "") + json.dumps(content, indent=indent, ensure_ascii=False)


_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | str.maketrans("　\xa0￥￡−–", "  ¥£--")
_NUMBER = re.compile(
    r"([-+]?) ?((?:[A-Z]{0,2}[$€£¥₹₩₽₺₫฿])?) ?([-+]?)"
    r"((?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d*)?|\.\d+)([eE][-+]?\d+)?"
    r" ?((?![.,])(?:[A-Za-z]\d|\D)*)",
    re.ASCII,
)


def number(value: str) -> tuple[float, str] | None:
    """Parse a value into its number and unit: "12.94%" (12.94, "%"), "1,234" (1234, ""), "$3.5M" (3.5, "$M").

    The number is the printed one: "%", "M" and "万" do not scale it. Full-width forms, the minus sign and exponents are
    understood. Return None for any text that is not one number with a unit ("2019-2020", "12,94", "None").
    """
    match = _NUMBER.fullmatch(" ".join(value.translate(_NARROW).split()))
    if not match:
        return None
    sign, before, inner_sign, digits, exponent, after = match.groups()
    if sign and inner_sign:
        return None
    result = float((sign or inner_sign) + digits.replace(",", "") + (exponent or ""))
    return (result, before + after) if math.isfinite(result) else None
