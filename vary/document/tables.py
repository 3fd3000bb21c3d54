"""Tables from ruling lines, else from the alignment of words.

Ruling lines and the sides of filled cells that cross one another are a grid; its cells take the characters whose
middles lie in them, however many lines that are. Where no upright rule parts two cells of a row they are one, and its
text stands in the first. A row of groups over a row of names is one head, `group: name`. Where a row of the grid holds
several printed lines, they are rows of their own when the lines of most columns stand level.
Without a grid, rows of several pieces that leave the same strips white are a table.
Frame: pixels of the page image, turned upright.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ..io.box import Box, union
from .elements import Block, Line
from .evidence import Evidence

NEAR = 3.0  # px, between rules that are one, or that touch
MIN_CELLS = 4  # with text
SPLIT_EM = 1.2  # white between the pieces of a row
WORD_EM = 0.7  # white inside of a piece
CROSSED = 0.08  # share of the rows that may reach into the white between two columns
MIN_ROWS = 3
STEP_EM = 3.2  # between rows
STRIP_EM = 0.5  # narrowest white between columns
_LEADER = re.compile(r"(?:\. ?){4,}|…{2,}|_{4,}|·{4,}")
_NUMBER = re.compile(r"[\d.,:%$€£()+–−-]*\d[\d.,:%$€£()+–−-]*|[–—-]")

Segment = tuple[float, float, float]  # place, start, end of a level or upright rule


def take_tables(blocks: list[Block], evidence: Evidence, em: float) -> list[Block]:
    """Return the blocks, with the lines of each table in one block `table`.

    Args:
        blocks: in reading order.
        evidence: ruling lines and filled areas.
        em: size of the page's text, px.
    """
    for xs, ys, upright in _grids(evidence, em):
        walls = _walls(xs, ys, upright)
        while len(ys) > 2 and len(xs) > 2 and not walls[0, 1:-1].any():  # a title in the frame
            ys, walls = ys[1:], walls[1:]
        box = (xs[0], ys[0], xs[-1], ys[-1])
        inside = [line for block in blocks for line in block.lines if _share_inside(line, box) > 0.6]
        cells = _fill(inside, xs, ys, walls, em)
        if cells is not None:
            blocks = _with_table(blocks, inside, Block(inside, box, "table", cells=cells))
    return _aligned(blocks, em)


def _with_table(blocks: list[Block], lines: list[Line], table: Block) -> list[Block]:
    """Put a table in the place of the first of its lines."""
    taken = {id(line) for line in lines}
    out: list[Block] = []
    placed = False
    for block in blocks:
        left = [line for line in block.lines if id(line) not in taken]
        if len(left) == len(block.lines):
            out.append(block)
            continue
        before = block.lines[: next(k for k, line in enumerate(block.lines) if id(line) in taken)]
        after = [line for line in left if all(line is not other for other in before)]
        parts = [before, after] if not placed else [left]
        for k, part in enumerate(parts):
            if k == 1 and not placed:
                out.append(table)
                placed = True
            if part:
                out.append(replace(block, lines=part, box=union(line.box for line in part)))
        if not placed:
            out.append(table)
            placed = True
    return out


# -- ruled tables ------------------------------------------------------------------------------------------------------


def _grids(evidence: Evidence, em: float) -> Iterator[tuple[list[float], list[float], list[Segment]]]:
    """Yield the columns' and rows' edges of each grid of rules that cross, and its upright rules."""
    rules = evidence.rules + [side for box, _ in evidence.areas for side in _sides(box)]
    level = _joined([((y0 + y1) / 2, x0, x1) for x0, y0, x1, y1 in rules if x1 - x0 > max(y1 - y0, 0.8 * em)])
    upright = _joined([((x0 + x1) / 2, y0, y1) for x0, y0, x1, y1 in rules if y1 - y0 > max(x1 - x0, 0.8 * em)])
    if not level or not upright:
        return
    y, left, right = np.array(level).T
    x, top, bottom = np.array(upright).T
    touch = (left[:, None] - NEAR <= x) & (x <= right[:, None] + NEAR)
    touch &= (top - NEAR <= y[:, None]) & (y[:, None] <= bottom + NEAR)
    waiting = set(range(len(level)))
    while waiting:
        rows, columns = {waiting.pop()}, set[int]()
        while True:
            found = {int(k) for r in rows for k in np.flatnonzero(touch[r])} - columns
            columns |= found
            more = {int(r) for k in found for r in np.flatnonzero(touch[:, k])} - rows
            rows |= more
            if not more:
                break
        waiting -= rows
        xs, ys = _distinct(x[sorted(columns)], em), _distinct(y[sorted(rows)], em)
        if len(xs) >= 2 and len(ys) >= 2:
            yield xs, ys, [upright[k] for k in sorted(columns)]


def _walls(xs: list[float], ys: list[float], upright: list[Segment]) -> np.ndarray:
    """Return (rows, edges), whether an upright rule stands at an edge of the columns beside a row."""
    walls = np.zeros((len(ys) - 1, len(xs)), bool)
    walls[:, [0, -1]] = True
    middles = (np.array(ys[:-1]) + np.array(ys[1:])) / 2
    for place, start, end in upright:
        walls[(start < middles) & (middles < end), int(np.abs(np.array(xs) - place).argmin())] = True
    return walls


def _sides(box: Box) -> list[Box]:
    x0, y0, x1, y1 = box
    return [(x0, y0, x1, y0), (x0, y1, x1, y1), (x0, y0, x0, y1), (x1, y0, x1, y1)]


def _joined(segments: list[Segment]) -> list[Segment]:
    """Join segments of one line that touch."""
    joined: list[Segment] = []
    for place, start, end in sorted(segments, key=lambda s: (round(s[0] / NEAR), s[1])):
        last = joined[-1] if joined else None
        if last and abs(last[0] - place) < NEAR and start <= last[2] + NEAR:
            joined[-1] = (last[0], last[1], max(last[2], end))
        else:
            joined.append((place, start, end))
    return joined


def _distinct(places: np.ndarray, em: float) -> list[float]:
    """Return places without those that are nearly the same."""
    kept: list[float] = []
    for place in sorted(places.tolist()):
        if not kept or place - kept[-1] > max(NEAR, 0.4 * em):
            kept.append(place)
    return kept


def _share_inside(line: Line, box: Box) -> float:
    """Share of a line's characters whose middles lie in a box."""
    if not line.characters:
        return 0.0
    x = [(c[0] + c[2]) / 2 for c in line.characters]
    y = (line.box[1] + line.box[3]) / 2
    return sum(box[0] - NEAR <= v <= box[2] + NEAR for v in x) / len(x) if box[1] <= y <= box[3] else 0.0


