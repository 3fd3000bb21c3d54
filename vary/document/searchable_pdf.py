"""Pages as pictures again: searchable PDF, overlays that show the reading, crops of figures.

A searchable page is its picture and, invisible upon it, every word at its box. The PDF is written here and not by a
library: those that write text lose the characters that their fonts lack (PDFium, reportlab), and all hold every page in
memory until the end; this keeps every character and one page. Its form: ISO 32000-1, sections 7.5 (the file), 9.3.6
(invisible text), 9.6.5 (a font of our own, whose one glyph is an empty box), 9.10.3 (ToUnicode).
"""

from __future__ import annotations

import re
import zlib
from io import BytesIO
from typing import BinaryIO

from PIL import Image

from .elements import Box, Line, Page

POINTS = 72.0
IMAGE_DPI = 150.0  # taken for pictures that do not say theirs
PAPER = (595.0, 842.0)  # points, A4: a page of which there is no picture keeps its place
QUALITY = 80
DESCENT = 0.22  # of a box's height: the baseline stands so far above its lower edge
GLYPH = 500  # width of every character of the invisible font, in thousandths of its size
CODES = 255  # characters of one font; code 0 is left out


class SearchablePdf:
    """Writes a PDF page by page: `add` each, then `close`. Only one page is in memory."""

    def __init__(self, file: BinaryIO):
        self.file, self._at, self._offsets = file, 0, [0, 0, 0]  # objects 1 and 2, catalogue and pages, come last
        self._pages: list[int] = []
        self._fonts: list[int] = []  # object of each font
        self._codes: dict[str, int] = {}  # character -> its place among all
        self._write(b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n")

    def add(self, page: Page, image: Image.Image | None) -> None:
        """A page; without a picture it is an empty sheet that keeps the numbers of the others right."""
        if image is None:
            self._page(PAPER, b"", "")
            return
        scale = POINTS / (page.dpi or IMAGE_DPI)
        size = (page.width or image.width) * scale, (page.height or image.height) * scale
        jpeg = BytesIO()
        image.save(jpeg, "JPEG", quality=QUALITY)
        space = "DeviceGray" if image.mode == "L" else "DeviceRGB"
        picture = self._stream(
            f"/Type/XObject/Subtype/Image/Width {image.width}/Height {image.height}/ColorSpace/{space}"
            "/BitsPerComponent 8/Filter/DCTDecode",
            jpeg.getvalue(),
        )
        used: set[int] = set()
        words = "".join(self._word(*word, size[1], scale, used) for line in page.lines for word in split_words(line))
        content = f"q {size[0]:.2f} 0 0 {size[1]:.2f} 0 0 cm /I Do Q\nBT 3 Tr\n{words}ET".encode()
        fonts = "".join(f"/F{k} {self._fonts[k]} 0 R" for k in sorted(used))
        self._page(size, content, f"/XObject<</I {picture} 0 R>>/Font<<{fonts}>>")

    def close(self) -> None:
        """Fonts, the list of pages, and the table of all objects."""
        characters = list(self._codes)
        glyph = self._stream("", f"{GLYPH} 0 0 -220 {GLYPH} 780 d1".encode()) if self._fonts else 0
        widths, names = f"{GLYPH} " * CODES, "/g" * CODES
        for k, number in enumerate(self._fonts):
            unicode = self._stream("", _to_unicode(characters[k * CODES : (k + 1) * CODES]))
            self._object(
                f"<</Type/Font/Subtype/Type3/FontMatrix[.001 0 0 .001 0 0]/FontBBox[0 -220 {GLYPH} 780]/Resources<<>>"
                f"/CharProcs<</g {glyph} 0 R>>/Encoding<</Type/Encoding/Differences[1{names}]>>"
                f"/FirstChar 1/LastChar {CODES}/Widths[{widths}]/ToUnicode {unicode} 0 R>>",
                number,
            )
        kids = " ".join(f"{number} 0 R" for number in self._pages)
        self._object(f"<</Type/Pages/Count {len(self._pages)}/Kids[{kids}]>>", 2)
        self._object("<</Type/Catalog/Pages 2 0 R>>", 1)
        table, count = self._at, len(self._offsets)
        rows = "".join(f"{offset:010d} 00000 n \n" for offset in self._offsets[1:])
        self._write(f"xref\n0 {count}\n0000000000 65535 f \n{rows}".encode())
        self._write(f"trailer\n<</Size {count}/Root 1 0 R>>\nstartxref\n{table}\n%%EOF\n".encode())

    def _word(self, text: str, box: Box, height: float, scale: float, used: set[int]) -> str:
        """Operators that set a word: its own size, place and stretch; a new font every CODES characters."""
        x, y = box[0] * scale, height - (box[3] - DESCENT * (box[3] - box[1])) * scale
        size = max(1.0, (box[3] - box[1]) * scale)
        stretch = 100 * max(0.1, (box[2] - box[0]) * scale) / (len(text) * size * GLYPH / 1000)
        out = f"{stretch:.2f} Tz 1 0 0 1 {x:.2f} {y:.2f} Tm "
        font = -1
        for ch in text:
            place = self._codes.setdefault(ch, len(self._codes))
            if place // CODES != font:
                font = place // CODES
                used.add(font)
                if font == len(self._fonts):
                    self._offsets.append(0)
                    self._fonts.append(len(self._offsets) - 1)
                out += ("> Tj " if "<" in out else "") + f"/F{font} {size:.2f} Tf <"
            out += f"{place % CODES + 1:02x}"
        return out + "> Tj\n"

    def _page(self, size: tuple[float, float], content: bytes, resources: str) -> None:
        stream = self._stream("/Filter/FlateDecode", zlib.compress(content))
        self._pages.append(
            self._object(
                f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {size[0]:.2f} {size[1]:.2f}]/Contents {stream} 0 R"
                f"/Resources<<{resources}>>>>"
            )
        )

    def _stream(self, entries: str, data: bytes) -> int:
        return self._object(f"<<{entries}/Length {len(data)}>>\nstream\n".encode() + data + b"\nendstream")

    def _object(self, body: str | bytes, number: int | None = None) -> int:
        if number is None:
            self._offsets.append(0)
            number = len(self._offsets) - 1
        self._offsets[number] = self._at
        self._write(f"{number} 0 obj\n".encode() + (body.encode() if isinstance(body, str) else body) + b"\nendobj\n")
        return number

    def _write(self, data: bytes) -> None:
        self.file.write(data)
        self._at += len(data)


