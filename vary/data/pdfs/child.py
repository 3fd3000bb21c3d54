"""Child process in which PDFium reads pages of real PDFs; it may crash or hang without harm to the parent."""

from __future__ import annotations

import json
import zlib
from typing import Any, BinaryIO

import numpy as np

from ...io.child import send
from ...io.pdf import limit_memory, open_pdf, pdf_page, reason
from ...io.pdf_layer import GENERATED
from ...io.pdf_text import read_text_layer

ENTRY = "vary.data.pdfs.child:serve"
TURNED = 3.0  # degrees from which a character counts as turned
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
    scale = min(height / page.get_height(), width / page.get_width())
    layer = read_text_layer(page, scale)
    bitmap = page.render(scale=scale, grayscale=True, may_draw_forms=False)
    drawn = bitmap.to_numpy().reshape(bitmap.height, bitmap.width)[:height, :width]
    glyphs = layer.kinds != GENERATED
    tilt = np.abs((layer.angles[glyphs] + 180) % 360 - 180)
    facts = {"unmapped": int(layer.unmapped[glyphs].sum()), "turned": int((tilt > TURNED).sum())}
    answer = {"characters": len(layer.text), "fonts": layer.font_names, "rotation": page.get_rotation(), **facts}
    answer |= {"width": drawn.shape[1], "height": drawn.shape[0]}
    return answer, layer.pack() + np.ascontiguousarray(drawn).tobytes()
