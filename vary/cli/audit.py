"""The verb that compares a PDF's text layer with what its pages show: `audit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..io.errors import InputError
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

    Exit codes: 0 no difference, 1 some differences, 2 some pages could not be read, 3 nothing was compared.
    """
    from ..io.source import check_page_numbers
    from ..reading.api import load
    from ..reading.pages import read_pages

    if not file.exists():
        complain(f"{file}: no such file")
        return NOTHING
    check_page_numbers(pages)
    reader = load(model, device)
    found = lost = count = bare = 0
    try:
        for page in read_pages(file, reader, pages, password):
            count += 1
            lost += page.status in ("failed", "timeout")
            if page.error:
                complain(f"{file}, page {page.number}: {page.error}")
            elif page.layer == "none":
                bare += 1
            for finding in _findings(page):
                found += 1
                write(json.dumps(finding, ensure_ascii=False) if as_json else _line(finding))
    except InputError as error:  # the file as a whole
        complain(str(error))
        return SOME_LOST if count > lost else NOTHING
    complain(_summary(count, lost, bare, found))
    if lost == count:
        return NOTHING
    return SOME_LOST if lost else DIFFERS if found else OK


def _summary(pages: int, lost: int, bare: int, found: int) -> str:
    """Return what was compared, so that a scan, which has nothing to compare, is not taken for a right file."""
    parts = [f"{pages - lost - bare} of {pages} pages compared"]
    parts += [f"{bare} without a text layer"] if bare else []
    parts += [f"{lost} lost"] if lost else []
    return ", ".join([*parts, f"{found or 'no'} difference{'s' if found > 1 else ''}"])


def _findings(page: Page) -> list[dict[str, Any]]:
    """Return what differs on a page: text that is not what the page shows, and hidden text."""
    from ..document.findings import round_box

    known = {"page": page.number, "dpi": page.dpi}
    differ = [
        known | {"box": round_box(d.box), "layer": d.layer, "pixels": d.pixels, "odds": round(d.odds, 1)}
        for d in page.disagreements
    ]
    hidden = [known | {"box": round_box(h.box), "layer": h.text, "pixels": "", "hidden": h.reason} for h in page.hidden]
    return differ + hidden


def _line(found: dict[str, Any]) -> str:
    box = " ".join(f"{value:g}" for value in found["box"])
    why = f"hidden: {found['hidden']}" if "hidden" in found else f"shows {found['pixels']!r}, odds {found['odds']:g}"
    return f"page {found['page']}, box {box}: the layer says {found['layer']!r}, {why}"
