"""PDFs out of content streams, for tests: what is written is what PDFium gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject, NumberObject, TextStringObject

FACES = {"F1": "Helvetica", "F2": "Helvetica-Bold", "F3": "Courier", "F4": "Times-Italic"}


def pdf_of(
    path: Path,
    pages: Sequence[str | bytes],
    size: tuple[int, int] = (400, 300),
    rotation: int = 0,
    links: Sequence[tuple[tuple[float, float, float, float], str]] = (),
    title: str | None = None,
) -> Path:
    """Write a PDF, one page for each content stream; fonts /F1 ... /F4 are FACES; links are on the first page."""
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
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
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
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
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
