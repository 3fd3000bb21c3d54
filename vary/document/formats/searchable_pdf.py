"""Write searchable PDFs: the picture of each page with the recognised words as invisible text at their places.

The PDF is written here because libraries that write text (PDFium, reportlab) lose characters that their fonts lack, and
keep all pages in memory. This writer keeps every character and one page. Its parts follow ISO 32000-1: sections 7.5
(file structure), 9.3.6 (invisible text), 9.6.5 (a Type 3 font whose only glyph is an empty box), 9.10.3 (ToUnicode).
"""

from __future__ import annotations

import math
import re
import zlib
from io import BytesIO
from typing import BinaryIO

from PIL import Image

from ...io.box import Box
from ..elements import Line, Page

POINTS = 72.0
IMAGE_DPI = 150.0  # resolution assumed for images that do not state theirs
PAPER = (595.0, 842.0)  # points, A4: size of a page without a picture
MAX_SIDE = 14_400.0  # points: larger pages are not portable (ISO 32000-1, annex C)
QUALITY = 80
DESCENT = 0.22  # distance of the baseline from the lower edge of a character box, as a share of its height
GLYPH = 500  # width of every character of the invisible font, in thousandths of its size
CODES = 255  # characters of one font; code 0 is not used
LAST_LATIN = "\u024f"  # end of Latin Extended-B
GOOD_OVERLAP = 0.7  # share of words that a good text layer and the recognised text have in common
Size = tuple[float, float]


def judge_layer(layer: str, page: Page) -> str:
    """Return whether a page's own text layer is `none`, `good` or `bad`, by the words it shares with the page.

    A layer in a script other than Latin counts as good: the words that were read cannot judge it.

    Args:
        layer: Text of the layer.
        page: The page as it was read.
    """
    own, read = _word_set(layer), _word_set(page.text)
    if not own:
        return "none"
    letters = [ch for ch in layer if ch.isalpha()]
    if not read or 2 * sum(ch > LAST_LATIN for ch in letters) > len(letters):
        return "good"
    return "good" if len(own & read) >= GOOD_OVERLAP * min(len(own), len(read)) and 3 * len(own) > len(read) else "bad"


