"""Find lines in bold type by the width of their strokes and by their ink, which the reading head does not tell.

Lines are compared with others of about the same size on the page. Blur widens thin strokes, but ink stays: scans show
bold type by both together. Typewriter lines are not compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...document.elements import STYLES
from ...document.lines import MONO, TextLine

BOLD = 1.28  # least width of strokes, as a multiple of the usual one; of regular lines in 22 looks, 5% have over 1.2
INKED, BOTH = 1.18, 1.22  # least ink of a line of small letters; and times the width of strokes; others: 1.1, 1.13
UNSURE, FEW_UNSURE = 1.18, 0.1  # from which a line may be either; most of a page's characters in such lines
ALIKE_EM = 0.2  # share by which sizes differ
LETTERS, PEERS = 4, 60  # least letters and digits of a line; least characters of the lines that it is compared with
CERTAIN = 0.8  # least mean confidence of a line
MOST = 0.3  # share of a page's characters in bold, from which it is the usual type
RULE = 0.75  # share of a row of pixels that is dark: a rule below the words
FAINT, LEAST_INK = 0.12, 20.0  # share of the darkest ink that counts; grey levels of ink
DARKEST = 0.3  # percent of a page's pixels that may be darker than its ink


def mark_bold(lines: Sequence[TextLine], pixels: np.ndarray) -> list[TextLine]:
    """Return the lines of a page, those in bold type with this style.

    Args:
        lines: Dark text on light paper.
        pixels: (H, W) uint8, the page.
    """
    compared, marked = [k for k, line in enumerate(lines) if not _is_typewritten(line)], list(lines)
    for k in np.array(compared, int)[find_bold([lines[k] for k in compared], pixels)].tolist():
        known = lines[k].styles
        styles = np.zeros((len(lines[k].text), len(STYLES)), bool) if known is None else known.copy()
        styles[:, STYLES.index("bold")] = True
        marked[k] = replace(lines[k], styles=styles)
    return marked


def find_bold(lines: Sequence[TextLine], pixels: np.ndarray) -> np.ndarray:
    """Return which lines (N,) bool of a page are in bold type; none where the strokes of most differ."""
    widths = np.array([stroke_width(line, pixels) / line.em_px if _is_measured(line) else 0.0 for line in lines])
    sizes, counts = np.array([line.em_px for line in lines]), np.array([len(line.text) for line in lines])
    ink, paper = np.percentile(pixels[::2, ::2], (DARKEST, 50)) if widths.any() else (0.0, 1.0)
    darkest = 1 - float(ink) / max(1.0, float(paper))
    inks = np.array(
        [line_ink(line, pixels, darkest) if width else 0.0 for line, width in zip(lines, widths, strict=True)]
    )
    shares, inked = np.zeros(len(lines)), np.zeros(len(lines), bool)
    for k in np.flatnonzero(widths).tolist():
        alike = (widths > 0) & (np.abs(sizes - sizes[k]) < ALIKE_EM * sizes[k])
        if counts[alike].sum() - counts[k] >= PEERS:
            usual = np.repeat(np.stack([widths, inks / sizes, sizes])[:, alike], counts[alike], 1)
            width, usual_ink, size = np.median(usual, 1)
            shares[k] = widths[k] / width
            share = inks[k] / max(sizes[k], size) / usual_ink  # the size of a short line is not sure
            inked[k] = share >= INKED and share * max(1.0, shares[k]) >= BOTH and _has_small_letters(lines[k].text)
    bold, total = (shares >= BOLD) | inked, counts[shares > 0].sum()
    unsure = counts[(shares >= UNSURE) & ~bold].sum()
    return bold & (unsure <= FEW_UNSURE * total) & (counts[bold].sum() <= MOST * total)


def _is_typewritten(line: TextLine) -> bool:
    return line.styles is not None and bool(line.styles[:, MONO].all())


def _is_measured(line: TextLine) -> bool:
    certain = line.writer == "head" and float(line.confidence.mean()) >= CERTAIN
    return certain and sum(ch.isalnum() for ch in line.text) >= LETTERS


def _has_small_letters(text: str) -> bool:
    """Return whether half of the letters and digits are small: capitals and digits have more ink in any type."""
    return 2 * sum(map(str.islower, text)) >= sum(map(str.isalnum, text))


def stroke_width(line: TextLine, pixels: np.ndarray) -> float:
    """Return the mean width of a line's strokes, px, from left to right: ink by the number of edges. 0: no ink."""
    dark = _ink(line, pixels)
    return float(2 * dark.sum() / max(1.0, float(np.abs(np.diff(dark, axis=1)).sum()))) if dark.size else 0.0


def line_ink(line: TextLine, pixels: np.ndarray, darkest: float) -> float:
    """Return the ink of a line in black pixels per pixel of its width without blanks.

    Args:
        line: of the page.
        pixels: (H, W) uint8, the page.
        darkest: grey levels between the page's ink and its paper, as a share of the paper's.
    """
    dark = _ink(line, pixels, darkest)
    inked = 1 - line.text.count(" ") / max(1, len(line.text))
    return float(dark.sum() / max(1.0, dark.shape[1] * inked)) if dark.size else 0.0


def _ink(line: TextLine, pixels: np.ndarray, darkest: float | None = None) -> np.ndarray:
    """Return the ink in a line's box, 0 to 1, without rules; empty if there is none.

    darkest: as in `line_ink`, which takes the light on a photograph into account; None takes the line's own.
    """
    x0, y0, x1, y1 = (max(0, int(side)) for side in line.box)
    part = pixels[y0 : y1 + 1, x0 : x1 + 1].astype(np.float32)
    if min(part.shape) < 2:
        return np.zeros((0, 0))
    dark: np.ndarray = np.maximum(0, np.median(part) - part)
    most = float(np.percentile(dark, 98))
    if most < LEAST_INK:
        return np.zeros((0, 0))
    dark = np.minimum(1, dark / (darkest * float(np.median(part)) if darkest else most))
    dark[dark < FAINT] = 0
    dark[dark.mean(1) > RULE] = 0
    return dark
