"""Combine readings of one page at several scales and orientations: which lines count, and what is left to read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from ...document.elements import Block
from ...document.lines import TextLine
from ...io.box import Box, widen_box
from ..field import INK_CONTRAST

EM_READ = (9.0, 26.0)  # px, size of type that the head reads; larger type is read at half the scale
EM_FINE = 13.0  # px; smaller type is read again at a larger scale, where the page has one
CERTAIN = 0.9  # mean confidence of a line that needs no second reading
EM_CERTAIN = 22.0  # px; larger type is read again at half the scale, where it may read better
ACCEPTED = 0.85  # least mean confidence of a line that only another scale or orientation shows
PROOF = 0.75, 0.85  # least mean confidence, for three letters and for one, of a line that proves text
PROVEN = 0.2  # share of a page's characters in such lines, for the page to have text
NEAR_EM = 8.0, 2.0  # em, across and down: how near to a certain line of a turned image other text counts
MARKED_EM = 12.0, 2.0  # em, across and down: how near to an upside-down line more of it is sought
PROOF_LETTERS = 4  # in a certain line of a turned image that has text
INVERTED_LETTERS = 12  # the same in all such lines of an image that is upside down: `SOSA` reads as `wsos` then
STROKE_EM = 3.0, 0.3  # em of a mark: how many times larger a letter is whose stroke it may be; em of that: how far off
BORDER = re.compile(r"(.{1,3}?)\1{19}")  # a unit with a letter is how a wavy border is read
STROKES = frozenset(r" /\|!()[]{}<>_-–—~^'`,.:;=")
STACKED = 0.5  # of a turned line's characters, from which upright ones in its place may be what is meant
MIN_TEXT = 0.45  # mean confidence of a line; below, it is ink that is not text
MIN_CHARACTER = 0.5  # the same for one or two letters or digits
MIN_MARK = 0.75  # the same for one or two other characters: ends of rules and specks look like dashes
MIN_SIGNS = 0.65  # the same for more of them
MIN_CELL, PEERS, LONGEST_PEER, ALIGNED_EM = 0.3, 3, 6, 0.35  # the same for a cell; others of its column, their length
LEFT, LEFT_EM = frozenset(".,:|'_"), 0.2  # marks that a piece of a rule may look like; its distance from the rule
SURE_CELL = 0.8  # confidence from which a cell is not read again
LONGEST_CELL = 2  # characters of a cell
CELL_SLOT = 64  # px, side of a cell's place
CELLS_A_ROW = 10  # cells in a row
CELL_INSET = 8  # px from the corner of a place to the cell
CELL_PAD_EM = 0.6, 0.3  # around a cell, across and down
MOST_CELLS = 400  # cells of a page
WINDOW = (320, 512)  # px, height and width of the part in which the size of type is measured


def is_text(line: TextLine) -> bool:
    """Return whether a line is text, by its confidence: other ink reads with less, or as an ornament's few strokes."""
    border = BORDER.search(line.text.replace(" ", ""))
    if border and any(map(str.isalpha, border[1])):
        return False
    if not any(ch.isalnum() for ch in line.text):
        return _mean(line) >= (MIN_SIGNS if len(line.text) > 2 else MIN_MARK)
    return _mean(line) >= (MIN_TEXT if len(line.text) > 2 else MIN_CHARACTER)


