"""PDF pages as grey images, rendered by PDFium in a child process that may die.

PDFium is C++ and not thread-safe, and a hostile file can crash or hang it: so it runs in a child process, one file per
child, a page per request. A page that kills the child is reported, the child is started anew, and the other
pages are still read; a child that has served for long is replaced, and its memory with it. Pages are numbered from 1.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import signal
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from .child import Child, ChildDied, send
from .errors import InputError, PageTimeout
from .pdf_objects import PageContent, PageObjects, read_content
from .pdf_text import TextLayer

POINTS_PER_INCH = 72
MAX_PAGE_PIXELS = 40_000_000  # the resolution gives way to this, never the page
CHILD_MEMORY = 4 << 30
PAGE_TIMEOUT_S = 60.0
ENTRY = "vary.io.pdf:serve"
RECYCLE = 250  # pages that one child renders


class PdfFile:
    """Pages of one PDF. Use as a context manager; `len()` is the number of pages.

    Raises InputError when the file is not a PDF, is broken, or needs another password.
    """

    def __init__(self, path: str | Path, password: str | None = None, timeout_s: float = PAGE_TIMEOUT_S):
        self.path, self.password, self.timeout_s = str(path), password, timeout_s
        self._child = Child(ENTRY)
        self._rendered = 0
        try:
            answer, _ = self._ask({"open": self.path, "password": password})
        except InputError:
            self.close()
            raise
        self.pages = int(answer["pages"])

    def __enter__(self) -> PdfFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.pages

    def render(self, number: int, dpi: float, colour: bool = False) -> tuple[Image.Image, float]:
        """Page `number` (from 1) in grey or colour, and the resolution it was rendered at.

        Raises InputError with the file, the page and the reason (PageTimeout when it took too long); the other pages
        can still be asked for.
        """
        self._rendered += 1
        if self._rendered % RECYCLE == 0:
            self.close()
        answer, data = self._ask({"render": number, "dpi": dpi, "colour": colour})
        size = (answer["width"], answer["height"])
        return Image.frombytes("RGB" if colour else "L", size, data), float(answer["dpi"])

    def text(self, number: int) -> str:
        """The text layer of a page (line ends are CR LF, a hyphen at a line's end is U+FFFE): truth for measuring."""
        _, data = self._ask({"text": number})
        return data.decode("utf-8")

    def content(self, number: int, dpi: float) -> PageContent | None:
        """Return text layer and objects of a page, in pixels of its image at `dpi`; None when they cannot be read."""
        try:
            answer, data = self._ask({"content": number, "dpi": dpi})
        except InputError:
            return None
        text = TextLayer.unpack(answer["characters"], answer["fonts"], data)
        return PageContent(text, PageObjects.from_dict(answer["objects"]))

    def close(self) -> None:
        """End the child process."""
        self._child.close()

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        where = f"{self.path}, page {request[kind]}" if (kind := next(iter(request))) != "open" else self.path
        if self._child.process is None and kind != "open":
            self._ask({"open": self.path, "password": self.password})
        try:
            answer, data = self._child.ask(request | {"limit": math.ceil(self.timeout_s) + 1}, self.timeout_s)
        except ChildDied as gone:
            if gone.late:
                raise PageTimeout(f"{where}: rendering took longer than {self.timeout_s:g} s") from None
            raise InputError(f"{where}: the PDF renderer crashed") from None
        if "error" in answer:
            raise InputError(f"{where}: {answer['error']}")
        return answer, data


# -- the child -------------------------------------------------------------------------------------------------------


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests, a JSON line each, until they end."""
    limit_memory()
    import pypdfium2

    pdf = None
    for line in requests:
        request = json.loads(line)
        data = b""
        if hasattr(signal, "alarm"):
            signal.alarm(request["limit"])  # ends a child that hangs, even when nobody is left to kill it
        try:
            if "open" in request:
                pdf = open_pdf(request["open"], request["password"])
                answer: dict[str, Any] = {"pages": len(pdf)}
            elif "text" in request:
                data = pdf_page(pdf, request["text"]).get_textpage().get_text_bounded().encode("utf-8", "replace")
                answer = {}
            elif "content" in request:
                answer, data = _content(pdf, pdf_page(pdf, request["content"]), request["dpi"])
            else:
                answer, data = _render(pdf_page(pdf, request["render"]), request["dpi"], request["colour"])
        except (pypdfium2.PdfiumError, OSError, EOFError, zlib.error, ValueError, MemoryError) as error:
            answer = {"error": reason(error)}
        send(answers, answer, data)
        if hasattr(signal, "alarm"):
            signal.alarm(0)


def open_pdf(path: str, password: str | None) -> Any:
    """In a child: PDFium's document of a file, also behind gzip."""
    import pypdfium2

    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else contextlib.nullcontext() as unpacked:
        return pypdfium2.PdfDocument(unpacked.read() if unpacked else path, password=password)


def pdf_page(pdf: Any, number: int) -> Any:
    """In a child: PDFium's page, from 1. Raises ValueError when the file has no such page."""
    if not 1 <= number <= len(pdf):
        raise ValueError(f"the file has pages 1 to {len(pdf)}")
    return pdf[number - 1]


def _content(pdf: Any, page: Any, dpi: float) -> tuple[dict[str, Any], bytes]:
    content = read_content(pdf, page, dpi / POINTS_PER_INCH)
    text = content.text
    known = {"characters": len(text.text), "fonts": text.font_names, "objects": content.objects.to_dict()}
    return known, text.pack()


def _render(page: Any, dpi: float, colour: bool) -> tuple[dict[str, Any], bytes]:
    width, height = page.get_size()
    if min(width, height) <= 0:
        raise ValueError(f"the page measures {width:g} x {height:g} points")
    while (pixels := _pixels(width, height, dpi)) > MAX_PAGE_PIXELS:
        dpi *= min(0.999, (MAX_PAGE_PIXELS / pixels) ** 0.5)
    image = page.render(scale=dpi / POINTS_PER_INCH, grayscale=not colour).to_pil().convert("RGB" if colour else "L")
    return {"width": image.width, "height": image.height, "dpi": dpi}, image.tobytes()


def _pixels(width: float, height: float, dpi: float) -> int:
    scale = dpi / POINTS_PER_INCH
    return math.ceil(width * scale) * math.ceil(height * scale)


def reason(error: Exception) -> str:
    """In a child: what PDFium said, in words for the user."""
    text = str(error)
    if "password" in text.lower():
        return "the PDF is encrypted and the password is missing or wrong"
    if "Data format error" in text:
        return "not a PDF, or broken beyond reading"
    if "Success" in text:  # PDFium's last error, when the document opened and has no page
        return "the PDF has no pages"
    return text.splitlines()[0] if text else type(error).__name__


def limit_memory() -> None:
    """In a child: no file may take more than CHILD_MEMORY."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (CHILD_MEMORY, CHILD_MEMORY))


def looks_like_pdf(path: Path) -> bool:
    """By content: `%PDF` within the first KiB, also behind gzip."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:2] == b"\x1f\x8b":
        with contextlib.suppress(zlib.error):
            head = zlib.decompressobj(31).decompress(head, 1024)  # 31: with a gzip header
    return b"%PDF" in head[:1024]
