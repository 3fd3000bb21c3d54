"""Cut crops from real PDF pages for the reading head; character boxes come from the text layer.

Several crops are cut from each rendered page, because PDFium is slower than training. Each crop shows at least one
line. Ink that cannot be spelled, because it is cut by the edge or contains a character outside the alphabet, becomes an
`UNREAD` region: the loss ignores it.

Frame: pixels of the crop.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...document.alphabets import class_index
from ...io.errors import InputError
from ..degrade import degrade
from ..registry import PACKAGES, SOURCES
from ..sample import UNREAD, LabelledLine, Region, Sample

CROPS = 6  # crops per page
PAGE_PX = 1232  # an A4 or letter page at 105 to 112 dpi: type of 10 pt is 15 px high
MIN_EM_PX = 8.5  # smaller digits are ambiguous
NATIVE = 0.4  # share of the crops that keep the renderer's pixels; the others are scaled


class CropSource:
    """Crops of height x width px; `sample(i)` is a pure function of (seed, i).

    files: PDFs, folders of them, `deb:NAME`. alphabet: characters that the head can spell. sizes_px: px per em of
    scaled crops. degraded: share with scan defects. Each process renders in its own child process.

    Raises InputError for a file or folder that does not exist.
    """

    def __init__(
        self,
        files: tuple[str, ...],
        alphabet: str,
        *,
        seed: int = 0,
        height: int = 256,
        width: int = 512,
        sizes_px: tuple[float, float] = (11.0, 24.0),
        degraded: float = 0.3,
    ):
        if missing := [name for name in files if not name.startswith(PACKAGES) and not Path(name).exists()]:
            raise InputError(f"{missing[0]}: does not exist")  # before anything is fetched
        self.files, self.alphabet, self.seed = files, frozenset(class_index(alphabet)), seed
        self.height, self.width, self.sizes_px, self.degraded = height, width, sizes_px, degraded
        self._pages: tuple[int, Any] = (0, None)  # process, its source
        self._last: tuple[int, Sample | None] = (-1, None)

    def sample(self, i: int) -> Sample:
        """Return crop i. `meta` names file and page. Raises ValueError if the files have no usable page."""
        rng = np.random.default_rng((self.seed, 14, i))
        page = self._page(i // CROPS)
        scale = 1.0
        if rng.random() >= NATIVE and page.lines:
            em = float(np.median([line.em_px for line in page.lines]))
            scale = float(np.clip(rng.uniform(*self.sizes_px) / max(em, 1.0), 0.5, 2.0))
        image, lines, regions = self._cut(page, scale, rng)
        meta = {key: page.meta[key] for key in ("file", "page")}
        if rng.random() < self.degraded:
            image, meta["degraded"] = degrade(image, lines, rng, regions)
        return Sample(image, lines, "pdf", meta, regions=regions)

    def _page(self, number: int) -> Sample:
        if self._pages[0] != os.getpid():
            settings = {"files": self.files, "height": PAGE_PX, "width": PAGE_PX}
            self._pages, self._last = (os.getpid(), SOURCES["pdf"](settings, self.seed)), (-1, None)
        if self._last[0] != number:
            self._last = number, self._pages[1].sample(number)
        assert self._last[1] is not None
        return self._last[1]

    def _cut(
        self, page: Sample, scale: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, list[LabelledLine], list[Region]]:
        anchor = page.lines[int(rng.integers(len(page.lines)))].box
        x = rng.uniform(anchor[0] - 8, max(anchor[0], anchor[2] - 0.5 * self.width / scale)) * scale
        y = rng.uniform(anchor[1] * scale - 0.9 * self.height, anchor[1] * scale)
        image = page.image
        if scale != 1.0:
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)
        left = int(np.clip(x, 0, max(0, image.shape[1] - self.width)))
        top = int(np.clip(y, 0, max(0, image.shape[0] - self.height)))
        out = np.full((self.height, self.width), 255, np.uint8)
        piece = image[top : top + self.height, left : left + self.width]
        out[: piece.shape[0], : piece.shape[1]] = piece
        lines: list[LabelledLine] = []
        regions: list[Region] = []
        for line in page.lines:
            self._keep(_move(line, scale, left, top), lines, regions)
        return out, lines, regions

    def _keep(self, line: LabelledLine, lines: list[LabelledLine], regions: list[Region]) -> None:
        """Add the part of a line that is completely on the crop to `lines`, and the rest of it to `regions`."""
        x0, y0, x1, y1 = line.boxes.T
        if not ((x1 > 0) & (x0 < self.width) & (y1 > 0) & (y0 < self.height)).any():
            return
        tall = 0.25 * line.em_px
        whole = (x0 >= 0) & (x1 <= self.width)
        level = line.baseline + tall < self.height and line.baseline - line.x_height - 1.5 * tall > 0
        first, last = (int(whole.argmax()), len(whole) - int(whole[::-1].argmax())) if whole.any() else (0, 0)
        spelt = line.text[first:last]
        if not level or not whole[first:last].all() or not self.alphabet.issuperset(spelt) or not _legible(line, spelt):
            first = last = 0
        text = line.text[first:last]
        first, last = first + len(text) - len(text.lstrip()), last - len(text) + len(text.rstrip())
        if last > first:
            styles = None if line.styles is None else line.styles[first:last]
            lines.append(replace(line, text=line.text[first:last], boxes=line.boxes[first:last], styles=styles))
        left_out = np.ones(len(x0), bool)
        left_out[first:last] = False
        left_out &= (x1 > 0) & (x0 < self.width)
        if left_out.any():
            sides = (0.0, float(x0[left_out].min())), (float(x1[left_out].max()), float(self.width))
            box = max(sides[0]), float(y0[left_out].min()), min(sides[1]), float(y1[left_out].max())
            regions.append(Region(UNREAD, box, "".join(ch for ch, out in zip(line.text, left_out, strict=True) if out)))


def _legible(line: LabelledLine, text: str) -> bool:
    """Return whether the font is large enough, and the layer's spaces are between words and not between letters."""
    words = text.split()
    return line.em_px >= MIN_EM_PX and (len(words) < 6 or sum(len(word) == 1 for word in words) < 0.6 * len(words))


def _move(line: LabelledLine, scale: float, left: int, top: int) -> LabelledLine:
    boxes = line.boxes * scale - np.array([left, top, left, top], np.float32)
    return replace(
        line, boxes=boxes.astype(np.float32), baseline=line.baseline * scale - top,
        x_height=line.x_height * scale, em_px=line.em_px * scale,
    )  # fmt: skip
