"""The verb that compares a PDF's text layer with what its pages show: `audit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from .console import NOTHING, OK, SOME_LOST, complain, write
from .options import Device, Pages, Password
from .parameters import Argument, Option

if TYPE_CHECKING:
    from ..document.elements import Page

DIFFERS = 1


def audit(
    file: Annotated[Path, Argument(metavar="FILE", help="A PDF.")],
    pages: Pages = None,
    model: Annotated[str, Option(metavar="MODEL", help="A name or a folder.")] = "vary-nano",
    device: Device = "cpu",
    password: Password = None,
    as_json: Annotated[bool, Option("--json", help="Print a JSON object per line.")] = False,
) -> int:
    """Compare the text layer of a PDF with its pages, and list where they differ.

    Exit codes: 0 no difference, 1 some, 2 some pages lost, 3 nothing read.
    """
    from ..reading.api import load
    from ..reading.pages import read_pages

    if not file.exists():
        complain(f"{file}: no such file")
        return NOTHING
    differs, lost, count = False, 0, 0
    for page in read_pages(file, load(model, device), pages, password):
        count += 1
        if page.error:
            complain(f"{file}, page {page.number}: {page.error}")
        lost += page.status in ("failed", "timeout")
        for found in _findings(page):
            differs = True
            write(json.dumps(found, ensure_ascii=False) if as_json else _line(found))
    if lost == count:
        return NOTHING
    return SOME_LOST if lost else DIFFERS if differs else OK


def _findings(page: Page) -> list[dict[str, Any]]:
    """Return what differs on a page: text that is not what the page shows, and text that nobody sees."""
    known = {"page": page.number, "dpi": page.dpi}
    differ = [
        known | {"box": _round(d.box), "layer": d.layer, "pixels": d.pixels, "odds": round(d.odds, 1)}
        for d in page.disagreements
    ]
    hidden = [known | {"box": _round(h.box), "layer": h.text, "pixels": "", "hidden": h.reason} for h in page.hidden]
    return differ + hidden


def _round(box: tuple[float, ...]) -> list[float]:
    return [round(float(value), 1) for value in box]


def _line(found: dict[str, Any]) -> str:
    box = " ".join(f"{value:g}" for value in found["box"])
    why = f"hidden: {found['hidden']}" if "hidden" in found else f"shows {found['pixels']!r}, odds {found['odds']:g}"
    return f"page {found['page']}, box {box}: the layer says {found['layer']!r}, {why}"
