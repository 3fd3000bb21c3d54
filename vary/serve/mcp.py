"""Serve documents to agents over the Model Context Protocol (`vary mcp`), so that they can check a citation.

Tools: open, outline, read_page, find, crop, cite, verify. They read files below the roots given at the start, and write
nothing. Boxes are in pixels of the page image at PICTURE_DPI, origin top-left: what `crop` cuts.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import SequenceMatcher
from functools import lru_cache, wraps
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

from ..document.elements import Document, Line, Page
from ..document.running_text import Passage, find_text, plain_text
from ..io.box import Box, middle_within
from ..io.errors import InputError, MissingExtra, VaryError
from ..io.source import Source, find_files
from ..reading.layer.claims import CharacterOdds, character_odds
from ..reading.layer.glyphs import CONFIRMED
from ..reading.pages import AnyReader, read_page
from ..reading.reader import Reader
from ..reading.runs.attempts import with_retries
from ..reading.runs.pictures import PICTURE_DPI

try:
    from mcp.server.mcpserver import Image, MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
except ImportError as error:
    raise MissingExtra("vary mcp", error.name, "mcp") from None

MAX_PAGES = 1000  # of one document, as in `vary serve`
CACHED = 256  # pages kept in memory
MAX_HITS = 50
MAX_NAMES = 20  # documents that are listed when one is not found
SAME = 0.9  # share of characters that agree, from which `verify` says yes


class Library:
    """The documents below some folders, read on demand. One page is read at a time.

    Args:
        reader: reads the pages, from their pixels alone so that it is a witness apart from the text layer.
        roots: folders whose files may be read; links that lead out of them are refused.
    """

    def __init__(self, reader: AnyReader, roots: Sequence[str | Path]):
        self.reader, self.roots = reader, [Path(root).resolve() for root in roots]
        if missing := [root for root in self.roots if not root.is_dir()]:
            raise InputError(f"{missing[0]}: no such folder")
        self._lock = threading.Lock()
        self._read = lru_cache(CACHED)(self._read_page)

    def find_file(self, name: str) -> Path:
        """Return the file of a name: relative to a root or to the working directory, or absolute.

        Raises InputError outside the roots; it lists the documents below them.
        """
        for folder in (*self.roots, Path.cwd()):
            path = (folder / name).resolve()
            if path.is_file() and self._root_of(path):
                return path
        with find_files(self.roots) as files:
            found = [(file.path, self._root_of(file.path.resolve())) for file in files]
        names = [str(path.relative_to(root)) for path, root in found if root and root in path.parents]
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        raise InputError(f"{name}: no such file below the roots; there are {', '.join(names[:MAX_NAMES])}{more}")

    def _root_of(self, path: Path) -> Path | None:
        return next((root for root in self.roots if path.is_relative_to(root)), None)

    @contextmanager
    def _open(self, name: str) -> Iterator[Source]:
        """Open a file; errors call it by the name that was asked for."""
        path = self.find_file(name)
        with _renamed(path, name), Source(path) as source:
            yield source

    def count(self, name: str) -> int:
        """Return the number of pages of a file. Raises InputError for more than MAX_PAGES."""
        with self._open(name) as source:
            return len(source.numbers(None, MAX_PAGES))

    def page(self, name: str, number: int) -> Page:
        """Return a page as it was read, boxes scaled to PICTURE_DPI. Raises InputError for a page that is lost."""
        path = self.find_file(name)
        with _renamed(path, name), self._lock:
            page = self._read(path, path.stat().st_mtime_ns, number)
            if page.error:
                raise InputError(page.error)
        return page

    def pages(self, name: str, lost: list[int]) -> Iterator[Page]:
        """Yield the pages that can be read; the numbers of the others are added to `lost`."""
        for number in range(1, self.count(name) + 1):
            try:
                yield self.page(name, number)
            except InputError:
                lost.append(number)

    def _read_page(self, path: Path, changed: int, number: int) -> Page:
        with Source(path) as source:
            return with_retries(lambda attempt: read_page(source, number, self.reader, attempt))

    def picture(self, name: str, number: int) -> Any:
        """Return the picture of a page in colour, upright or not as it lies in the file."""
        with self._open(name) as source:
            return source.image(number, PICTURE_DPI, colour=True)[0]

    def odds(self, name: str, page: Page, lines: list[Line], text: str) -> list[CharacterOdds] | None:
        """Return the odds of a text on lines of a page, by the pixels; None where they cannot be compared."""
        if not isinstance(self.reader, Reader) or page.rotation or abs(page.skew) > 0.5:
            return None
        with self._open(name) as source, self._lock:
            image, _ = source.image(page.number, page.dpi or PICTURE_DPI)
            return character_odds(self.reader, image, lines, text)

    def layer_text(self, name: str, number: int) -> str | None:
        """Return the text layer of a PDF's page; None for images and pages without one."""
        with self._open(name) as source:
            return (source.pdf.text(number) or None) if source.pdf else None


