"""Open PDFs and images as numbered pages; find input files from names, folders and patterns."""

from __future__ import annotations

import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from .errors import InputError, VaryError
from .image import FORMATS, NotAnImage, count_frames, image_dpi, open_image
from .pdf import MAX_PAGE_PIXELS, POINTS_PER_INCH, RENDER_TIMEOUT_S, PdfFile, looks_like_pdf
from .pdf_info import PdfInfo
from .pdf_objects import FormField, PageContent

MAX_PAGES = 20_000  # of one file
PAGE_TIMEOUT_S = 600.0  # CPU time of a page: more than twice what the largest ones take
SUFFIXES = (".pdf", ".pdf.gz", ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")  # read in folders


class Source:
    """The pages of a PDF or an image file. Use it as a context manager; `len()` is the number of pages.

    Args:
        path: The file.
        password: Password of a PDF.
        timeout_s: Limit of CPU time for reading a page; a request to the renderer of PDFs has RENDER_TIMEOUT_S at most.

    Raises:
        InputError: The file cannot be read.
    """

    def __init__(self, path: str | Path, password: str | None = None, timeout_s: float = PAGE_TIMEOUT_S):
        self.path, self.timeout_s = Path(path), timeout_s
        if self.path.is_dir():
            raise InputError(f"{path}: is a folder, expected a PDF or an image")
        try:
            is_pdf = looks_like_pdf(self.path)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        self.pdf = PdfFile(self.path, password, min(timeout_s, RENDER_TIMEOUT_S)) if is_pdf else None
        try:
            self.pages = len(self.pdf) if self.pdf else count_frames(self.path)
        except NotAnImage:
            raise InputError(f"{path}: neither a PDF nor an image; allowed: PDF, {', '.join(FORMATS)}") from None
        self.kept: dict[str, Any] = {}  # what readers of this file keep from page to page

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.pages

    def close(self) -> None:
        """End the process that renders PDFs."""
        if self.pdf:
            self.pdf.close()

    def image(
        self, number: int, dpi: float, colour: bool = False, pixels: tuple[int, int] = (0, MAX_PAGE_PIXELS)
    ) -> tuple[Image.Image, float | None]:
        """Return the image of a page and its resolution, as `PdfFile.render`; an image file as it is, with None."""
        self._check(number)
        if self.pdf:
            return self.pdf.render(number, dpi, colour, pixels)
        return open_image(self.path, frame=number - 1, colour=colour), None

    def content(self, number: int, dpi: float) -> PageContent | None:
        """Return text layer and objects of a PDF's page at `dpi`; None for an image, or when they cannot be read."""
        return self.pdf.content(number, dpi) if self.pdf else None

    @cached_property
    def info(self) -> PdfInfo:
        """What a PDF says about itself; nothing for an image, or when it cannot be read."""
        try:
            return self.pdf.info() if self.pdf else PdfInfo()
        except VaryError:
            return PdfInfo()

    def fonts(self, number: int) -> list[str]:
        """Return the identities of the fonts of a PDF's page, as `TextLayer.font_ids`; none for an image."""
        return self.pdf.fonts(number) if self.pdf else []

    def form_fields(self, number: int, dpi: float) -> list[FormField]:
        """Return the form fields of a PDF's page in pixels at `dpi`; none for an image."""
        return self.pdf.form_fields(number, dpi) if self.pdf else []

    def stated_dpi(self, number: int) -> tuple[float, float] | None:
        """Return the resolutions across and down that an image file states; None for a PDF or without them."""
        return None if self.pdf else image_dpi(self.path, number - 1)

    def paper(self, number: int, image: Image.Image) -> tuple[float, float] | None:
        """Return the size of a page in points; of an image file by the resolution it states, None without one.

        Args:
            number: Page number, from 1.
            image: The image of the page.
        """
        self._check(number)
        if self.pdf:
            return self.pdf.size(number)
        dpi = self.stated_dpi(number)
        if dpi is None:
            return None
        return image.width / dpi[0] * POINTS_PER_INCH, image.height / dpi[1] * POINTS_PER_INCH

    def numbers(self, wanted: str | None, limit: int = MAX_PAGES) -> list[int]:
        """Return the page numbers of a selection, see `parse_page_numbers`.

        Raises:
            InputError: The selection cannot be understood, or names more than `limit` pages.
        """
        numbers = list(islice(parse_page_numbers(wanted, self.pages, str(self.path)), limit + 1))
        if len(numbers) > limit:
            raise InputError(f"{self.path}: more than {limit} pages (of {self.pages}); choose some or raise the limit")
        return numbers

    def _check(self, number: int) -> None:
        if not 1 <= number <= self.pages:
            raise InputError(f"there is no page {number}; the file has {self.pages}")


# -- input files -----------------------------------------------------------------------------------------------------


class FoundFile(NamedTuple):
    """A file to read: its path, a name for what is written from it, and how messages call it (`-`: standard input).

    error: why an input named no file; None for a file.
    """

    path: Path
    name: str
    label: str
    error: str | None = None

    @classmethod
    def of(cls, path: str | Path) -> FoundFile:
        """Return a file whose name and label are its path."""
        return cls(Path(path), _stem(Path(path).name), str(path))

    @classmethod
    def missing(cls, given: str, reason: str) -> FoundFile:
        """Return an entry for a folder or a pattern in which there is nothing to read."""
        return cls(Path(given), _stem(Path(given).name), given, f"{given}: {reason}")


@contextmanager
def find_files(inputs: Sequence[str | Path], leave_out: Path | None = None) -> Iterator[list[FoundFile]]:
    """Yield the files that inputs name, each with a name for its output.

    A folder gives the PDFs and images in it and in its subfolders, sorted by name and without hidden ones; their output
    names keep the subfolders. A file that does not exist is included, so that reading it reports the error; so is a
    folder or a pattern without files, with its `error`.

    Args:
        inputs: Files, folders, patterns such as `*.pdf`, and `-` for standard input.
        leave_out: A folder to skip, such as the output folder.

    Raises:
        InputError: The inputs are folders and patterns only, and none has a PDF or an image.
    """
    with tempfile.TemporaryDirectory(prefix="vary-") as scratch:
        found: list[FoundFile] = []
        for given in map(str, inputs):
            if given == "-":
                path = Path(scratch) / "stdin"
                with path.open("wb") as file:
                    shutil.copyfileobj(sys.stdin.buffer, file)
                found.append(FoundFile(path, "stdin", "-"))
            elif Path(given).is_dir():
                found += _in_folder(Path(given), leave_out)
            elif glob.has_magic(given) and not Path(given).exists():
                matches = sorted(path for path in glob.glob(given, recursive=True) if Path(path).is_file())
                found += map(FoundFile.of, matches) if matches else [FoundFile.missing(given, "no file matches")]
            else:
                found.append(FoundFile.of(given))
        errors = [file.error for file in found if file.error]
        if errors and len(errors) == len(found):
            raise InputError("; ".join(errors))
        yield found


def _in_folder(folder: Path, leave_out: Path | None) -> list[FoundFile]:
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".") and not _same(Path(root, f), leave_out)]
        found += [Path(root, name) for name in names if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    if not found:
        return [FoundFile.missing(str(folder), f"no PDF and no image in it; looked for {', '.join(SUFFIXES)}")]
    names = [(path.relative_to(folder).parent / _stem(path.name)).as_posix() for path in sorted(found)]
    return [FoundFile(path, name, str(path)) for path, name in zip(sorted(found), names, strict=True)]


def _same(path: Path, other: Path | None) -> bool:
    return other is not None and path.resolve() == other.resolve()


def _stem(name: str) -> str:
    plain = name[:-3] if name.lower().endswith(".gz") else name
    return plain.removesuffix(Path(plain).suffix) or name


def parse_page_numbers(wanted: str | None, pages: int, name: str) -> Iterator[int]:
    """Yield the page numbers of a selection such as "1-4,7,-1".

    Numbers count from 1, ranges include both ends, -1 is the last page. A number beyond the file is yielded as given,
    once for each part, so that it can be reported.

    Args:
        wanted: The selection; None for all pages.
        pages: Number of pages of the file.
        name: Name of the file for error messages.

    Raises:
        InputError: The selection cannot be understood.
    """
    if wanted is None:
        yield from range(1, pages + 1)
        return
    for part in wanted.split(","):
        first, last = _ends_of(part, f"{name}: pages {wanted!r}")
        start, end = (number + pages + 1 if number < 0 else number for number in (first, last))
        if end < start:
            raise InputError(f"{name}: pages {part.strip()!r}: the range runs backwards")
        yield from range(max(1, start), min(end, pages) + 1)
        if start < 1 or end > pages:
            yield last if end > pages else first


def check_page_numbers(wanted: str | None) -> None:
    """Check the option --pages before any file is opened. Raises InputError when it cannot be understood."""
    for part in wanted.split(",") if wanted is not None else ():
        first, last = _ends_of(part, f"--pages {wanted}")
        if last < first and (first < 0) == (last < 0):
            raise InputError(f"--pages {part.strip()}: the range runs backwards")


def _ends_of(part: str, where: str) -> tuple[int, int]:
    """Return both ends of "7", "-1" or "1-4", negative where they count from the end."""
    ends = part.strip().removeprefix("-").partition("-")
    try:
        first = int(ends[0]) * (-1 if part.strip().startswith("-") else 1)
        return first, int(ends[2]) if ends[1] else first
    except ValueError:
        raise InputError(f"{where}: expected numbers and ranges such as 1-4,7,-1") from None
