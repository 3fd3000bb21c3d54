"""The objects of a PDF page that are no text: ruling lines, filled areas, pictures, curves, links; hidden characters.

Call it in a child process, as `pdf_text.py`. Frame: as there. `z` is the place of an object in the drawing order.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np

from .box import Box, filled_boxes, scale_box
from .pdf_info import Tag, read_tags
from .pdf_layer import GENERATED, TextLayer
from .pdf_text import MAX_OBJECTS, Frame, Matrix, font_identity, matrix_of, multiply, read_text_objects, walk_objects

HIDDEN = ("", "invisible", "tiny", "outside", "clipped", "covered", "background")  # reasons; "" for visible
MAX_SEGMENTS = 4_000  # of a path; a map with more is a picture, and no evidence
RULE_WIDTH = 2.5  # points: a filled area as narrow is a ruling line
MIN_RULE = 3.0  # points, shortest ruling line
TINY = 1.0  # points; type this small is not for reading
OPAQUE = 250  # least alpha of a fill that hides what lies below
ALIKE = 12  # greatest difference of a colour channel between type and background that nobody sees
ROUNDED = 0.7  # share of the sides of a box that a rectangle with round corners draws; an ellipse draws 0.55


class FormField(NamedTuple):
    """A form field of a page.

    Args:
        kind: `checkbox` (also a radio button), `choice` (a list with a button at its right end), `comb` (a text in
            separate boxes) or `text`.
        box: Box in pixels.
        checked: Whether a checkbox is ticked.
    """

    kind: str
    box: Box
    checked: bool = False


@dataclass
class PageObjects:
    """What a page shows besides its text.

    Args:
        width: of the page as shown, px; height likewise.
        rules: ruling lines, as boxes of no or little width.
        fills: filled rectangles: box, colour 0xRRGGBB, z.
        images: box and z.
        shadings: box and z of colour gradients; they may be clear.
        curves: boxes of other paths (drawings), of gradients and of what shines through.
        links: box and target (a URI, or `#page=N`).
        tags: headings and pictures of a tagged PDF: type, alternative text, box.
        fields: form fields: kind as in `FormField`, box, whether it is ticked.
        scale: pixels per point.
        partial: the page has more objects than MAX_OBJECTS, or their drawing could not be read.
    """

    width: float = 0.0
    height: float = 0.0
    rules: list[Box] = field(default_factory=list)
    fills: list[tuple[Box, int, int]] = field(default_factory=list)
    images: list[tuple[Box, int]] = field(default_factory=list)
    shadings: list[tuple[Box, int]] = field(default_factory=list)
    curves: list[Box] = field(default_factory=list)
    links: list[tuple[Box, str]] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)
    fields: list[FormField] = field(default_factory=list)
    scale: float = 1.0
    partial: bool = False

    def resized(self, across: float, down: float) -> PageObjects:
        """Return the objects with all lengths multiplied, those across the page and those down."""
        moved = partial(scale_box, across=across, down=down)
        return PageObjects(
            self.width * across, self.height * down, [*map(moved, self.rules)],
            [(moved(box), colour, z) for box, colour, z in self.fills], [(moved(box), z) for box, z in self.images],
            [(moved(box), z) for box, z in self.shadings], [*map(moved, self.curves)],
            [(moved(box), to) for box, to in self.links], [(kind, alt, moved(box)) for kind, alt, box in self.tags],
            [one._replace(box=moved(one.box)) for one in self.fields], self.scale * across, self.partial,
        )  # fmt: skip

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> PageObjects:
        """Return the objects that `dataclasses.asdict` gave."""
        known = found | {name: [tuple(box) for box in found[name]] for name in ("rules", "curves")}
        for name in ("fills", "images", "shadings", "links"):
            known[name] = [(tuple(box), *more) for box, *more in found[name]]
        known["fields"] = [FormField(kind, tuple(box), checked) for kind, box, checked in found["fields"]]
        known["tags"] = [(kind, alt, tuple(box)) for kind, alt, box in found["tags"]]
        return cls(**known)


@dataclass(frozen=True)
class PageContent:
    """What a PDF says about a page: its text layer and its other objects."""

    text: TextLayer
    objects: PageObjects

    def resized(self, width: int, height: int) -> PageContent:
        """Return the content in pixels of an image of the page with another size."""
        across, down = width / self.objects.width, height / self.objects.height
        return PageContent(self.text.resized(across, down), self.objects.resized(across, down))


def read_content(pdf: Any, page: Any, scale: float) -> PageContent:
    """Return text layer and objects of a page, at `scale` pixels per point; hidden characters are marked."""
    text, addresses = read_text_objects(page, scale)
    objects, drawn = read_objects(pdf, page, scale, addresses)
    return PageContent(replace(text, hidden=find_hidden(text, objects, drawn, addresses)), objects)


def read_objects(pdf: Any, page: Any, scale: float, text_objects: list[int]) -> tuple[PageObjects, dict[int, Any]]:
    """Return the objects of a page, and z and clip box of each text object by its address.

    Args:
        pdf: the `pypdfium2.PdfDocument`.
        page: its `PdfPage`.
        scale: pixels per point.
        text_objects: addresses, as `FPDFText_GetTextObject` gives them.
    """
    from pypdfium2 import raw

    frame = Frame(page, scale)
    objects = PageObjects(frame.width * frame.per_point[0], frame.height * frame.per_point[1], scale=scale)
    drawn: dict[int, Any] = {}
    wanted = set(text_objects)
    for z, (thing, kind, matrix) in enumerate(walk_objects(raw, page, frame)):
        if z >= MAX_OBJECTS:
            objects.partial = True
            break
        if kind == raw.FPDF_PAGEOBJ_TEXT:
            address = ctypes.cast(thing, ctypes.c_void_p).value or 0
            if address in wanted:
                drawn[address] = (z, _clip(raw, thing, matrix))
        elif kind == raw.FPDF_PAGEOBJ_PATH:
            _add_path(raw, thing, matrix, objects, z)
        elif kind in (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_SHADING):
            box = _within(_bounds(raw, thing, matrix), _clip(raw, thing, matrix))
            if box and kind == raw.FPDF_PAGEOBJ_IMAGE:
                objects.images.append((box, z))
            elif box:
                objects.curves.append(box)
                objects.shadings.append((box, z))
    objects.links = list(read_links(pdf, page, frame))
    shown = (
        (thing, _bounds(raw, thing, matrix)) for thing, _, matrix in islice(walk_objects(raw, page, frame), MAX_OBJECTS)
    )
    objects.tags = read_tags(page, ((thing, box) for thing, box in shown if box))
    return objects, drawn


def read_fonts(page: Any) -> list[str]:
    """Return the identities of the fonts of a page, see `pdf_text.font_identity`."""
    from pypdfium2 import raw

    fonts: dict[Any, Any] = {}
    for thing, kind, _ in islice(walk_objects(raw, page, Frame(page, 1.0)), MAX_OBJECTS):
        if kind == raw.FPDF_PAGEOBJ_TEXT:
            font = raw.FPDFTextObj_GetFont(thing)
            fonts.setdefault(ctypes.cast(font, ctypes.c_void_p).value, font)
    return sorted({font_identity(raw, font) for font in fonts.values()})


def find_hidden(layer: TextLayer, objects: PageObjects, drawn: dict[int, Any], addresses: list[int]) -> np.ndarray:
    """Return (N,) uint8, for each character an index into HIDDEN.

    Text that is invisible but lies on a picture counts as visible: it is what a scanner's software read there.
    """
    count, glyphs = len(layer.text), (layer.kinds != GENERATED) & (layer.objects >= 0)
    x, y = (layer.boxes[:, 0] + layer.boxes[:, 2]) / 2, (layer.boxes[:, 1] + layer.boxes[:, 3]) / 2
    places = [drawn.get(address, (-1, None)) for address in addresses] or [(-1, None)]
    z = np.array([place[0] for place in places])[layer.objects]
    everywhere = (-np.inf, -np.inf, np.inf, np.inf)
    left, top, right, bottom = np.array([place[1] or everywhere for place in places])[layer.objects].T
    covered, on_picture, ground = np.zeros(count, bool), np.zeros(count, bool), np.full(count, 0xFFFFFF)
    areas = [(at, box, colour) for box, colour, at in objects.fills] + [(at, box, -1) for box, at in objects.images]
    areas += [(at, box, -2) for box, at in objects.shadings]
    for at, (x0, y0, x1, y1), colour in sorted(areas):
        inside = (x > x0) & (x < x1) & (y > y0) & (y < y1)
        covered |= inside & (z < at) & (z >= 0) & (colour > -2)
        ground[inside & (z > at)] = colour  # -1: a picture may have any colour, -2: a shading, which may be clear
        on_picture |= inside & (colour == -1)
    alike = [np.abs((ground >> shift & 255) - (layer.colours >> shift & 255)) <= ALIKE for shift in (0, 8, 16)]
    unseen = np.isin(layer.modes, (3, 7))
    smallest = min(TINY * objects.scale, max(objects.height, 1.0) / 800)
    found = (  # the last reason counts
        ("background", np.all(alike, 0) & (ground >= 0) & ~unseen),
        ("covered", covered & ~unseen),
        ("clipped", (x < left) | (x > right) | (y < top) | (y > bottom)),
        ("outside", (x < 0) | (y < 0) | (x > objects.width) | (y > objects.height)),
        ("tiny", layer.ems < smallest),
        ("invisible", unseen & ~on_picture),
    )
    hidden = np.zeros(count, np.uint8)
    for reason, where in found:
        hidden[glyphs & where] = HIDDEN.index(reason)
    return hidden


# -- drawing -----------------------------------------------------------------------------------------------------------

Points = list[tuple[float, float]]


def _apply(matrix: Matrix, points: Points) -> Points:
    a, b, c, d, e, f = matrix
    return [(a * x + c * y + e, b * x + d * y + f) for x, y in points]


def _around(points: Points) -> Box:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return round(min(xs), 2), round(min(ys), 2), round(max(xs), 2), round(max(ys), 2)


def _bounds(raw: Any, thing: Any, matrix: Matrix) -> Box | None:
    sides = [ctypes.c_float() for _ in range(4)]
    if not raw.FPDFPageObj_GetBounds(thing, *sides):
        return None
    x0, y0, x1, y1 = (side.value for side in sides)
    return _around(_apply(matrix, [(x0, y0), (x1, y0), (x0, y1), (x1, y1)]))


def _clip(raw: Any, thing: Any, matrix: Matrix) -> Box | None:
    """Return the box that all clip paths of an object share; None where nothing clips it."""
    path = raw.FPDFPageObj_GetClipPath(thing)
    box: Box | None = None
    for k in range(max(0, raw.FPDFClipPath_CountPaths(path)) if path else 0):
        count = raw.FPDFClipPath_CountPathSegments(path, k)
        if not 0 < count <= MAX_SEGMENTS:
            continue
        points = [_point(raw, raw.FPDFClipPath_GetPathSegment(path, k, n)) for n in range(count)]
        found = _around(_apply(matrix, points))
        box = found if box is None else _within(found, box) or (0.0, 0.0, 0.0, 0.0)
    return box


def _within(box: Box | None, clip: Box | None) -> Box | None:
    """Return the part of a box inside a clip; None when there is none."""
    if box is None or clip is None:
        return box
    x0, y0, x1, y1 = max(box[0], clip[0]), max(box[1], clip[1]), min(box[2], clip[2]), min(box[3], clip[3])
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _point(raw: Any, segment: Any) -> tuple[float, float]:
    x, y = ctypes.c_float(), ctypes.c_float()
    raw.FPDFPathSegment_GetPoint(segment, x, y)
    return x.value, y.value


def _add_path(raw: Any, thing: Any, matrix: Matrix, objects: PageObjects, z: int) -> None:
    """Sort the pieces of a path: ruling lines, filled rectangles, other drawing."""
    mode, stroke = ctypes.c_int(), ctypes.c_int()
    raw.FPDFPath_GetDrawMode(thing, mode, stroke)
    if not mode.value and not stroke.value:
        return
    count, clip = raw.FPDFPath_CountSegments(thing), _clip(raw, thing, matrix)
    if not 0 < count <= MAX_SEGMENTS:
        box = _within(_bounds(raw, thing, matrix), clip)
        objects.curves += [box] if box else []
        return
    four = [ctypes.c_uint() for _ in range(4)]
    raw.FPDFPageObj_GetFillColor(thing, *four)
    filled = bool(mode.value) and four[3].value >= OPAQUE and not raw.FPDFPageObj_HasTransparency(thing)
    colour = four[0].value << 16 | four[1].value << 8 | four[2].value
    whole = multiply(matrix_of(raw, thing), matrix)
    level: list[Points] = []
    for points, curved in _pieces(raw, thing, count):
        shown = _apply(whole, points)
        around = _around(shown)
        if curved and _is_rounded(shown, around):
            x0, y0, x1, y1 = around
            shown, curved = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], False
        box = _within(_with_area(around), clip)
        if box and (curved or not _level(shown) or not (filled or stroke.value)):
            objects.curves.append(box)
        elif box:
            level.append(shown)
            objects.rules += _sides(shown, clip) if stroke.value else []
    for part in filled_boxes(level, mode.value == raw.FPDF_FILLMODE_ALTERNATE) if filled else ():
        if not (box := _within(_with_area(part), clip)):
            continue
        if min(box[2] - box[0], box[3] - box[1]) > RULE_WIDTH * objects.scale:
            objects.fills.append((box, colour, z))
        elif max(box[2] - box[0], box[3] - box[1]) >= MIN_RULE * objects.scale:
            objects.rules.append(box)


def _level(points: Points) -> bool:
    """Return whether all sides of a piece are level or upright."""
    steps = [(abs(x1 - x0), abs(y1 - y0)) for (x0, y0), (x1, y1) in pairwise(points)]
    return all(min(step) <= 0.02 * max(step) + 0.05 for step in steps)


def _is_rounded(points: Points, box: Box) -> bool:
    """Return whether a piece is a rectangle with round corners: most of the sides of its box are drawn."""
    x0, y0, x1, y1 = box
    near = 0.01 * max(x1 - x0, y1 - y0)
    drawn = sum(
        max(abs(a[0] - b[0]), abs(a[1] - b[1]))
        for a, b in pairwise(points)
        if any(abs(a[k] - edge) < near and abs(b[k] - edge) < near for k, edge in ((0, x0), (0, x1), (1, y0), (1, y1)))
    )
    return drawn > ROUNDED * 2 * (x1 - x0 + y1 - y0)


def _pieces(raw: Any, thing: Any, count: int) -> Iterator[tuple[Points, bool]]:
    """Yield the subpaths of a path: their points, and whether any is a curve's."""
    points: Points = []
    curved = False
    for k in range(count):
        segment = raw.FPDFPath_GetPathSegment(thing, k)
        kind = raw.FPDFPathSegment_GetType(segment)
        if kind == raw.FPDF_SEGMENT_MOVETO and points:
            if len(points) > 1:
                yield points, curved
            points, curved = [], False
        points.append(_point(raw, segment))
        curved |= kind == raw.FPDF_SEGMENT_BEZIERTO
        if raw.FPDFPathSegment_GetClose(segment) and points[0] != points[-1]:
            points.append(points[0])
    if len(points) > 1:
        yield points, curved


