"""Draw a page's blocks onto its image, and cut figures out of it."""

from __future__ import annotations

from PIL import Image

from ...io.box import Box
from ..elements import Block, Page
from ..orientation import Orientation, straighten

COLOURS = {
    "text": "#1f77b4",
    "heading": "#d62728",
    "list": "#2ca02c",
    "code": "#17becf",
    "table": "#9467bd",
    "formula": "#e377c2",
    "figure": "#ff7f0e",
    "caption": "#8c564b",
    "footnote": "#bcbd22",
    "header": "#7f7f7f",
    "footer": "#7f7f7f",
}


def draw_overlay(page: Page, image: Image.Image) -> Image.Image:
    """Return the page image with a numbered box around each block, coloured by kind, and thin boxes around lines.

    Args:
        page: The page.
        image: Its image at any resolution.
    """
    drawn = image.convert("RGB")
    scale = drawn.width / (page.width or drawn.width)
    from PIL import ImageDraw, ImageFont

    draw, font = ImageDraw.Draw(drawn), ImageFont.load_default(max(10, round(drawn.height / 100)))
    for line in page.lines:
        draw.rectangle(_scale(line.box, scale), outline="#c8d8e8")
    for number, block in enumerate(page.blocks, 1):
        x0, y0, x1, y1 = _scale(block.box, scale)
        colour = COLOURS[block.kind]
        draw.rectangle((x0, y0, x1, y1), outline=colour, width=2)
        label, corner = f"{number} {block.kind}", (x0 - 4, y0)  # left of the block, where it covers no text
        draw.rectangle(draw.textbbox(corner, label, font, anchor="ra"), fill=colour)
        draw.text(corner, label, "white", font, anchor="ra")
    return drawn


def crop_block(page: Page, block: Block, image: Image.Image) -> Image.Image:
    """Return the part of the page image that shows a block, rotated upright by quarter turns."""
    x0, y0, x1, y1 = _scale(block.box, image.width / (page.width or image.width))
    part = image.crop((max(0, round(x0)), max(0, round(y0)), round(x1), round(y1)))
    return straighten(part, Orientation(page.rotation))


def _scale(box: Box, scale: float) -> Box:
    x0, y0, x1, y1 = (float(v) * scale for v in box)
    return x0, y0, max(x0, x1), max(y0, y1)