def _fill(lines: list[Line], xs: list[float], ys: list[float], walls: np.ndarray, em: float) -> list[list[str]] | None:
    """Return the cells of a grid, the text of merged cells in their first; None where too few hold text."""
    if len(xs) == 2:  # a frame or level rules alone: the columns are those of the words
        xs = [xs[0], *_white_strips([_intervals(line) for line in lines], em), xs[1]]
        walls = np.ones((len(ys) - 1, len(xs)), bool)
    pieces: list[Piece] = []
    for line in lines:
        band = int(np.clip(np.searchsorted(ys, (line.box[1] + line.box[3]) / 2) - 1, 0, len(ys) - 2))
        edges = np.flatnonzero(walls[band])
        pieces += [(int(edges[k]), y, text) for k, y, text in _pieces(line, [xs[k] for k in edges])]
    rows: list[float] = [ys[0]]
    for top, bottom in pairwise(ys):
        rows += [*_level_rows([p for p in pieces if top <= p[1] < bottom], len(xs) - 1, em), bottom]
    grid = [[""] * (len(xs) - 1) for _ in rows[1:]]
    for column, y, text in sorted(pieces, key=lambda p: (p[1], p[0])):
        row = int(np.clip(np.searchsorted(rows, y) - 1, 0, len(grid) - 1))
        grid[row][column] = f"{grid[row][column]} {text}".strip()
    if len(grid) > 2 and not walls[0].all() and walls[1].all() and len(rows) == len(ys):
        grid = [_two_heads(grid[0], grid[1], walls[0]), *grid[2:]]
    grid = [row for row in grid if any(row)]
    used = [k for k in range(len(xs) - 1) if any(row[k] for row in grid)]
    grid = [[row[k] for k in used] for row in grid]
    filled = sum(bool(text) for row in grid for text in row)
    return grid if len(grid) >= 2 and len(used) >= 2 and filled >= MIN_CELLS else None


def _two_heads(groups: list[str], names: list[str], wall: np.ndarray) -> list[str]:
    """Return one head for a row of groups over a row of names: `group: name`."""
    head, group = [], ""
    for column, name in enumerate(names):
        group = groups[column] if wall[column] else group
        wide = not wall[column] or not wall[column + 1]
        head.append(f"{group}: {name}" if wide and group and name else " ".join(filter(None, (group, name))))
    return head


Piece = tuple[int, float, str]  # column, middle of the line, text


def _pieces(line: Line, xs: list[float]) -> list[Piece]:
    """Cut a line at the columns' edges."""
    columns = np.searchsorted(xs, [(c[0] + c[2]) / 2 for c in line.characters]) - 1
    columns = np.clip(columns, 0, len(xs) - 2)
    y = (line.box[1] + line.box[3]) / 2
    cuts = [0, *(np.flatnonzero(np.diff(columns)) + 1).tolist(), len(line.text)]
    found = [(int(columns[a]), y, _LEADER.sub(" ", line.text[a:b])) for a, b in pairwise(cuts) if b > a]
    return [(column, y, " ".join(text.split())) for column, y, text in found if text.strip()]


