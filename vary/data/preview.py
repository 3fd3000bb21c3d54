"""Draw samples as one contact sheet: images with the boxes of lines and regions, and the start of each target."""

from __future__ import annotations

import textwrap

from PIL import Image, ImageDraw, ImageFont

from .sample import Sample

COLUMNS = 4
CELL = 480  # px, width and height of an image cell; the text is below it
_WORDS, _LINE = 96, "#0a84ff"
_COLOURS = ("#e5484d", "#30a46c", "#f76b15", "#8e4ec6", "#a18072")  # one per region label


def contact_sheet(samples: list[Sample]) -> Image.Image:
    """Draw all samples into one RGB image, in rows. Lines are blue; each region label has its own colour."""
    columns = max(1, min(COLUMNS, len(samples)))
    rows = -(-len(samples) // columns)
    sheet = Image.new("RGB", (columns * CELL, rows * (CELL + _WORDS)), "#d8d8d8")
    for k, sample in enumerate(samples):
        sheet.paste(cell(sample), (k % columns * CELL, k // columns * (CELL + _WORDS)))
    return sheet


def cell(sample: Sample) -> Image.Image:
    """Draw one sample into a cell: image, boxes, kind, prompt and the start of the target text."""
    paper = Image.new("RGB", (CELL, CELL + _WORDS), "white")
    draw = ImageDraw.Draw(paper)
    if sample.image.size:
        height, width = sample.image.shape[:2]
        scale = min((CELL - 8) / width, (CELL - 8) / height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        paper.paste(Image.fromarray(sample.image).convert("RGB").resize(size, Image.Resampling.BOX), (4, 4))
        labels = sorted({region.label for region in sample.regions})
        boxes = [(line.box, _LINE) for line in sample.lines if line.text]
        boxes += [(r.box, _COLOURS[labels.index(r.label) % len(_COLOURS)]) for r in sample.regions]
        for (x0, y0, x1, y1), colour in boxes:
            corners = [4 + v * scale for v in (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))]
            draw.rectangle(corners, outline=colour)
    draw.rectangle((0, 0, CELL - 1, CELL + _WORDS - 1), outline="#808080")
    head = " · ".join(str(v) for v in (sample.kind, sample.meta.get("part"), sample.prompt) if v)
    font = ImageFont.load_default(12)
    said = textwrap.wrap(sample.text[:600].replace("\n", " / "), 76)[:5]
    for k, line in enumerate([head[:76], *said]):
        draw.text((6, CELL + 2 + 15 * k), line, "#555555" if not k else "black", font)
    return paper
