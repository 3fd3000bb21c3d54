"""Render PDF pages to images and read their text, with PDFium in a child process.

PDFium is not thread-safe, and a hostile file can crash or hang it. So each open file has a child process. A page that
crashes the child or takes too long is reported; the child is restarted, and the other pages can still be read. A child
that has answered everything serves the next file, which saves its start. It is replaced after RECYCLE pages, which
bounds its memory. Pages are numbered from 1.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import signal
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from .child import PDF_READER, Child, ChildDied, send
from .errors import InputError, PageTimeout
from .pdf_forms import FormPages
from .pdf_info import PdfInfo, read_info
from .pdf_layer import TextLayer
from .pdf_objects import FormField, PageContent, PageObjects, read_content, read_fonts

POINTS_PER_INCH = 72
MAX_PAGE_PIXELS = 40_000_000  # a page with more is rendered at a lower resolution
CHILD_MEMORY = 4 << 30
RENDER_TIMEOUT_S = 60.0  # CPU time of a request
RECYCLE = 250  # pages that one child renders


class PdfFile:
    """The pages of one PDF. Use it as a context manager; `len()` is the number of pages.

    Args:
        path: The file, plain or compressed by gzip.
        password: Its password.
        timeout_s: Limit of CPU time for each request.

    Raises:
        InputError: The file is not a PDF, is damaged, or needs another password.
    """

    def __init__(self, path: str | Path, password: str | None = None, timeout_s: float = RENDER_TIMEOUT_S):
        self.path, self.password, self.timeout_s = str(path), password, timeout_s
        self._child, self._sound = Child(PDF_READER), True
        self._rendered = 0
        try:
            answer, _ = self._open()
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

    def render(
        self, number: int, dpi: float, colour: bool = False, pixels: tuple[int, int] = (0, MAX_PAGE_PIXELS)
    ) -> tuple[Image.Image, float]:
        """Return the image of a page, with its filled form fields, and the resolution it was rendered at.

        Args:
            number: Page number, from 1.
            dpi: Wanted resolution. It counts in points of the file, whatever paper they stand for.
            colour: Render in RGB, not in grey.
            pixels: Least and largest number of pixels of the image. They overrule `dpi`.

        Raises:
            InputError: The page cannot be rendered; other pages may still be.
            PageTimeout: The page took too long.
        """
        if self._rendered >= RECYCLE:
            self._child.close()
        answer, data = self._ask({"render": number, "dpi": dpi, "colour": colour, "pixels": pixels})
        self._rendered += 1
        size = (answer["width"], answer["height"])
        return Image.frombytes("RGB" if colour else "L", size, data), float(answer["dpi"])

    def size(self, number: int) -> tuple[float, float]:
        """Return width and height of a page in points, as a viewer shows it."""
        answer, _ = self._ask({"size": number})
        return answer["width"], answer["height"]

    def text(self, number: int) -> str:
        """Return the text layer of a page. Lines end in CR LF; a hyphen at the end of a line is U+FFFE."""
        _, data = self._ask({"text": number})
        return data.decode("utf-8")

    def content(self, number: int, dpi: float) -> PageContent | None:
        """Return text layer and objects of a page, in pixels of its image at `dpi`; None when they cannot be read."""
        try:
            answer, data = self._ask({"content": number, "dpi": dpi})
        except InputError:
            return None
        text = TextLayer.unpack(answer["characters"], answer["fonts"], data, answer["font_ids"])
        return PageContent(text, PageObjects.from_dict(answer["objects"]))

    def info(self) -> PdfInfo:
        """Return what the file says about itself."""
        answer, _ = self._ask({"info": None})
        outline = [(level, title, page) for level, title, page in answer["outline"]]
        labels = {int(number): label for number, label in answer["labels"].items()}
        return PdfInfo(answer["title"], answer["author"], outline, labels)

    def fonts(self, number: int) -> list[str]:
        """Return the identities of the fonts of a page, as `TextLayer.font_ids`; none when it cannot be read."""
        try:
            return list(self._ask({"fonts": number})[0]["fonts"])
        except InputError:
            return []

    def form_fields(self, number: int, dpi: float) -> list[FormField]:
        """Return the form fields of a page, in pixels of its image at `dpi`."""
        answer, _ = self._ask({"fields": number, "dpi": dpi})
        return [FormField(kind, tuple(box), checked) for kind, box, checked in answer["fields"]]

    def close(self) -> None:
        """Close the file. The child process ends, or serves the next file if nothing went wrong in it."""
        if self._sound and self._child.process:
            with contextlib.suppress(ChildDied):
                answer, _ = self._child.ask({"close": None, "limit": self.timeout_s + 10}, self.timeout_s)
                if "error" not in answer:
                    self._child.release()
        self._child.close()

    def _open(self) -> tuple[dict[str, Any], bytes]:
        answer, data = self._ask({"open": self.path, "password": self.password})
        self._rendered = int(answer["rendered"])
        return answer, data

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        kind = next(iter(request))
        where = f"{self.path}, page {request[kind]}" if kind not in ("open", "info") else self.path
        if self._child.process is None and kind != "open":
            self._open()
        try:
            answer, data = self._child.ask(request | {"limit": self.timeout_s + 10}, self.timeout_s)
        except ChildDied as died:
            if self._child.inherited and not died.late:  # another file may have damaged the process
                return self._ask(request)
            self._sound = False
            if died.late:
                raise PageTimeout(f"{where}: rendering took longer than {self.timeout_s:g} s") from None
            raise InputError(f"{where}: the PDF renderer crashed") from None
        if "error" in answer:
            self._sound = False
            raise InputError(f"{where}: {answer['error']}")
        return answer, data


# -- the child process -----------------------------------------------------------------------------------------------


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests, one line of JSON each, until they end."""
    limit_memory()
    import pypdfium2

    pages, rendered = None, 0
    for line in requests:
        request = json.loads(line)
        data = b""
        if hasattr(signal, "setitimer"):  # of CPU time: it ends a child that hangs, even if its parent has died
            signal.setitimer(signal.ITIMER_PROF, request["limit"])
        try:
            if "open" in request:
                pages = FormPages(open_pdf(request["open"], request["password"]))
                answer: dict[str, Any] = {"pages": len(pages.pdf), "rendered": rendered}
            elif "close" in request:
                assert pages is not None
                pages.pdf.close()
                pages, answer = None, {}
            elif "info" in request:
                assert pages is not None
                answer = asdict(read_info(pages.pdf))
            else:
                assert pages is not None
                rendered += "render" in request
                answer, data = _answer(pages, request)
        except (pypdfium2.PdfiumError, OSError, EOFError, zlib.error, ValueError, MemoryError) as error:
            answer = {"error": reason(error)}
        send(answers, answer, data)
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, 0)