def find_texts(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return the lines that are text, and uncertain cells of a row and a column of such.

    A doubted line is no text where certain ones have most of its place: it is them at another scale.
    """
    certain = np.array([line.box for line in lines if _mean(line) >= CERTAIN]).reshape(-1, 4)

    def is_echo(line: TextLine) -> bool:
        x0, y0, x1, y1 = line.box
        wide = np.minimum(certain[:, 2], x1) - np.maximum(certain[:, 0], x0)
        high = np.minimum(certain[:, 3], y1) - np.maximum(certain[:, 1], y0)
        return float((wide.clip(0) * high.clip(0)).sum()) > 0.5 * (x1 - x0) * (y1 - y0)

    sure = [line for line in lines if is_text(line) and (_mean(line) >= PROOF[0] or not is_echo(line))]
    boxes = np.array([line.box for line in sure]).reshape(-1, 4)
    short = np.array([len(line.text) <= LONGEST_PEER for line in sure], bool)

    def is_cell(line: TextLine) -> bool:
        if len(line.text) > LONGEST_CELL or not line.text.isalnum() or _mean(line) < MIN_CELL:
            return False
        off = np.abs(boxes - line.box)
        row = (off[:, [1, 3]] < ALIGNED_EM * line.em_px).all(1)
        column = short & (off[:, [0, 2]].min(1) < ALIGNED_EM * line.em_px)
        return bool(row.any()) and int(column.sum()) >= PEERS

    kept = {id(line) for line in sure}
    return [line for line in lines if id(line) in kept or is_cell(line)]


def is_left_of_rule(line: TextLine, rules: Sequence[Box]) -> bool:
    """Return whether a line is one or two marks at a ruling line: a corner of cells that was not erased."""
    reach, (x0, y0, x1, y1) = LEFT_EM * line.em_px, line.box
    return (
        len(line.text) <= 2
        and set(line.text) <= LEFT
        and any(
            x0 - reach < rule[2] and rule[0] < x1 + reach and y0 - reach < rule[3] and rule[1] < y1 + reach
            for rule in rules
        )
    )


def prove_text(lines: list[TextLine]) -> bool:
    """Return whether lines show that their page has text: noise and specks give few confident ones."""
    count = proven = 0
    for line in lines:
        letters = sum(ch.isalnum() for ch in line.text)
        count += len(line.text)
        if (letters >= 3 and _mean(line) >= PROOF[0]) or (letters >= 1 and _mean(line) >= PROOF[1]):
            proven += len(line.text)
    return proven > PROVEN * count


def is_certain(line: TextLine, factor: float = 1.0) -> bool:
    """Return whether a line is read so well that no other scale is tried for it.

    Args:
        line: a line.
        factor: pixels of the line per pixel of the image in which it was read.
    """
    letters = sum(ch.isalnum() for ch in line.text)
    return letters >= 2 and len(line.text) >= 3 and line.em_px <= EM_CERTAIN * factor and _mean(line) >= CERTAIN


def is_read(line: TextLine, factor: float = 1.0) -> bool:
    """Return whether a line is read at the size of its own type, so that a larger scale is not tried for it.

    Args:
        line: a line.
        factor: pixels of the line per pixel of the image in which it was read.
    """
    shown = len(line.text) > 2 and any(map(str.isalnum, line.text))  # a line of small type looks like dashes
    return shown and line.em_px >= EM_FINE * factor and _mean(line) >= PROOF[0]


def erase(pixels_HW: np.ndarray, lines: list[TextLine]) -> None:
    """Paint lines over with the colour of the paper around them."""
    for line in lines:
        x0, y0, x1, y1 = (max(0, round(v)) for v in line.box)
        part = pixels_HW[max(0, y0 - 1) : y1 + 1, max(0, x0 - 1) : x1 + 1]
        if part.size:
            part[:] = np.median(part)


def has_ink(pixels_HW: np.ndarray, line: TextLine) -> bool:
    """Return whether a line's ink is still there, and was not erased as part of another line."""
    x0, y0, x1, y1 = (max(0, round(v)) for v in line.box)
    part = pixels_HW[y0:y1, x0:x1]
    return bool(part.size) and int(part.max()) - int(part.min()) >= INK_CONTRAST


def enlarge(line: TextLine, by: float, left: float = 0.0, top: float = 0.0) -> TextLine:
    """Return a line with its pixels enlarged and then moved."""
    boxes = line.boxes * np.float32(by) + np.array([left, top, left, top], np.float32)
    return replace(line, boxes=boxes, em_px=line.em_px * by)


def merge_pass(known: list[TextLine], found: list[TextLine], factor: float) -> list[TextLine]:
    """Add the lines of another pass to the known ones; where both read the same ink, the better reading stays.

    Args:
        known: lines so far.
        found: lines of the other pass, in the same pixels.
        factor: pixels of `found` per pixel of the image in which it was read.
    """
    for line in found:
        size = line.em_px / factor
        if not EM_READ[0] <= size <= EM_READ[1] or len(line.text) < 2 or _mean(line) < ACCEPTED:
            continue
        if not any(ch.isalnum() for ch in line.text):
            continue
        same = [other for other in known if _share_in(other, line) > 0.5]
        if any(_share_in(line, other) > 0.5 and not _better(line, [other]) for other in known):
            continue
        if not same or _better(line, same):
            known = [other for other in known if not any(other is one for one in same)] + [line]
    return known


def take_turned(found: list[TextLine], rotation: int) -> list[TextLine]:
    """Return the text of a turned image: certain lines, and others next to them, such as the cells of a table.

    A line is certain from CERTAIN on, since text that is upside down often has 0.85. Without letters, nothing is text.
    """
    certain = [line for line in found if len(line.text) > 1 and _mean(line) >= CERTAIN]
    letters = [sum(map(str.isalpha, line.text)) for line in certain]
    if max(letters, default=0) < PROOF_LETTERS or (rotation == 180 and sum(letters) < INVERTED_LETTERS):
        return []

    def near(line: TextLine) -> bool:
        x0, y0, x1, y1 = line.box
        return any(
            x0 < a.box[2] + NEAR_EM[0] * a.em_px and a.box[0] < x1 + NEAR_EM[0] * a.em_px
            and y0 < a.box[3] + NEAR_EM[1] * a.em_px and a.box[1] < y1 + NEAR_EM[1] * a.em_px
            for a in certain
        )  # fmt: skip

    return [line for line in found if is_text(line) and near(line)]


def mark_doubted(lines: list[TextLine], shape: tuple[int, ...]) -> np.ndarray:
    """Return a mask of an image where text may be upside down, by uncertain lines read from the upright image."""
    marked = np.zeros(shape, bool)
    for line in lines:
        if is_text(line) and not is_certain(line, np.inf) and len(line.text) > 2:
            _mark(marked, widen_box(line.box, 16, 8))
    return marked


def mark_near(lines: list[TextLine], shape: tuple[int, ...]) -> np.ndarray:
    """Return a mask of an image near lines, where cells of their table and more lines of their text are."""
    marked = np.zeros(shape, bool)
    for line in lines:
        _mark(marked, widen_box(line.box, MARKED_EM[0] * line.em_px, MARKED_EM[1] * line.em_px))
    return marked


def _mark(marked: np.ndarray, box: Box) -> None:
    x0, y0, x1, y1 = (max(0, round(side)) for side in box)
    marked[y0:y1, x0:x1] = True


def restore(pixels_HW: np.ndarray, page_HW: np.ndarray, lines: list[TextLine], marked: np.ndarray) -> None:
    """Put the ink of erased lines back from the page, where the middle of a line is marked."""
    for line in lines:
        x0, y0, x1, y1 = (max(0, round(side)) for side in line.box)
        if marked[(y0 + y1) // 2, (x0 + x1) // 2]:
            pixels_HW[y0:y1, x0:x1] = page_HW[y0:y1, x0:x1]


def is_upright(turned: TextLine, rotation: int, upright: list[TextLine], size: tuple[int, int]) -> bool:
    """Return whether a line of a turned image reads better upright, such as a column of digits.

    Digits that are upside down read as other digits: what has no letters there is judged by its neighbours alone.

    Args:
        turned: a line of the image turned by `rotation`.
        rotation: 90, 180 or 270 degrees.
        upright: text of the upright image.
        size: height and width of the turned image.
    """
    height, width = size
    x0, y0, x1, y1 = turned.box
    box = {
        90: (height - y1, x0, height - y0, x1),
        180: (width - x1, height - y1, width - x0, height - y0),
        270: (y0, width - x1, y1, width - x0),
    }[rotation]
    if rotation == 180 and not any(map(str.isalpha, turned.text)):
        return False
    inside = np.concatenate([np.zeros(0), *(_confidence_in(line, box) for line in upright)])
    least = _mean(turned) if rotation == 180 else min(_mean(turned), ACCEPTED)  # sideways text reads worse than that
    return len(inside) >= STACKED * len(turned.text.replace(" ", "")) and float(inside.mean()) >= least


def drop_covered(lines: list[TextLine], turned: list[Block]) -> list[TextLine]:
    """Drop lines whose middle lies where text of another direction was read, if they are uncertain or read worse."""

    def is_covered(line: TextLine) -> bool:
        if not is_certain(line, np.inf):
            return any(_has_middle(line, block.box) for block in turned)
        return any(_has_middle(line, other.box) and other.confidence > _mean(line) for other in inverted)

    inverted = [line for block in turned if block.angle % 360 == 180 for line in block.lines]
    return [line for line in lines if not is_covered(line)]


def _confidence_in(line: TextLine, box: Box) -> np.ndarray:
    """Return the confidence of a line's characters whose middles lie in a box."""
    middles = (line.boxes[:, :2] + line.boxes[:, 2:]) / 2
    inside = ((middles > box[:2]) & (middles < box[2:])).all(1) & np.array([ch != " " for ch in line.text], bool)
    return line.confidence[inside]


def drop_strokes(lines: list[TextLine]) -> list[TextLine]:
    """Drop marks at letters many times their size that look like strokes of these letters, such as the legs of an A."""

    def is_stroke(line: TextLine) -> bool:
        large = [other for other in lines if other.em_px > STROKE_EM[0] * line.em_px]
        return any(_has_middle(line, widen_box(one.box, *[STROKE_EM[1] * one.em_px] * 2)) for one in large)

    return [line for line in lines if not STROKES.issuperset(line.text) or not is_stroke(line)]


def _has_middle(line: TextLine, box: Box) -> bool:
    """Return whether the middle of a line lies in a box, not on its edge."""
    return box[0] < (line.box[0] + line.box[2]) / 2 < box[2] and box[1] < (line.box[1] + line.box[3]) / 2 < box[3]


def drop_replaced(lines: list[TextLine], certain: list[TextLine]) -> list[TextLine]:
    """Drop the lines most of whose ink was read with certainty at the size of its own type."""
    return [line for line in lines if not any(_share_in(line, other) > 0.5 for other in certain)]


def _better(line: TextLine, others: list[TextLine]) -> bool:
    """Return whether one reading is better than the lines in it. Much smaller ones are its strokes, or more text."""
    sure = np.concatenate([other.confidence for other in others])
    letters = np.array([ch.isalnum() for other in others for ch in other.text])
    if all(other.em_px < 0.7 * line.em_px for other in others):
        more = int((letters & (sure >= CERTAIN)).sum()) > sum(map(str.isalnum, line.text))
        return not more and _mean(line) >= min(CERTAIN, float(sure.mean()))
    return _mean(line) >= float(sure.mean()) + 0.01


def _share_in(line: TextLine, by: TextLine) -> float:
    """Return the share of a line's box that lies in another one's."""
    x0, y0, x1, y1 = line.box
    a0, b0, a1, b1 = by.box
    wide, high = min(x1, a1) - max(x0, a0), min(y1, b1) - max(y0, b0)
    return max(0.0, wide) * max(0.0, high) / max(1.0, (x1 - x0) * (y1 - y0))


def _mean(line: TextLine) -> float:
    return float(line.confidence.mean())


def reread_cells(
    lines: Sequence[TextLine], pixels: np.ndarray, read: Callable[[np.ndarray], list[TextLine]]
) -> list[TextLine]:
    """Return the lines of a page. Uncertain cells of one or two characters are read again; the better reading stays.

    A part of a character that reads as the whole when it is read again goes: the character has a line of its own.

    A character between two frames of the network may be read as another one, and a cell has no neighbours to help.
    The cells are pasted into one image, where the frames fall on other pixels of them.

    Args:
        lines: of the page.
        pixels: (H, W) uint8, the page.
        read: reads an image.
    """
    places: list[tuple[int, int, int, np.ndarray]] = []  # line, left and top on the page, pixels
    for k, line in enumerate(lines):
        if line.rivals is None or len(line.text) > LONGEST_CELL or float(line.confidence.min()) >= SURE_CELL:
            continue
        x0, y0, x1, y1 = line.box
        across, down = (pad * line.em_px for pad in CELL_PAD_EM)
        left, top = max(0, int(x0 - across)), max(0, int(y0 - down))
        part = pixels[top : int(y1 + down), left : int(x1 + across)]
        if part.size and max(part.shape) <= CELL_SLOT - 2 * CELL_INSET and len(places) < MOST_CELLS:
            places.append((k, left, top, part))
    if not places:
        return list(lines)
    canvas = np.full((-(-len(places) // CELLS_A_ROW) * CELL_SLOT, CELLS_A_ROW * CELL_SLOT), 255, np.uint8)
    for n, (_, _, _, part) in enumerate(places):
        y, x = n // CELLS_A_ROW * CELL_SLOT + CELL_INSET, n % CELLS_A_ROW * CELL_SLOT + CELL_INSET
        canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    found: dict[int, list[TextLine]] = {}
    for line in read(canvas):
        x0, y0, x1, y1 = line.box
        found.setdefault(int((y0 + y1) / 2 // CELL_SLOT) * CELLS_A_ROW + int((x0 + x1) / 2 // CELL_SLOT), []).append(
            line
        )
    spelt: list[TextLine | None] = list(lines)
    for n, (k, left, top, _) in enumerate(places):
        again = found.get(n, [])
        if len(again) == 1 and float(again[0].confidence.min()) > float(lines[k].confidence.min()):
            dx, dy = left - n % CELLS_A_ROW * CELL_SLOT - CELL_INSET, top - n // CELLS_A_ROW * CELL_SLOT - CELL_INSET
            better = replace(again[0], boxes=again[0].boxes + np.array([dx, dy] * 2, np.float32))
            known = any(_share_in(better, one) > 0.5 for m, one in enumerate(spelt) if one is not None and m != k)
            spelt[k] = None if known else better
    return [line for line in spelt if line is not None]


def densest_windows(image: Image.Image, scale: float = 1.0) -> list[Image.Image]:
    """Return the two windows with the most edges, where the text is; they measure WINDOW at `scale`."""
    height, width = min(int(WINDOW[0] / scale), image.height), min(int(WINDOW[1] / scale), image.width)
    small = np.asarray(image.reduce(4) if min(image.size) >= 8 else image, np.int16)
    if min(small.shape) < 4 or image.size == (width, height):
        return [image.crop((0, 0, width, height))]
    edges = np.pad(np.abs(np.diff(small, axis=1)).clip(0, 60), ((1, 0), (1, 1))).cumsum(0).cumsum(1)
    high, wide = min(height // 4, edges.shape[0] - 1), min(width // 4, edges.shape[1] - 1)
    total = edges[high:, wide:] - edges[:-high, wide:] - edges[high:, :-wide] + edges[:-high, :-wide]
    windows = []
    for _ in range(2):
        y, x = np.unravel_index(int(total.argmax()), total.shape)
        if total[y, x] <= 0:
            break
        left, top = min(int(x) * 4, image.width - width), min(int(y) * 4, image.height - height)
        windows.append(image.crop((left, top, left + width, top + height)))
        total[max(0, y - high) : y + high, max(0, x - wide) : x + wide] = 0  # the next one shows nothing of this one
    return windows or [image.crop((0, 0, width, height))]