def _level_rows(pieces: list[Piece], columns: int, em: float) -> list[float]:
    """Return the edges between printed rows in one band, where most columns have a line in each."""
    heights = sorted({round(y, 1) for _, y, _ in pieces})
    rows: list[list[float]] = []
    for y in heights:
        if rows and y - rows[-1][-1] < 0.5 * em:
            rows[-1].append(y)
        else:
            rows.append([y])
    if len(rows) < 2:
        return []
    filled = [len({column for column, y, _ in pieces if row[0] <= round(y, 1) <= row[-1]}) for row in rows]
    used = len({column for column, _, _ in pieces})
    if used < 2 or min(filled[:]) < 2 or float(np.mean(filled)) < 0.7 * used:
        return []
    return [(a[-1] + b[0]) / 2 for a, b in pairwise(rows)]


# -- aligned tables ----------------------------------------------------------------------------------------------------


def _intervals(line: Line) -> list[tuple[float, float]]:
    """Return the stretches of a line that are inked, leaders left out; white under WORD_EM does not part them."""
    size = max(1.0, (line.box[3] - line.box[1]) / 0.96)
    leaders = [m.span() for m in _LEADER.finditer(line.text)]
    found: list[tuple[float, float]] = []
    for k, (ch, box) in enumerate(zip(line.text, line.characters, strict=False)):
        if ch == " " or any(a <= k < b for a, b in leaders):
            continue
        if found and box[0] - found[-1][1] < WORD_EM * size:
            found[-1] = (found[-1][0], max(found[-1][1], box[2]))
        else:
            found.append((box[0], box[2]))
    return found


def _white_strips(rows: list[list[tuple[float, float]]], em: float) -> list[float]:
    """Return the middles of the strips that nearly all rows leave white, between inked columns."""
    rows = [row for row in rows if row]
    if not rows:
        return []
    left, right = min(row[0][0] for row in rows), max(row[-1][1] for row in rows)
    step = max(0.5, 0.125 * em)
    covered = np.zeros(int((right - left) / step) + 2)
    for row in rows:
        inked = np.zeros(len(covered), bool)
        for a, b in row:
            inked[int((a - left) / step) : int((b - left) / step) + 1] = True
        covered += inked
    white = covered <= CROSSED * len(rows)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], white, [0]]).astype(int)))
    strips = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [
        left + (a + b) / 2 * step for a, b in strips if a and b < len(covered) - 1 and (b - a) * step > STRIP_EM * em
    ]


def _aligned(blocks: list[Block], em: float) -> list[Block]:
    """Make tables of runs of rows of several pieces, outside of tables."""
    lines = [line for block in blocks if block.kind == "text" for line in block.lines]
    run: list[Line] = []
    runs: list[list[Line]] = []
    for line in lines:
        several = _is_row(line)
        step = line.box[1] - run[-1].box[1] if run else 0.0
        if run and not 0 < step < STEP_EM * em:
            runs, run = [*runs, run], []
        if several or run:
            run.append(line)
    for found in [*runs, run]:
        while found and not _is_row(found[-1]):
            found.pop()
        for part in _dense_parts(found):
            cells = _columns(part, em)
            if cells is not None:
                box = union(line.box for line in part)
                blocks = _with_table(blocks, part, Block(part, box, "table", cells=cells))
    return blocks


def _is_row(line: Line) -> bool:
    stretches = _intervals(line)
    size = max(1.0, (line.box[3] - line.box[1]) / 0.96)
    return any(b[0] - a[1] > SPLIT_EM * size for a, b in pairwise(stretches))


def _dense_parts(run: list[Line]) -> Iterator[list[Line]]:
    """Part a run where more than two lines that are no rows follow one another."""
    part: list[Line] = []
    loose = 0
    for line in run:
        loose = 0 if _is_row(line) else loose + 1
        part.append(line)
        if loose > 2:
            yield part[:-loose]
            part, loose = [], 0
    if part:
        yield part


def _columns(lines: list[Line], em: float) -> list[list[str]] | None:
    """Return the cells of rows that leave the same strips white; None where they are no table."""
    rows = [line for line in lines if _is_row(line)]
    if len(rows) < MIN_ROWS or len(rows) < 0.6 * len(lines):
        return None
    strips = _white_strips([_intervals(line) for line in rows], em)
    if not strips:
        return None
    xs = [-np.inf, *strips, np.inf]
    grid = []
    for line in lines:
        texts = [""] * (len(xs) - 1)
        for column, _, text in _pieces(line, xs):
            texts[column] = f"{texts[column]} {text}".strip()
        grid.append(texts)
    filled = sum(bool(text) for row in grid for text in row)
    if filled < 0.4 * len(grid) * (len(xs) - 1):
        return None
    if len(xs) == 3 and sum(bool(_NUMBER.fullmatch(row[1].replace(" ", ""))) for row in grid) < 0.5 * len(grid):
        return None  # two columns of words: addresses, terms
    return grid
