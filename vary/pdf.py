"""PDF pages as grey images, rendered by PDFium in a child process that may die.

PDFium is C++ and not thread-safe, and a hostile file can crash or hang it: so it runs in a child process, one file per
child, a page per request. A page that kills the child is reported, the child is started anew, and the other
pages are still read. Pages are numbered from 1.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from .image import BadInput

POINTS_PER_INCH = 72
MAX_PAGE_PIXELS = 40_000_000  # the resolution gives way to this, never the page
CHILD_MEMORY = 4 << 30
PAGE_TIMEOUT_S = 60.0
CHILD = "import sys; sys.path[:] = sys.argv[1:]; from vary.pdf import serve; serve(sys.stdin.buffer, sys.stdout.buffer)"


class PdfFile:
    """Pages of one PDF. Use as a context manager; `len()` is the number of pages.

    Raises BadInput when the file is not a PDF, is broken, or needs another password.
    """

    def __init__(self, path: str | Path, password: str | None = None, timeout_s: float = PAGE_TIMEOUT_S):
        self.path, self.password, self.timeout_s = str(path), password, timeout_s
        self._child: subprocess.Popen[bytes] | None = None
        try:
            answer, _ = self._ask({"open": self.path, "password": password})
        except BadInput:
            self.close()
            raise
        self.pages = int(answer["pages"])

    def __enter__(self) -> PdfFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.pages

    def render(self, number: int, dpi: float) -> tuple[Image.Image, float]:
        """Page `number` (from 1) in grey, and the resolution it was rendered at.

        Raises BadInput with the file, the page and the reason; the other pages can still be asked for.
        """
        answer, data = self._ask({"render": number, "dpi": dpi})
        return Image.frombytes("L", (answer["width"], answer["height"]), data), float(answer["dpi"])

    def text(self, number: int) -> str:
        """The text layer of a page (line ends are CR LF, a hyphen at a line's end is U+FFFE): truth for measuring."""
        _, data = self._ask({"text": number})
        return data.decode("utf-8")

    def close(self) -> None:
        """End the child process."""
        child, self._child = self._child, None
        if child:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                with contextlib.suppress(OSError):  # a request that the child never took is flushed here
                    if pipe:
                        pipe.close()

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        where = f"{self.path}, page {request[kind]}" if (kind := next(iter(request))) != "open" else self.path
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-c", CHILD, *sys.path],  # our own path: `-m` would import from the cwd
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            if kind != "open":
                self._ask({"open": self.path, "password": self.password})
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            if self._child:
                self._child.kill()

        clock = threading.Timer(self.timeout_s, stop)
        clock.start()
        try:
            answer, data = _exchange(self._child, request)
        except (OSError, ValueError):
            self.close()
            reason = (
                f"rendering took longer than {self.timeout_s:g} s" if timed_out.is_set() else "the PDF renderer crashed"
            )
            raise BadInput(f"{where}: {reason}") from None
        finally:
            clock.cancel()
        if "error" in answer:
            raise BadInput(f"{where}: {answer['error']}")
        return answer, data


def _exchange(child: subprocess.Popen[bytes], request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    assert child.stdin
    assert child.stdout
    child.stdin.write(json.dumps(request).encode() + b"\n")
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        raise ValueError("the child is gone")
    answer = json.loads(line)
    data = child.stdout.read(answer.get("bytes", 0))
    if len(data) != answer.get("bytes", 0):
        raise ValueError("the child is gone")
    return answer, data


# -- the child -------------------------------------------------------------------------------------------------------


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests, a JSON line each, until they end."""
    _limit_memory()
    import pypdfium2

    pdf = None
    for line in requests:
        request = json.loads(line)
        data = b""
        try:
            if "open" in request:
                pdf = _open(request["open"], request["password"])
                answer: dict[str, Any] = {"pages": len(pdf)}
            elif "text" in request:
                data = _page(pdf, request["text"]).get_textpage().get_text_bounded().encode("utf-8", "replace")
                answer = {}
            else:
                answer, data = _render(_page(pdf, request["render"]), request["dpi"])
        except (pypdfium2.PdfiumError, OSError, EOFError, zlib.error, ValueError, MemoryError) as error:
            answer = {"error": _reason(error)}
        answers.write(json.dumps(answer | {"bytes": len(data)}).encode() + b"\n" + data)
        answers.flush()


def _open(path: str, password: str | None) -> Any:
    import pypdfium2

    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else contextlib.nullcontext() as unpacked:
        return pypdfium2.PdfDocument(unpacked.read() if unpacked else path, password=password)


def _page(pdf: Any, number: int) -> Any:
    if not 1 <= number <= len(pdf):
        raise ValueError(f"the file has pages 1 to {len(pdf)}")
    return pdf[number - 1]


def _render(page: Any, dpi: float) -> tuple[dict[str, Any], bytes]:
    width, height = page.get_size()
    if min(width, height) <= 0:
        raise ValueError(f"the page measures {width:g} x {height:g} points")
    while (pixels := _pixels(width, height, dpi)) > MAX_PAGE_PIXELS:
        dpi *= min(0.999, (MAX_PAGE_PIXELS / pixels) ** 0.5)
    image = page.render(scale=dpi / POINTS_PER_INCH, grayscale=True).to_pil().convert("L")
    return {"width": image.width, "height": image.height, "dpi": dpi}, image.tobytes()


def _pixels(width: float, height: float, dpi: float) -> int:
    scale = dpi / POINTS_PER_INCH
    return math.ceil(width * scale) * math.ceil(height * scale)


def _reason(error: Exception) -> str:
    text = str(error)
    if "password" in text.lower():
        return "the PDF is encrypted and the password is missing or wrong"
    if "Data format error" in text:
        return "not a PDF, or broken beyond reading"
    return text.splitlines()[0] if text else type(error).__name__


def _limit_memory() -> None:
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


def page_numbers(wanted: str | None, pages: int, name: str) -> Iterator[int]:
    """Page numbers of a selection such as "1-4,7,-1": from 1, both ends included, -1 is the last; None means all.

    A number that the file does not have is yielded as it was asked for, once per part, so that it can be reported.
    Raises BadInput when the selection cannot be understood.
    """
    if wanted is None:
        yield from range(1, pages + 1)
        return
    for part in wanted.split(","):
        ends = part.strip().removeprefix("-").partition("-")
        try:
            first = int(ends[0]) * (-1 if part.strip().startswith("-") else 1)
            last = int(ends[2]) if ends[1] else first
        except ValueError:
            raise BadInput(f"{name}: pages {wanted!r}: expected numbers and ranges such as 1-4,7,-1") from None
        start, end = (number + pages + 1 if number < 0 else number for number in (first, last))
        if end < start:
            raise BadInput(f"{name}: pages {part.strip()!r}: the range runs backwards")
        yield from range(max(1, start), min(end, pages) + 1)
        if start < 1 or end > pages:
            yield last if end > pages else first