def _sides(points: Points, clip: Box | None) -> list[Box]:
    """Return the sides of a piece as ruling lines."""
    found = (_within(_with_area(_around([*ends])), clip) for ends in pairwise(points))
    return [box for box in found if box and max(box[2] - box[0], box[3] - box[1]) >= MIN_RULE]


def _with_area(box: Box) -> Box:
    """Give a line without width a little of it, so that clipping keeps it."""
    x0, y0, x1, y1 = box
    return x0, y0, max(x1, x0 + 0.01), max(y1, y0 + 0.01)


# -- links -------------------------------------------------------------------------------------------------------------


def read_links(pdf: Any, page: Any, frame: Frame) -> Iterator[tuple[Box, str]]:
    """Yield box and target of each link of a page."""
    from pypdfium2 import raw

    place, link = ctypes.c_int(0), raw.FPDF_LINK()
    while raw.FPDFLink_Enumerate(page.raw, place, link):
        rect = raw.FS_RECTF()
        target = _target(raw, pdf, link)
        if target and raw.FPDFLink_GetAnnotRect(link, rect):
            yield _around(_apply(frame.matrix, [(rect.left, rect.bottom), (rect.right, rect.top)])), target


def _target(raw: Any, pdf: Any, link: Any) -> str:
    """Return what a link leads to: a URI, or a page of this file as `#page=N`; empty when it is neither."""
    action, goal = raw.FPDFLink_GetAction(link), None
    if action and raw.FPDFAction_GetType(action) == raw.PDFACTION_URI:
        size = raw.FPDFAction_GetURIPath(pdf.raw, action, None, 0)
        buffer = ctypes.create_string_buffer(size)
        raw.FPDFAction_GetURIPath(pdf.raw, action, buffer, size)
        return buffer.value.decode("utf-8", "replace")
    if action and raw.FPDFAction_GetType(action) == raw.PDFACTION_GOTO:
        goal = raw.FPDFAction_GetDest(pdf.raw, action)
    goal = goal or raw.FPDFLink_GetDest(pdf.raw, link)
    number = raw.FPDFDest_GetDestPageIndex(pdf.raw, goal) if goal else -1
    return f"#page={number + 1}" if number >= 0 else ""