@contextmanager
def _renamed(path: Path, name: str) -> Iterator[None]:
    """Call a file by the name that was asked for, in errors."""
    try:
        yield
    except InputError as error:
        reason = str(error).replace(str(path), name)
        raise InputError(reason if name in reason else f"{name}: {reason}") from None


def create_mcp(reader: AnyReader, roots: Sequence[str | Path]) -> MCPServer:
    """Create the server with its tools."""
    server, library = MCPServer("vary"), Library(reader, roots)
    for tool in (open_document, outline, read_one_page, find, crop, cite, verify):
        server.tool(name=TOOLS[tool], description=tool.__doc__)(_bind(tool, library))
    return server


def _bind(tool: Callable[..., Any], library: Library) -> Callable[..., Any]:
    """Return the tool without its first parameter; errors of the user become tool errors of one line."""

    @wraps(tool)
    def call(**arguments: Any) -> Any:
        try:
            return tool(library, **arguments)
        except (VaryError, OSError) as error:
            raise ToolError(str(error)) from None

    rest = [*inspect.signature(tool, eval_str=True).parameters.values()][1:]
    call.__signature__ = inspect.Signature(rest)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in rest}
    return call


def open_document(library: Library, path: str) -> dict[str, Any]:
    """Open a PDF or an image below the roots: the number of its pages and the model that reads them.

    For a name that is not there the error lists the documents.
    """
    return {"path": path, "pages": library.count(path), "model": library.reader.name}


def outline(library: Library, path: str) -> list[dict[str, Any]]:
    """List the headings of a document with level, page and box, and at the end `lost_pages`, which cannot be read."""
    lost: list[int] = []
    found: list[dict[str, Any]] = [
        {"text": block.text, "level": block.level, "page": page.number, "box": _scale_box(block.box, page)}
        for page in library.pages(path, lost)
        for block in page.blocks
        if block.kind == "heading"
    ]
    return [*found, *([{"lost_pages": lost}] if lost else [])]


def read_one_page(library: Library, path: str, page: int) -> dict[str, Any]:
    """Read a page, from 1: its Markdown, and its blocks with kind, box and confidence."""
    found = library.page(path, page)
    blocks = [
        {"kind": b.kind, "text": b.text, "box": _scale_box(b.box, found), "confidence": b.confidence}
        for b in found.blocks
    ]
    markdown = Document(path, library.reader.name, [found]).markdown()
    return {"page": page, "status": found.status, "markdown": markdown, "blocks": blocks}


def find(library: Library, path: str, text: str) -> list[dict[str, Any]]:
    """Find a text in a document, whatever its case, line breaks and quotation marks: the pages and boxes that hold it.

    A hit that goes on in other blocks, also of the next page, lists them under `continued`. Without a hit, pages that
    cannot be read are an error, for they may hold the text.
    """
    if not plain_text(text):
        raise InputError("find: the text is empty")
    lost: list[int] = []
    hits = [_hit(passage) for passage in islice(find_text(library.pages(path, lost), text), MAX_HITS)]
    if lost and not hits:
        raise InputError(f"{path}: not found on the pages that can be read; lost: {', '.join(map(str, lost))}")
    return hits


def _hit(passage: Passage) -> dict[str, Any]:
    """Return a passage as `find` gives it."""
    places = [{"page": page.number, "box": _scale_box(block.box, page)} for page, block in passage]
    hit = {**places[0], "text": "\n\n".join(block.text for _, block in passage)}
    return hit | ({"continued": places[1:]} if places[1:] else {})


