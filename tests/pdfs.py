"""PDFs out of content streams, for tests: what is written is what PDFium gets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fontTools.pens.boundsPen import BoundsPen
from fontTools.pens.qu2cuPen import Qu2CuPen
from fontTools.pens.recordingPen import RecordingPen
from fontTools.ttLib import TTFont
from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DecodedStreamObject,
    DictionaryObject,
    FloatObject,
    NameObject,
    NumberObject,
    TextStringObject,
)

FACES = {"F1": "Helvetica", "F2": "Helvetica-Bold", "F3": "Courier", "F4": "Times-Italic"}


def pdf_of(
    path: Path,
    pages: Sequence[str | bytes],
    size: tuple[int, int] = (400, 300),
    rotation: int = 0,
    links: Sequence[tuple[tuple[float, float, float, float], str]] = (),
    title: str | None = None,
) -> Path:
    """Write a PDF, one page for each content stream; fonts /F1 ... /F4 are FACES, /M multiplies colours.

    links: of the first page.
    """
    writer = PdfWriter()
    fonts = DictionaryObject()
    for name, face in FACES.items():
        font = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": f"/{face}", "/Encoding": "/WinAnsiEncoding"}
        known = DictionaryObject({NameObject(k): NameObject(v) for k, v in font.items()})
        fonts[NameObject(f"/{name}")] = writer._add_object(known)
    for content in pages:
        page = writer.add_blank_page(*size)
        stream = DecodedStreamObject()
        stream.set_data(content if isinstance(content, bytes) else content.encode("cp1252"))
        page[NameObject("/Contents")] = writer._add_object(stream)
        multiply = DictionaryObject({NameObject("/M"): DictionaryObject({NameObject("/BM"): NameObject("/Multiply")})})
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): fonts, NameObject("/ExtGState"): multiply}
        )
        page[NameObject("/Rotate")] = NumberObject(rotation)
    for box, uri in links:
        action = {"/S": NameObject("/URI"), "/URI": TextStringObject(uri)}
        note = {
            "/Type": NameObject("/Annot"), "/Subtype": NameObject("/Link"),
            "/Rect": ArrayObject([NumberObject(round(v)) for v in box]),
            "/A": DictionaryObject({NameObject(k): v for k, v in action.items()}),
        }  # fmt: skip
        known = DictionaryObject({NameObject(k): v for k, v in note.items()})
        writer.pages[0][NameObject("/Annots")] = ArrayObject([writer._add_object(known)])
    if title:
        writer.add_metadata({"/Title": title})
    writer.write(path)
    return path


def show(text: str, x: float, y: float, size: float = 12, font: str = "F1", extra: str = "") -> str:
    """Return operators that set a line of text; extra: operators before it (colour, render mode)."""
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)").replace("\r", r"\r")
    return f"q BT {extra} /{font} {size} Tf {x} {y} Td ({escaped}) Tj ET Q\n"


def with_map(path: Path, pairs: dict[str, str]) -> Path:
    """Give the font /F1 a ToUnicode that says `pairs`, and every other character as it is."""
    writer = PdfWriter(PdfReader(path))
    shown = [chr(code) for code in range(32, 127)]
    lines = "".join(f"<{ord(ch):02x}> <{ord(pairs.get(ch, ch)):04x}>\n" for ch in shown)
    cmap = DecodedStreamObject()
    cmap.set_data(
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def\n"
        f"1 begincodespacerange <00> <ff> endcodespacerange\n{len(shown)} beginbfchar\n{lines}endbfchar\n"
        "endcmap CMapName currentdict /CMap defineresource pop end end".encode()
    )
    fonts = writer.pages[0]["/Resources"]["/Font"]
    fonts["/F1"].get_object()[NameObject("/ToUnicode")] = writer._add_object(cmap)
    writer.write(path)
    return path


def without_map(path: Path, face: str, pairs: dict[str, str]) -> Path:
    """Make /F1 an embedded TrueType font without a map, whose codes are set so that `pairs` are claimed."""
    writer = PdfWriter(PdfReader(path))
    font, data = _truetype(face)
    by_claim = {pairs.get(chr(code), chr(code)): chr(code) for code in range(32, 127)}
    glyphs = font.getBestCmap()
    order = [font.getGlyphID(glyphs[ord(by_claim.get(chr(code), " "))]) for code in range(32, 127)]
    _recode(writer, {drawn: claimed for claimed, drawn in by_claim.items()})
    stream = DecodedStreamObject()
    stream.set_data(data)
    scale = 1000 / font["head"].unitsPerEm
    widths = [round(font["hmtx"][font.getGlyphName(glyph)][0] * scale) for glyph in order]
    places = DecodedStreamObject()
    places.set_data(b"".join(n.to_bytes(2, "big") for n in [0] * 32 + order))
    descriptor = dictionary_of(Type="FontDescriptor", FontName="X", Flags=4, FontBBox=[0, -200, 1000, 900], StemV=80,
                               ItalicAngle=0, Ascent=900, Descent=-200, CapHeight=700)  # fmt: skip
    descriptor[NameObject("/FontFile2")] = writer._add_object(stream)
    inner = dictionary_of(Type="Font", Subtype="CIDFontType2", BaseFont="X", W=[32, widths])
    inner[NameObject("/FontDescriptor")] = writer._add_object(descriptor)
    inner[NameObject("/CIDSystemInfo")] = DictionaryObject({
        NameObject("/Registry"): TextStringObject("Adobe"), NameObject("/Ordering"): TextStringObject("Identity"),
        NameObject("/Supplement"): NumberObject(0),
    })  # fmt: skip
    inner[NameObject("/CIDToGIDMap")] = writer._add_object(places)
    outer = dictionary_of(Type="Font", Subtype="Type0", BaseFont="X", Encoding="Identity-H")
    outer[NameObject("/DescendantFonts")] = ArrayObject([writer._add_object(inner)])
    fonts = writer.pages[0]["/Resources"]["/Font"]
    fonts[NameObject("/F1")] = writer._add_object(outer)
    writer.write(path)
    return path


def set_in(path: Path, lines: Sequence[str], face: str, claims: dict[str, str | None], size: float = 12) -> Path:
    """Write a page of lines in any letters of a TrueType face.

    claims: What a character is said to be by the font's map; None where the map forgets it.
    """
    font, data = _truetype(face)
    glyphs, scale = font.getBestCmap(), 1000 / font["head"].unitsPerEm
    names = {ch: glyphs[ord(ch)] for ch in sorted(set("".join(lines)))}
    codes = {ch: font.getGlyphID(name) for ch, name in names.items()}
    writer = PdfWriter(pdf_of(path, [""], (420, 300)))
    program, cmap, content = DecodedStreamObject(), DecodedStreamObject(), DecodedStreamObject()
    program.set_data(data)
    pairs = [(code, claims.get(ch, ch)) for ch, code in codes.items()]
    rows = [f"<{code:04x}> <{claim.encode('utf-16-be').hex()}>\n" for code, claim in pairs if claim is not None]
    cmap.set_data(
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def\n"
        f"1 begincodespacerange <0000> <ffff> endcodespacerange\n{len(rows)} beginbfchar\n{''.join(rows)}endbfchar\n"
        "endcmap CMapName currentdict /CMap defineresource pop end end".encode()
    )
    content.set_data("".join(
        f"BT /F9 {size} Tf 30 {270 - 1.5 * size * k:g} Td <{''.join(f'{codes[ch]:04x}' for ch in line)}> Tj ET\n"
        for k, line in enumerate(lines)
    ).encode())  # fmt: skip
    descriptor = dictionary_of(Type="FontDescriptor", FontName="X", Flags=4, FontBBox=[0, -200, 1000, 900], StemV=80,
                               ItalicAngle=0, Ascent=900, Descent=-200, CapHeight=700)  # fmt: skip
    descriptor[NameObject("/FontFile2")] = writer._add_object(program)
    widths = [value for ch in codes for value in (codes[ch], [round(font["hmtx"][names[ch]][0] * scale)])]
    inner = dictionary_of(Type="Font", Subtype="CIDFontType2", BaseFont="X", W=widths, CIDToGIDMap="Identity")
    inner[NameObject("/FontDescriptor")] = writer._add_object(descriptor)
    inner[NameObject("/CIDSystemInfo")] = DictionaryObject({
        NameObject("/Registry"): TextStringObject("Adobe"), NameObject("/Ordering"): TextStringObject("Identity"),
        NameObject("/Supplement"): NumberObject(0),
    })  # fmt: skip
    outer = dictionary_of(Type="Font", Subtype="Type0", BaseFont="X", Encoding="Identity-H")
    outer[NameObject("/DescendantFonts")] = ArrayObject([writer._add_object(inner)])
    outer[NameObject("/ToUnicode")] = writer._add_object(cmap)
    page = writer.pages[0]
    page["/Resources"]["/Font"][NameObject("/F9")] = writer._add_object(outer)
    page[NameObject("/Contents")] = writer._add_object(content)
    writer.write(path)
    return path


def as_type3(path: Path, face: str, units: float = 1.0, more: dict[int, str] | None = None) -> Path:
    """Make /F1 a Type 3 font that draws the outlines of a TrueType face.

    units: how much larger than its size the type is drawn. more: codes below 32, and what they draw.
    """
    writer = PdfWriter(PdfReader(path))
    font, _ = _truetype(face)
    shapes, glyphs, unit = font.getGlyphSet(), font.getBestCmap(), font["head"].unitsPerEm
    procedures, widths = DictionaryObject(), []
    codes = {code: chr(code) for code in range(32, 127)} | (more or {})
    for code in range(1, 127):
        shape = shapes[glyphs[ord(codes.get(code, " "))]]
        stream = DecodedStreamObject()
        bounds = BoundsPen(shapes)
        shape.draw(bounds)
        box = " ".join(f"{value:g}" for value in bounds.bounds or (0, 0, 0, 0))
        stream.set_data(f"{shape.width} 0 {box} d1\n{_operators(shape, shapes)}f".encode())
        procedures[NameObject(f"/c{code}")] = writer._add_object(stream)
        widths.append(shape.width)
    names = ArrayObject([NumberObject(1), *(NameObject(f"/c{code}") for code in range(1, 127))])
    new = dictionary_of(Type="Font", Subtype="Type3", FontBBox=[0, -500, unit, unit], FirstChar=1, LastChar=126,
                      Widths=widths)  # fmt: skip
    new[NameObject("/FontMatrix")] = ArrayObject([FloatObject(v) for v in (units / unit, 0, 0, units / unit, 0, 0)])
    new[NameObject("/CharProcs")] = procedures
    new[NameObject("/Encoding")] = DictionaryObject({NameObject("/Differences"): names})
    writer.pages[0]["/Resources"]["/Font"][NameObject("/F1")] = writer._add_object(new)
    writer.write(path)
    return path


def add_page_under(path: Path, under: Path) -> Path:
    """Lay the first page of another PDF under that of a PDF."""
    writer = PdfWriter(PdfReader(path))
    writer.pages[0].merge_page(PdfReader(under).pages[0], over=False)
    writer.write(path)
    return path


def _operators(shape: Any, shapes: Any) -> str:
    """Return PDF operators for the outline of a glyph."""
    pen = RecordingPen()
    shape.draw(Qu2CuPen(pen, 1.0, all_cubic=True))
    letters = {"moveTo": "m", "lineTo": "l", "curveTo": "c", "closePath": "h", "endPath": "h"}
    steps = [(letters[name], [value for point in points for value in point]) for name, points in pen.value]
    return "".join(" ".join([*(f"{value:g}" for value in values), letter]) + "\n" for letter, values in steps)


def _truetype(face: str) -> tuple[Any, bytes]:
    path = next(Path("/usr/share/fonts").rglob(face))
    return TTFont(path), path.read_bytes()


def _recode(writer: PdfWriter, codes: dict[str, str]) -> None:
    """Write the strings of a content stream by pdf_of as two-byte codes, characters replaced."""

    def coded(match: re.Match[bytes]) -> bytes:
        text = re.sub(rb"\\(.)", rb"\1", match[1]).decode("cp1252")
        return b"<" + b"".join(b"%04x" % ord(codes.get(ch, ch)) for ch in text) + b"> Tj"

    for page in writer.pages:
        stream = DecodedStreamObject()
        stream.set_data(re.sub(rb"\(((?:\\.|[^\\)])*)\) Tj", coded, page["/Contents"].get_object().get_data()))
        page[NameObject("/Contents")] = writer._add_object(stream)


def dictionary_of(**values: Any) -> DictionaryObject:
    """Return a PDF dictionary: strings become names, numbers and lists what they are."""

    def made(value: Any) -> Any:
        if isinstance(value, list):
            return ArrayObject([made(one) for one in value])
        return NameObject(f"/{value}") if isinstance(value, str) else NumberObject(value)

    return DictionaryObject({NameObject(f"/{name}"): made(value) for name, value in values.items()})
