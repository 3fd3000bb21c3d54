"""Make samples of real PDF pages: the image, and the text layer in reading order, one paragraph per line.

This follows Vary (arXiv 2312.06109 section 3.2.2: pages and their text from open documents, lines joined into
paragraphs). Text layers are often wrong, so pages with a doubtful layer are detected, counted by reason (`report`) and
never used. PDFium runs in a child process (`io/pdf.py`), because it can crash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...io.child import Child, ChildAnswer, ChildDied
from ...io.errors import ConfigError, InputError
from ...io.pdf import RENDER_TIMEOUT_S
from ...io.pdf_layer import TextLayer
from ..sample import Sample
from .child import ENTRY
from .paragraphs import page_text
from .quality import distrust

HEADS = ("keep", "drop")
REDRAWS = 100  # maximum number of pages tried for one sample


class PdfSource:
    """Pages of PDF files as samples.

    files: PDF files (also .pdf.gz), or folders that are searched; `pages` lists all pages as (file, number from 1) in a
    fixed order. height, width: pixels of the image; a page keeps its aspect ratio and is padded with white on the right
    and below. heads: "keep" or "drop" running heads and page numbers in the target. max_math: share of mathematical
    characters above which a page is not used, because text layers do not represent formulas. least: minimum characters
    of a page. Raises ValueError if there is no PDF or an option is unknown; files that cannot be opened are in
    `report()`.
    """

    def __init__(
        self,
        files: str | Path | Sequence[str | Path],
        seed: int = 0,
        *,
        height: int = 1024,
        width: int = 1024,
        heads: str = "keep",
        max_math: float = 0.02,
        least: int = 20,
        timeout_s: float = RENDER_TIMEOUT_S,
    ):
        if heads not in HEADS:
            raise ConfigError(f"heads {heads!r}; allowed: {', '.join(HEADS)}")
        self.seed, self.height, self.width, self.heads = seed, height, width, heads
        self.max_math, self.least = max_math, least
        self.timeout_s, self._child = timeout_s, Child(ENTRY)
        self.unusable: dict[tuple[str, int], str] = {}  # (file, page) -> reason; page 0 means the whole file
        self.used: set[tuple[str, int]] = set()
        self.pages: list[tuple[str, int]] = []
        for path in _pdf_files([files] if isinstance(files, str | Path) else files):
            try:
                count = self._ask({"path": str(path)})[0]["pages"]
            except InputError as error:
                self.unusable[str(path), 0] = f"file: {str(error).removeprefix(f'{path}: ')}"
                continue
            self.pages += [(str(path), number) for number in range(1, count + 1)]
        if not self.pages:
            raise InputError(f"{files}: no page of a PDF in it; {dict(self.report())}")

    def __len__(self) -> int:
        return len(self.pages)

    def sample(self, i: int) -> Sample:
        """Return a usable page drawn by (seed, i). The first len(self) samples try each page once, in random order.

        Raises ValueError if REDRAWS pages in a row cannot be used.
        """
        turn, place = divmod(i, len(self.pages))
        first = int(np.random.default_rng((self.seed, 12, turn)).permutation(len(self.pages))[place])
        rng = np.random.default_rng((self.seed, 13, i))
        for attempt in range(REDRAWS):
            found = self.page(first if attempt == 0 else int(rng.integers(len(self.pages))))
            if found is not None:
                return found
        raise InputError(f"sample {i}: {REDRAWS} pages cannot be used: {dict(self.report())}")

    def page(self, k: int) -> Sample | None:
        """Return page k of `pages`, or None if its text layer is not reliable; `report()` gives the reason."""
        path, number = self.pages[k]
        try:
            layer, image, size, facts = self._read(path, number)
        except InputError as error:
            self.unusable[path, number] = f"renderer: {str(error).split(': ', 1)[-1]}"
            return None
        reason = distrust(layer, image, facts, self.max_math, self.least)
        if reason is None:
            target, lines, how = page_text(layer, size, self.heads == "keep")
            reason = None if target else "no text but running heads"
        if reason is not None:
            self.unusable[path, number] = reason
            return None
        self.used.add((path, number))
        self.unusable.pop((path, number), None)  # the page may be usable if the child died for another reason
        return Sample(image, lines, "pdf", {"file": path, "page": number, "order": how}, target)

    def report(self) -> Counter[str]:
        """Return the number of pages used, and of pages not used for each reason. An unreadable file counts as one."""
        return Counter({"used": len(self.used)}) + Counter(self.unusable.values())

    def close(self) -> None:
        """End the child process."""
        self._child.close()

    def _ask(self, request: dict[str, Any]) -> ChildAnswer:
        """Return the child's answer. Raises an input error with file, page and reason."""
        where = f"{request['path']}, page {request['page']}" if "page" in request else request["path"]
        try:
            answer, data = self._child.ask(request, self.timeout_s)
        except ChildDied as gone:
            reason = f"took longer than {self.timeout_s:g} s" if gone.late else "the PDF renderer crashed"
            raise InputError(f"{where}: {reason}") from None
        if "error" in answer:
            raise InputError(f"{where}: {answer['error']}")
        return answer, data

    def _read(self, path: str, number: int) -> tuple[TextLayer, np.ndarray, tuple[int, int], dict[str, int]]:
        request = {"path": path, "page": number, "height": self.height, "width": self.width}
        answer, data = self._ask(request)
        count, width, height = answer["characters"], answer["width"], answer["height"]
        layer = TextLayer.unpack(count, answer["fonts"], data)
        drawn = np.frombuffer(data, np.uint8, width * height, len(data) - width * height).reshape(height, width)
        image = np.full((self.height, self.width), 255, np.uint8)
        image[:height, :width] = drawn
        x0, y0, x1, y1 = layer.boxes.T  # text outside the page, such as crop marks, is dropped
        return layer.select((x1 >= 0) & (y1 >= 0) & (x0 <= width) & (y0 <= height)), image, (width, height), answer


def _pdf_files(given: Sequence[str | Path]) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, given):
        if not path.exists():
            raise InputError(f"{path}: does not exist")
        inside = path.rglob("*") if path.is_dir() else [path]
        found += sorted(p for p in inside if not path.is_dir() or p.name.lower().endswith((".pdf", ".pdf.gz")))
    return [path for path in dict.fromkeys(found) if path.is_file()]