def crop(library: Library, path: str, page: int, box: list[float]) -> Image:
    """Cut a box (left, top, right, bottom, as the other tools give it) out of the picture of a page."""
    part = _cut(library, path, page, box)
    file = BytesIO()
    part.save(file, "PNG")
    return Image(data=file.getvalue(), format="png")


def cite(library: Library, path: str, text: str) -> list[dict[str, Any]]:
    """Find a quotation with both witnesses: what the pixels say (`read`), and whether the PDF's own text layer holds it
    (`layer`; null where the page has no layer)."""
    hits = find(library, path, text)
    for hit in hits:
        numbers = dict.fromkeys([hit["page"], *(place["page"] for place in hit.get("continued", ()))])
        layers = [library.layer_text(path, number) for number in numbers]
        hit["read"] = hit.pop("text")
        hit["layer"] = None if None in layers else _hold(plain_text(text), [plain_text(str(one)) for one in layers])
    return hits


def _hold(text: str, layers: list[str]) -> bool:
    """Return whether the text layers of pages in a row hold a text, divided between words."""
    if len(layers) == 1:
        return text in layers[0]
    cuts = [k for k, ch in enumerate(text) if ch == " " and text[:k] in layers[0]]
    return any(_hold(text[k + 1 :], layers[1:]) for k in cuts)


def verify(library: Library, path: str, page: int, box: list[float], text: str) -> dict[str, Any]:
    """Check by the pixels whether a box shows a text, whatever its case, line breaks and quotation marks.

    `shows` is the answer. `read` is what the reader reads there, `similarity` the share of characters that agree, and
    `confidence` the mean confidence of the reader (0 to 1). `odds` is the log-odds of the text against what the pixels
    show best: near 0 where they show it; below -2 they do not confirm it. `wrong` lists the characters that cause
    it, with what is seen in their place. Both are null for a page that lies on its side.
    """
    if not plain_text(text):
        raise InputError("verify: the text is empty")
    found = library.page(path, page)
    by = PICTURE_DPI / found.dpi if found.dpi else 1.0
    _check_box(box, found.width * by, found.height * by)
    inside = [line for line in found.lines if middle_within(_scale_box(line.box, found), box)]
    shown = " ".join(line.text for line in inside)
    given, read = plain_text(text), plain_text("\n".join(line.text for line in inside))
    matcher = SequenceMatcher(None, given, read, autojunk=False)
    agreeing = sum(block.size for block in matcher.get_matching_blocks())
    similarity = agreeing / len(given)
    odds = library.odds(path, found, inside, text) if inside else None
    total = None if odds is None else sum(one.odds for one in odds)
    return {
        "shows": given in read or (similarity >= SAME and (total is None or total > CONFIRMED)),
        "similarity": round(similarity, 3),
        "confidence": round(sum(line.confidence for line in inside) / len(inside), 3) if inside else 0.0,
        "odds": None if total is None else round(total, 1),
        "wrong": None if odds is None else [one._asdict() for one in odds if one.odds < CONFIRMED],
        "read": shown,
    }


TOOLS = {
    open_document: "open", outline: "outline", read_one_page: "read_page", find: "find", crop: "crop", cite: "cite",
    verify: "verify",
}  # fmt: skip


def _scale_box(box: Box, page: Page) -> list[float]:
    scale = PICTURE_DPI / page.dpi if page.dpi else 1.0
    return [round(float(side) * scale, 1) for side in box]


def _cut(library: Library, path: str, page: int, box: list[float]) -> Any:
    picture = library.picture(path, page)
    _check_box(box, picture.width, picture.height)
    return picture.crop((round(box[0]), round(box[1]), round(box[2]), round(box[3])))


def _check_box(box: list[float], width: float, height: float) -> None:
    """Raise an InputError for a box that is not left, top, right, bottom within a page."""
    if len(box) != 4 or not (0 <= box[0] < box[2] <= width + 1 and 0 <= box[1] < box[3] <= height + 1):
        raise InputError(f"box {box}: expected left, top, right, bottom within {width:.0f}x{height:.0f} px")
