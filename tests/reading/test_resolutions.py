"""The same page at several resolutions has the same blocks in the same order."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
import typst
from PIL import Image

from vary.document.elements import Page
from vary.reading.loader import load_reader
from vary.reading.pages import read_document

PAGE = """#set page(width: 595pt, height: 842pt, margin: 50pt)
#set text(size: 10pt, font: "Libertinus Serif")
#set par(justify: true)
#align(center, text(size: 20pt)[The Ledger of the Bay])
#columns(2, gutter: GUTTER)[
  Alder opens the left column. The office keeps a ledger of every vessel that enters the bay, with the name of its
  captain and of its cargo, and the hour of arrival.

  #figure(rect(width: 80%, height: 90pt, stroke: 1pt)[
    #place(dx: 20pt, dy: 20pt, circle(radius: 18pt, fill: luma(120)))
    #place(dx: 90pt, dy: 50pt, line(length: 60pt, angle: -30deg, stroke: 2pt))
  ], caption: [Birch is the harbour seen from the quay.])

  Cedar stands below the figure. When the tide is low the pilots wait beyond the second buoy, and no ship may leave
  before the dues of the previous voyage are paid in full to the office.

  #rect(width: 100%, inset: 8pt, stroke: 1pt)[Dogwood is in a box. Copies of the ledger are sent to the capital.]

  Elm closes the left column. Lamps are lit at dusk, and the watch changes at the fourth bell of each night.

  #colbreak()
  Fir opens the right column. Ropes are kept dry in the upper loft, where the wind goes through the shutters.

  #table(columns: 3, [Quay], [Ships], [Dues], [North], [14], [1,204], [South], [9], [873], [West], [21], [1,977])

  Gorse stands below the table. In winter the boats are hauled out and tarred, and their oars are counted.

  - Hazel begins a list of three.
  - Ivy is its second item.
  - Juniper is the last one.

  Larch closes the page. Whoever finds a lantern adrift brings it to the office and is paid for it.
]
"""
MARKS = (
    *("Ledger", "Alder", "Birch", "Cedar", "Dogwood", "Elm"),
    *("Fir", "Quay", "Gorse", "Hazel", "Ivy", "Juniper", "Larch"),
)


def pdf(folder: Path, gutter: str) -> Path:
    (folder / "page.typ").write_text(PAGE.replace("GUTTER", gutter), encoding="utf-8")
    typst.compile(folder / "page.typ", folder / "page.pdf")
    return folder / "page.pdf"


@cache
def reader():
    return load_reader("vary-nano", pixels=True)


def order(page: Page) -> list[str]:
    """Return the marks in the order of the page's text."""
    return [word for word in page.text.replace(".", " ").split() if word in MARKS]


@pytest.mark.parametrize(
    ("gutter", "resolutions"),
    [("12pt", (112, 200)), *(pytest.param(one, (112, 150, 200), marks=pytest.mark.slow) for one in ("12pt", "18pt"))],
)
def test_the_order_of_a_page_is_that_of_every_resolution(tmp_path, gutter, resolutions) -> None:
    path = pdf(tmp_path, gutter)
    found = {}
    for dpi in resolutions:
        picture = tmp_path / f"{dpi}.png"
        image = pypdfium2.PdfDocument(path)[0].render(scale=dpi / 72).to_numpy()
        Image.fromarray(np.ascontiguousarray(image[..., :3])).save(picture)
        found[dpi] = order(read_document(picture, reader()).pages[0])
    assert found == {dpi: list(MARKS) for dpi in resolutions}