def _answer(pages: FormPages, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return the answer to a request about a page; the first key of a request is its kind."""
    kind = next(iter(request))
    number, scale = request[kind], request.get("dpi", 0.0) / POINTS_PER_INCH
    page = pages.page(number)
    if kind == "text":
        return {}, page.get_textpage().get_text_bounded().encode("utf-8", "replace")
    if kind == "size":
        width, height = page.get_size()
        return {"width": width, "height": height}, b""
    if kind == "fields":
        return {"fields": pages.form_fields(number, scale)}, b""
    if kind == "fonts":
        return {"fonts": read_fonts(page)}, b""
    if kind == "content":
        content = read_content(pages.pdf, page, scale)
        links, fields = pages.links(number, scale), pages.form_fields(number, scale)
        objects = replace(content.objects, fields=fields, links=content.objects.links if links is None else links)
        text = content.text
        known = {"characters": len(text.text), "fonts": text.font_names, "font_ids": text.font_ids}
        return known | {"objects": asdict(objects)}, text.pack()
    return _render(page, request["dpi"], request["colour"], request["pixels"])


def open_pdf(path: str, password: str | None) -> Any:
    """Return PDFium's document of a file, plain or compressed by gzip. Call it in a child process."""
    import pypdfium2

    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else contextlib.nullcontext() as unpacked:
        return pypdfium2.PdfDocument(unpacked.read() if unpacked else path, password=password)


def pdf_page(pdf: Any, number: int) -> Any:
    """Return PDFium's page, from 1, without its form fields. Raises ValueError when the file has no such page."""
    if not 1 <= number <= len(pdf):
        raise ValueError(f"the file has pages 1 to {len(pdf)}")
    return pdf[number - 1]


def _render(page: Any, dpi: float, colour: bool, limits: tuple[int, int]) -> tuple[dict[str, Any], bytes]:
    width, height = page.get_size()
    if min(width, height) <= 0:
        raise ValueError(f"the page measures {width:g} x {height:g} points")
    least, most = limits
    dpi = max(dpi, POINTS_PER_INCH * (least / (width * height)) ** 0.5)
    while (pixels := _pixels(width, height, dpi)) > most:
        dpi *= min(0.999, (most / pixels) ** 0.5)
    image = page.render(scale=dpi / POINTS_PER_INCH, grayscale=not colour).to_pil().convert("RGB" if colour else "L")
    return {"width": image.width, "height": image.height, "dpi": dpi}, image.tobytes()


def _pixels(width: float, height: float, dpi: float) -> int:
    scale = dpi / POINTS_PER_INCH
    return math.ceil(width * scale) * math.ceil(height * scale)


def reason(error: Exception) -> str:
    """Return the message of a PDFium error in one line for the user."""
    text = str(error)
    if "password" in text.lower():
        return "the PDF is encrypted and the password is missing or wrong"
    if "Data format error" in text:
        return "not a PDF, or broken beyond reading"
    if "Success" in text:  # PDFium's last error when a document without pages was opened
        return "the PDF has no pages"
    return text.splitlines()[0] if text else type(error).__name__


def limit_memory() -> None:
    """Limit the memory of this child process to CHILD_MEMORY."""
    try:
        import resource
    except ImportError:  # Windows
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (CHILD_MEMORY, CHILD_MEMORY))


def looks_like_pdf(path: Path) -> bool:
    """Return whether `%PDF` is in the first KiB of a file, plain or compressed by gzip."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:2] == b"\x1f\x8b":
        with contextlib.suppress(zlib.error):
            head = zlib.decompressobj(31).decompress(head, 1024)  # 31: with a gzip header
    return b"%PDF" in head[:1024]
