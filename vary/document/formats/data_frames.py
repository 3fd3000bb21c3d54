"""Turn the tables of pages into pandas data frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...io.errors import MissingExtra
from ..elements import Page
from .tables import simple_rows

if TYPE_CHECKING:
    import pandas


def data_frames(pages: Iterable[Page]) -> list[pandas.DataFrame]:
    """Return each table as a frame of strings; its head, in one row, names the columns, `attrs` holds `page` and `box`.

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise MissingExtra("Document.to_pandas", "pandas", "pandas") from None
    frames = []
    for page in pages:
        for block in page.blocks:
            if block.cells:
                head, *body = simple_rows(block)
                frame = pandas.DataFrame(body, columns=head)
                frame.attrs = {"page": page.number, "box": block.box}
                frames.append(frame)
    return frames
