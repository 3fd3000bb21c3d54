"""Find lines in bold type by the width of their strokes, which the reading head does not tell.

Strokes are compared with those of other lines of about the same size on the page. Typewriter lines are not compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...document.elements import MATH, STYLES
from ...document.lines import TextLine

BOLD = 1.28  # least width of strokes, as a multiple of the usual one; of regular lines in 22 looks, 5% have over 1.2
UNSURE, FEW_UNSURE = 1.18, 0.1  # from which a line may be either; most of a page's characters in such lines
ALIKE_EM = 0.2  # share by which sizes differ
LETTERS, PEERS = 4, 60  # least letters and digits of a line; least characters of the lines that it is compared with
CERTAIN = 0.8  # least mean confidence of a line
MOST = 0.3  # share of a page's characters in bold, from which it is the usual type
RULE = 0.75  # share of a row of pixels that is dark: a rule below the words
FAINT, LEAST_INK = 0.12, 20.0  # share of the darkest ink that counts; grey levels of ink


def mark_bold(
    lines: Sequence[TextLine], pixels: np.ndarray, names: tuple[str, ...]
) -> tuple[list[TextLine], tuple[str, ...]]:
    """Return the lines of a page with their styles, and the names of these; bold ones are added.

    Args:
        lines: Dark text on light paper.
        pixels: (H, W) uint8, the page.
        names: Of the columns of `TextLine.styles`.
    """
    bold = np.zeros(len(lines), bool)
    if "bold" not in names:
        compared = [k for k, line in enumerate(lines) if not _is_typewritten(line, names)]
        bold[compared] = find_bold([lines[k] for k in compared], pixels)
    if not bold.any():
        return list(lines), names
    all_names = STYLES + MATH
    places = [all_names.index(name) for name in names]
    marked = []
    for line, is_bold in zip(lines, bold.tolist(), strict=True):
        styles = np.zeros((len(line.text), len(all_names)), bool)
        if line.styles is not None:
            styles[:, places[: line.styles.shape[1]]] = line.styles
        styles[:, STYLES.index("bold")] |= is_bold
        marked.append(replace(line, styles=styles))
    return marked, all_names


def find_bold(lines: Sequence[TextLine], pixels: np.ndarray) -> np.ndarray:
    """Return which lines (N,) bool of a page are in bold type; none where the strokes of most differ."""
    widths = np.array([stroke_width(line, pixels) / line.em_px if _is_measured(line) else 0.0 for line in lines])
    sizes, counts = np.array([line.em_px for line in lines]), np.array([len(line.text) for line in lines])
    shares = np.zeros(len(lines))
    for k in np.flatnonzero(widths):
        alike = (widths > 0) & (np.abs(sizes - sizes[k]) < ALIKE_EM * sizes[k])
        if counts[alike].sum() - counts[k] >= PEERS:
            shares[k] = widths[k] / np.median(np.repeat(widths[alike], counts[alike]))
    bold, total = shares >= BOLD, counts[shares > 0].sum()
    unsure = counts[(shares >= UNSURE) & ~bold].sum()
    return bold & (unsure <= FEW_UNSURE * total) & (counts[bold].sum() <= MOST * total)


def _is_typewritten(line: TextLine, names: tuple[str, ...]) -> bool:
    column = names.index("mono") if "mono" in names else -1
    return line.styles is not None and 0 <= column < line.styles.shape[1] and bool(line.styles[:, column].all())


def _is_measured(line: TextLine) -> bool:
    certain = line.writer == "head" and float(line.confidence.mean()) >= CERTAIN
    return certain and sum(ch.isalnum() for ch in line.text) >= LETTERS


def stroke_width(line: TextLine, pixels: np.ndarray) -> float:
    """Return the mean width of a line's strokes, px, from left to right: ink by the number of edges. 0: no ink."""
    x0, y0, x1, y1 = (max(0, int(side)) for side in line.box)
    part = pixels[y0 : y1 + 1, x0 : x1 + 1].astype(np.float32)
    if min(part.shape) < 2:
        return 0.0
    dark = np.maximum(0, np.median(part) - part)
    most = float(np.percentile(dark, 98))
    if most < LEAST_INK:
        return 0.0
    dark = np.minimum(1, dark / most)
    dark[dark < FAINT] = 0
    dark[dark.mean(1) > RULE] = 0
    return float(2 * dark.sum() / max(1.0, float(np.abs(np.diff(dark, axis=1)).sum())))