def _to_unicode(characters: list[str]) -> bytes:
    pairs = [f"<{k:02x}> <{ch.encode('utf-16-be').hex()}>" for k, ch in enumerate(characters, 1)]
    parts = [pairs[k : k + 100] for k in range(0, len(pairs), 100)]  # no more are allowed in one part
    table = "".join(f"{len(part)} beginbfchar\n" + "\n".join(part) + "\nendbfchar\n" for part in parts)
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /Invisible def /CMapType 2 def\n"
        f"1 begincodespacerange <00> <ff> endcodespacerange\n{table}endcmap\n"
        "CMapName currentdict /CMap defineresource pop end end"
    ).encode()


def split_words(line: Line) -> list[tuple[str, Box]]:
    """Words of a line, each but the last with the blank after it, and the box from its start to the next word's."""
    text, boxes = line.text, line.characters
    if len(boxes) != len(text):
        x0, y0, x1, y1 = line.box
        step = (x1 - x0) / max(1, len(text))
        boxes = [(x0 + k * step, y0, x0 + (k + 1) * step, y1) for k in range(len(text))]
    spans = [m.span() for m in re.finditer(r"\S+", text)]
    words = []
    for k, (begin, end) in enumerate(spans):
        last = k == len(spans) - 1
        left, right = min(b[0] for b in boxes[begin:end]), max(b[2] for b in boxes[begin:end])
        right = right if last else max(right, boxes[spans[k + 1][0]][0])
        top, bottom = min(b[1] for b in boxes[begin:end]), max(b[3] for b in boxes[begin:end])
        words.append((text[begin:end] + ("" if last else " "), (left, top, right, bottom)))
    return words
