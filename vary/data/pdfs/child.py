"""Child process in which PDFium reads pages of real PDFs; it may crash or hang without harm to the parent."""

from __future__ import annotations

import json
import zlib
from typing import Any, BinaryIO

import numpy as np

from ...io.child import send
from ...io.pdf import limit_memory, open_pdf, pdf_page, reason
from .text_layer import GENERATED, read_layer, read_looks

ENTRY = "vary.data.pdfs.child:serve"
COLUMNS = 10  # numbers per character: code, kind, box, pen, size, styles
OPEN = 8  # files that the child keeps open


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests, one JSON line each, until the input ends."""
    limit_memory()
    import pypdfium2

    files: dict[str, Any] = {}
    for line in requests:
        request = json.loads(line)
        path, data = request["path"], b""
        try:
            if path not in files:
                if len(files) >= OPEN:
                    files.pop(next(iter(files))).close()
                files[path] = open_pdf(path, None)
            answer: dict[str, Any] = {"pages": len(files[path])}
            if "page" in request:
                answer, data = _sheet(pdf_page(files[path], request["page"]), request["height"], request["width"])
        except (pypdfium2.PdfiumError, OSError, EOFError, zlib.error, ValueError, MemoryError) as error:
            answer, data = {"error": reason(error)}, b""
        send(answers, answer, data)


def _sheet(page: Any, height: int, width: int) -> tuple[dict[str, Any], bytes]:
    """Return characters and image of a page, and how many characters have no Unicode value or are rotated."""
    from pypdfium2 import raw

    scale = min(height / page.get_height(), width / page.get_width())
    layer = read_layer(page, scale)
    bitmap = page.render(scale=scale, grayscale=True, may_draw_forms=False)
    drawn = bitmap.to_numpy().reshape(bitmap.height, bitmap.width)[:height, :width]
    textpage = page.get_textpage()
    glyphs = [k for k, kind in enumerate(layer.kinds) if kind != GENERATED and k < textpage.count_chars()]
    unmapped = sum(raw.FPDFText_HasUnicodeMapError(textpage.raw, k) == 1 for k in glyphs)
    turned = sum(abs(raw.FPDFText_GetCharAngle(textpage.raw, k)) > 0.05 for k in glyphs)
    looks = np.zeros(len(layer.kinds), np.uint8)
    looks[glyphs] = read_looks(page, glyphs)
    columns = [np.array([ord(ch) for ch in layer.text])[:, None], layer.kinds[:, None], layer.boxes, layer.points]
    columns += [layer.ems[:, None], looks[:, None]]
    table = np.hstack(columns).astype(np.float32) if len(layer.kinds) else np.empty((0, COLUMNS))
    facts = {"unmapped": unmapped, "turned": turned, "rotation": page.get_rotation()}
    answer = {"characters": len(table), "width": drawn.shape[1], "height": drawn.shape[0], **facts}
    return answer, table.astype(np.float32).tobytes() + np.ascontiguousarray(drawn).tobytes()
