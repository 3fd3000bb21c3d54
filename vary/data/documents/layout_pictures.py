"""Lay out slides and textbook pages with figures, photographs, captions and margin notes."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from .layout_kinds import beside
from .layout_page import PageWriter


def slide(page: PageWriter) -> str:
    """Write a slide: a title, a list, and often a figure with its caption."""
    words = page.words
    title = f"#{page.text('title', [words.phrase(2, 7)], 1.7, page.chance(0.7))}"
    if page.chance(0.3):
        title = f"#align(center, {title[1:]})"
    mark = words.pick(("• ", "– ", "- "))
    items = [page.text("list item", [words.sentence(3, 14)], mark=mark) for _ in range(int(page.rng.integers(2, 6)))]
    body = f"stack(spacing: 1em, {', '.join(f'par(hanging-indent: 0.8em, {item})' for item in items)})"
    if page.chance(0.7):
        body = beside(body, _add_caption(page, 250, float(page.rng.uniform(110, 170))))[1:]
    foot = page.text("footer", [f"{words.phrase(2, 4)} {int(page.rng.integers(1, 90))}"], 0.7)
    return f"{title}\n\n#{body}\n#v(1fr)\n#align(right, {foot})"


def textbook(page: PageWriter) -> str:
    """Write a page of a textbook: a header, headings, text with margin notes, figures or photographs."""
    words = page.words
    head = page.text("header", [f"{words.phrase(2, 5)} {int(page.rng.integers(1, 600))}"], 0.8)
    parts = [f"#align({words.pick(('left', 'center', 'right'))}, {head})"]
    noted = page.chance(0.6)
    for _ in range(int(page.rng.integers(2, 4))):
        parts.append(f"#{page.text('heading', [words.phrase(1, 5)], 1.25, True)}")
        for _ in range(int(page.rng.integers(1, 3))):
            text = page.text("text", [words.sentence(30, 90)])
            if noted:
                note = page.text("margin note", [words.sentence(3, 9)], 0.75) if page.chance(0.6) else "[]"
                text = f"grid(columns: (1fr, 24%), column-gutter: 1.5em, {text}, {note})"
            parts.append(f"#{text}")
        if page.chance(0.7):
            picture = _add_caption(page, float(page.rng.uniform(180, 300)), float(page.rng.uniform(90, 160)))
            parts.append(f"#align({words.pick(('left', 'center'))}, {picture})")
    return "\n\n".join(parts)


def _add_caption(page: PageWriter, width: float, height: float) -> str:
    """Return a figure or a photograph with its caption below."""
    photo = page.chance(0.3)
    draw = partial(_photo if photo else _plot, page, width, height)
    picture = page.picture("photo" if photo else "figure", width, height, draw)
    name = f"{page.words.pick(('Figure', 'Fig.'))} {int(page.rng.integers(1, 30))}"
    caption = page.text("caption", [f"{name}: {page.words.sentence(3, 14)}"], 0.85)
    return f"box(width: {width:.0f}pt, stack(spacing: 0.8em, {picture}, {caption}))"


def _plot(page: PageWriter, width: float, height: float) -> list[str]:
    """Draw axes with labels, and bars or a line."""
    words, rng = page.words, page.rng
    left, top, right, bottom = 34.0, 16.0, width - 8, height - 30
    parts = [page.label(words.phrase(1, 2), left, 2, "left")]
    steps = int(rng.integers(2, 5))
    unit = float(rng.choice((0.5, 1, 2, 5, 10, 25, 100)))
    for k in range(steps + 1):
        y = bottom - (bottom - top) * k / steps
        parts += [_line(left - 3, y, left, y), page.label(f"{unit * k:g}", left - 5, y - 4, "right")]
    count = int(rng.integers(3, 7))
    slot, places = (right - left) / count, []
    for k, value in enumerate(rng.uniform(0.1, 1, count).tolist()):
        x = left + slot * (k + 0.5)
        places.append((x, bottom - (bottom - top) * value))
        parts.append(page.label(str(1990 + k) if steps % 2 else chr(65 + k), x, bottom + 4, "center"))
    parts.append(page.label(words.phrase(1, 2), (left + right) / 2, bottom + 16, "center"))
    parts += [_line(left, top, left, bottom), _line(left, bottom, right, bottom)]
    if page.chance(0.5):
        shade = f"luma({int(rng.integers(20, 75))}%)"
        return parts + [
            f"place(dx: {x - slot / 3:.1f}pt, dy: {y:.1f}pt, "
            f"rect(width: {slot / 1.5:.1f}pt, height: {bottom - y:.1f}pt, fill: {shade}))"
            for x, y in places
        ]
    return parts + [_line(*a, *b) for a, b in pairwise(places)]


def _line(x0: float, y0: float, x1: float, y1: float) -> str:
    return f"place(line(start: ({x0:.1f}pt, {y0:.1f}pt), end: ({x1:.1f}pt, {y1:.1f}pt), stroke: 0.6pt))"


def _photo(page: PageWriter, width: float, height: float) -> list[str]:
    """Draw a picture without text: a shaded ground and some shades on it."""
    rng = page.rng
    dark, light = sorted(int(v) for v in rng.integers(10, 95, 2))
    ground = f"gradient.linear(luma({dark}%), luma({light}%), angle: {int(rng.integers(360))}deg)"
    parts = [f"place(rect(width: {width:.0f}pt, height: {height:.0f}pt, fill: {ground}))"]
    for _ in range(int(rng.integers(2, 7))):
        wide, high = rng.uniform(0.1, 0.4, 2).tolist()
        x, y = rng.uniform(0, 1 - wide) * width, rng.uniform(0, 1 - high) * height
        shade = f"gradient.radial(luma({int(rng.integers(10, 95))}%), luma({int(rng.integers(10, 95))}%))"
        size = f"width: {wide * width:.0f}pt, height: {high * height:.0f}pt"
        parts.append(f"place(dx: {x:.0f}pt, dy: {y:.0f}pt, ellipse({size}, fill: {shade}))")
    return parts