def _word_set(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


class SearchablePdf:
    """Writes a PDF page by page: call `add` for each page, then `close`. Only one page is in memory.

    Args:
        file: An open file that is only written to.
    """

    def __init__(self, file: BinaryIO):
        self.file, self._at, self._offsets = file, 0, [0, 0, 0]  # objects 1 and 2, catalogue and pages, come last
        self._pages: list[int] = []
        self._fonts: list[int] = []  # object number of each font
        self._codes: dict[str, int] = {}  # character -> its number among all
        self._write(b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n")

    def add(self, page: Page, image: Image.Image | None, paper: Size | None = None) -> None:
        """Add a page with its picture. A page that lies on its side, upside down or aslant is shown upright.

        Its paper keeps its size. What leaves the paper when an aslant page is straightened is kept outside of it.

        Args:
            page: The page with its text.
            image: Its picture; None for an empty page.
            paper: Width and height of the page in points. The default follows from the page's resolution.
        """
        if image is None:
            self._page(paper or PAPER, b"", "")
            return
        size = _paper_size(page, image.size, paper)
        jpeg = BytesIO()
        image.save(jpeg, "JPEG", quality=QUALITY)
        space = "DeviceGray" if image.mode == "L" else "DeviceRGB"
        picture = self._stream(
            f"/Type/XObject/Subtype/Image/Width {image.width}/Height {image.height}/ColorSpace/{space}"
            "/BitsPerComponent 8/Filter/DCTDecode",
            jpeg.getvalue(),
        )
        text, fonts = self._text(page, image.size, size)
        content = f"q {size[0]:.2f} 0 0 {size[1]:.2f} 0 0 cm /I Do Q\n".encode() + text
        self._page(size, content, f"/XObject<</I {picture} 0 R>>{fonts}", -page.rotation % 360, page.skew)

    def add_text(self, page: Page, paper: Size) -> None:
        """Add a page with the text alone, to be laid over a straightened page of that size that has a picture."""
        text, fonts = self._text(page, (page.width, page.height), paper)
        self._page(paper, text, fonts, skew=page.skew)

    def close(self) -> None:
        """Write the fonts, the list of pages and the cross-reference table."""
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

    def _text(self, page: Page, pixels: tuple[int, int], size: Size) -> tuple[bytes, str]:
        """Return the operators of a page's words, and the fonts they use.

        Words of a rotated or skewed block are placed along its lines: in the frame of the upright block, which the
        text matrix rotates back about the middle of the page.
        """
        width, height = page.width or pixels[0], page.height or pixels[1]
        x, y = size[0] / max(1, width), size[1] / max(1, height)  # points per pixel
        used: set[int] = set()
        parts = []
        for block in page.blocks:
            for line in block.lines:
                angle = _label_angle(line) if block.kind == "figure" and not block.angle else block.angle
                cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
                axes = (cos * x, -sin * y, sin * x, cos * y)
                upright = rotate_upright(line, angle, (width, height)) if angle else line
                for word, box in split_words(upright):
                    u, v = box[0] - width / 2, box[3] - DESCENT * (box[3] - box[1]) - height / 2
                    left = (width / 2 + u * cos - v * sin) * x
                    base = size[1] - (height / 2 + u * sin + v * cos) * y
                    matrix = " ".join(f"{value:.5f}" for value in axes) + f" {left:.2f} {base:.2f}"
                    parts.append(self._word(word, (box[2] - box[0], box[3] - box[1]), matrix, used))
        fonts = "".join(f"/F{k} {self._fonts[k]} 0 R" for k in sorted(used))
        return f"BT 3 Tr\n{''.join(parts)}ET".encode(), f"/Font<<{fonts}>>"

    def _word(self, text: str, size: Size, matrix: str, used: set[int]) -> str:
        """Return the operators that set a word of a width and height in pixels; a new font every CODES characters."""
        height = max(1.0, size[1])
        stretch = 100 * max(0.1, size[0]) / (len(text) * height * GLYPH / 1000)
        out = f"{stretch:.2f} Tz {matrix} Tm "
        font = -1
        for ch in text:
            place = self._codes.setdefault(ch, len(self._codes))
            if place // CODES != font:
                font = place // CODES
                used.add(font)
                if font == len(self._fonts):
                    self._offsets.append(0)
                    self._fonts.append(len(self._offsets) - 1)
                out += ("> Tj " if "<" in out else "") + f"/F{font} {height:.2f} Tf <"
            out += f"{place % CODES + 1:02x}"
        return out + "> Tj\n"

    def _page(self, size: Size, content: bytes, resources: str, turn: int = 0, skew: float = 0.0) -> None:
        """Write a page that is turned back by `skew` degrees about its middle and shown turned by `turn` degrees."""
        wide, high = size
        across = down = 0.0
        if skew:
            cos, sin = math.cos(math.radians(skew)), math.sin(math.radians(skew))
            x, y = (wide - cos * wide + sin * high) / 2, (high - sin * wide - cos * high) / 2
            content = f"q {cos:.6f} {sin:.6f} {-sin:.6f} {cos:.6f} {x:.3f} {y:.3f} cm\n".encode() + content + b"\nQ"
            across, down = (abs(sin) * high + cos * wide - wide) / 2, (abs(sin) * wide + cos * high - high) / 2
        boxes = f"/MediaBox[{-across:.2f} {-down:.2f} {wide + across:.2f} {high + down:.2f}]"
        boxes += f"/CropBox[0 0 {wide:.2f} {high:.2f}]"
        stream = self._stream("/Filter/FlateDecode", zlib.compress(content))
        self._pages.append(
            self._object(
                f"<</Type/Page/Parent 2 0 R{boxes}/Contents {stream} 0 R/Rotate {turn}/Resources<<{resources}>>>>"
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


def _paper_size(page: Page, pixels: tuple[int, int], paper: Size | None) -> Size:
    """Return the size of a page in points, within what PDF viewers can show."""
    scale = POINTS / (page.dpi or IMAGE_DPI)
    width, height = paper or ((page.width or pixels[0]) * scale, (page.height or pixels[1]) * scale)
    shrink = min(1.0, MAX_SIDE / max(width, height))
    return width * shrink, height * shrink


def _label_angle(line: Line) -> float:
    """Return the direction of a label of a figure, which may run up or down beside it, in degrees clockwise."""
    if len(line.characters) < 2:
        return 0.0
    (left, top, *_), (right, bottom, *_) = line.characters[0], line.characters[-1]
    return 0.0 if abs(right - left) >= abs(bottom - top) else math.copysign(90.0, bottom - top)


def rotate_upright(line: Line, angle: float, size: tuple[int, int]) -> Line:
    """Return a line as it is after the page of `size` was turned back by `angle` about its middle.

    The boxes are the smallest around rotated boxes; their width and height are computed back.
    """
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    c, s = abs(cos), abs(sin)
    det = c * c - s * s or 1.0

    def upright(box: Box) -> Box:
        x, y = (box[0] + box[2] - size[0]) / 2, (box[1] + box[3] - size[1]) / 2
        w, h = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
        x, y = x * cos + y * sin + size[0] / 2, -x * sin + y * cos + size[1] / 2
        w, h = max(0.1, (w * c - h * s) / det), max(0.1, (h * c - w * s) / det)
        return x - w, y - h, x + w, y + h

    return Line(line.text, upright(line.box), line.confidence, [upright(box) for box in line.characters])


def split_words(line: Line) -> list[tuple[str, Box]]:
    """Return the words of a line, each but the last with a blank, and its box up to the start of the next word."""
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
