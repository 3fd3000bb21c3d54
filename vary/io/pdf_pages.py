"""Copy pages of a PDF and lay text over them, with pikepdf (qpdf) in a child process.

Copied pages keep their vectors, fonts, links and form fields. Nothing is rendered.
"""

from __future__ import annotations

import gzip
import io
import json
import math
from pathlib import Path
from typing import Any, BinaryIO

from .child import Child, ChildDied, send
from .errors import InputError
from .pdf import limit_memory

ENTRY = "vary.io.pdf_pages:serve"
COPY, OVERLAY, REPLACE = "copy", "overlay", "replace"
Step = tuple[int, str, int, float]


def assemble_pages(
    source: Path, password: str | None, plan: list[Step], added: Path, out: Path, timeout_s: float
) -> None:
    """Write a PDF with some pages of another, copied, with text laid over them, or replaced.

    Args:
        source: The PDF that pages are taken from.
        password: Its password.
        plan: Number of each page, from 1; what to do: COPY it as it is, OVERLAY the next page of `added`, or REPLACE
            it by the next page of `added`; and how a page is turned, in degrees clockwise: by quarters and beyond. A
            page with an OVERLAY is turned back.
        added: A PDF with the pages that are laid over or put in.
        out: The file to write.
        timeout_s: Time limit.

    Raises:
        InputError: The pages cannot be copied.
    """
    child = Child(ENTRY)
    request = {"source": str(source), "password": password, "plan": plan, "added": str(added), "out": str(out)}
    try:
        answer, _ = child.ask(request, timeout_s)
    except ChildDied as died:
        raise InputError(f"{source}: copying its pages {died}") from None
    finally:
        child.close()
    if "error" in answer:
        raise InputError(f"{source}: {answer['error']}")


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests of `assemble_pages` in the child."""
    limit_memory()
    for line in requests:
        try:
            _assemble(**json.loads(line))
            answer: dict[str, Any] = {}
        except Exception as error:  # pikepdf has errors of many classes
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        send(answers, answer)


def _assemble(source: str, password: str | None, plan: list[list[Any]], added: str, out: str) -> None:
    import pikepdf

    data = Path(source).read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    with pikepdf.open(io.BytesIO(data), password=password or "") as pdf, pikepdf.open(added) as more:
        if [number for number, action, *_ in plan if action == COPY] == list(range(1, len(pdf.pages) + 1)):
            Path(out).write_bytes(data)
            return
        own, extra = list(pdf.pages), iter(list(more.pages))
        wanted = []
        for number, action, rotation, skew in plan:
            if action == REPLACE:
                wanted.append(next(extra))
                continue
            page = own[number - 1]
            if action == OVERLAY:
                if skew:
                    _straighten(page, skew)
                page.add_overlay(next(extra))
                page.rotate(-rotation % 360, relative=True)
            wanted.append(page)
        if [number for number, *_ in plan] == list(range(1, len(own) + 1)):
            for k, (page, step) in enumerate(zip(wanted, plan, strict=True)):
                if step[1] == REPLACE:
                    pdf.pages[k] = page
        else:
            pdf.pages.extend(wanted)
            del pdf.pages[: len(own)]
        pdf.save(out)


def _straighten(page: Any, skew: float) -> None:
    """Turn content and annotations of a page back by `skew` degrees. What leaves the paper stays in the media box."""
    import pikepdf

    x0, y0, x1, y1 = map(float, page.cropbox)
    wide, high = x1 - x0, y1 - y0
    across, down = wide / 2, high / 2
    turn = pikepdf.Matrix().translated(x0 + across, y0 + down).rotated(skew).translated(-x0 - across, -y0 - down)
    for annotation in page.get("/Annots", []):
        box = pikepdf.Rectangle(*map(float, annotation.Rect))
        annotation.Rect = turn.transform(box).as_array()
    page.contents_add(b"q " + turn.encode() + b" cm\n", prepend=True)
    page.contents_add(b"\nQ")
    cos, sin = math.cos(math.radians(skew)), abs(math.sin(math.radians(skew)))
    across, down = (sin * high + cos * wide - wide) / 2, (sin * wide + cos * high - high) / 2
    page.cropbox = page.trimbox = pikepdf.Array([x0, y0, x1, y1])
    page.mediabox = pikepdf.Array([x0 - across, y0 - down, x1 + across, y1 + down])
