"""Decode the reading head's output into lines of text with a box for every character.

A spike is a frame whose most probable class is not blank. Consecutive spikes at the same height form a line; a gap
wider than `SPLIT_EM` starts another line (a column of a page or table). Each line is decoded once along its own path,
mixing the two rows nearest to it.

Frames: pixels of the network's input image, x right, y down, origin top-left. Shapes: R rows, T frames, A classes (0 is
blank).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from difflib import SequenceMatcher

import numpy as np

from ..document.alphabets import are_wide
from ..document.elements import STYLES
from ..document.lines import MONO, FrameGrid, TextLine
from .field import Field
from .spelling.alternatives import SHORT, find_alternatives, restore_lost, spellings
from .spelling.languages import weigh_letters
from .spelling.lookalikes import differ_by_mark, one_shape, rival_odds
from .spelling.parts import merge_parts, restore_behind_vowels, space_dots
from .spelling.pitch import find_pitch, join_dashes, join_decimals, space_by_pitch, space_far_apart
from .spelling.scripts import keep_to_scripts
from .spelling.syllables import spell_syllables

SPLIT_EM = 1.3  # training ends a line at gaps of 1.6 em and more; two spikes stand up to 0.3 em inside their letters
FAR_EM = 1.6  # between the peaks of two characters: they are no neighbours in a word
SAME_LINE_EM = 0.4  # spikes this near in height may follow one another
MIN_MASS = 0.35  # least probability of not being blank for a spike
LOG_DOUBLED = 1.0  # nats by which both must be more likely than one
LOG_MARKED = 6.0  # the same for a letter and the same with another mark, which hardly ever stand so near to each other
CLOSE_EM = 0.31  # between two peaks of one shape, such as $ and 5; nearer ones are of one glyph
STRAY_EM, STRAY = 0.1, 0.65  # between two peaks of one letter; confidence of the one that is dropped, at most
WIDE = frozenset("mwMW")  # letters that are read for two narrow ones, such as the m of `femry` for `ferry`
KEPT = ("5Ss$", "шщ", "юо")  # of characters read in one glyph, the last one is right
MIN_LETTERS = 8  # of a line on a grid, for its type to be of fixed width; digits always are
ASCENT_EM, DESCENT_EM, X_HEIGHT_EM = 0.74, 0.22, 0.45  # box of a character about its baseline, in em


def with_text(line: TextLine, text: str, writer: str) -> TextLine:
    """Replace a line's text: characters in both texts keep their boxes, new ones share the space between."""
    boxes, confidence, styles = [], [], []
    for _, a0, a1, b0, b1 in SequenceMatcher(None, line.text, text, autojunk=False).get_opcodes():
        if b1 == b0:
            continue
        if a1 - a0 == b1 - b0:
            boxes.append(line.boxes[a0:a1])
        else:
            if a1 > a0:
                left, right = line.boxes[a0, 0], line.boxes[a1 - 1, 2]
            else:
                left = line.boxes[a0 - 1, 2] if a0 else line.boxes[0, 0]
                right = line.boxes[a0, 0] if a0 < len(line.boxes) else line.boxes[-1, 2]
            edges = np.linspace(left, max(left, right), b1 - b0 + 1, dtype=np.float32)
            like = np.repeat(line.boxes[min(a0, len(line.boxes) - 1)][None], b1 - b0, 0)
            like[:, 0], like[:, 2] = edges[:-1], edges[1:]
            boxes.append(like)
        if line.styles is not None:
            like = line.styles[
                np.linspace(a0, max(a0, a1 - 1), b1 - b0).round().astype(int).clip(0, len(line.text) - 1)
            ]
            styles.append(like)
        near = line.confidence[max(0, a0 - 1) : a1 + 1]
        confidence.append(line.confidence[a0:a1] if a1 - a0 == b1 - b0 else np.full(b1 - b0, near.min(), np.float32))
    return replace(
        line, text=text, boxes=np.concatenate(boxes), confidence=np.concatenate(confidence), writer=writer,
        styles=np.concatenate(styles) if styles else None, alternatives=(), rivals=None,
    )  # fmt: skip


def find_lines(field: Field, frame_grid: FrameGrid) -> list[TextLine]:
    """Find and spell all lines of one image, in no particular order, with their `alternatives`.

    Monospaced lines have no alternatives, because their spaces are derived from the pitch.

    Args:
        field: the head's output.
        frame_grid: of the head.
    """
    weigh_letters(field, frame_grid.alphabet)
    spikes = _spikes(field, frame_grid.row_px, frame_grid.frame_px)
    lines = []
    for chain in _chains(spikes):
        line = _spell(spikes[chain], field, frame_grid)
        if line is not None:
            lines.append(line)
    return drop_echoes(lines)


def _spikes(field: Field, row_px: float, frame_px: float) -> np.ndarray:
    """Return (S, 4): x, y in px, em in px, probability; sorted by x."""
    row, frame, mass, geometry = field.spikes(MIN_MASS)
    offset, log_em = geometry.T
    em = 16 * 2 ** np.clip(log_em, -2, 3)
    found = np.stack([(frame + 0.5) * frame_px, (row + 0.5 + offset) * row_px, em, mass], 1)
    return found[np.argsort(found[:, 0], kind="stable")]


def _chains(spikes: np.ndarray) -> list[list[int]]:
    """Link spikes from left to right: each joins the line whose last spike is near in height and not too far left."""
    chains: list[list[int]] = []
    tails: dict[int, set[int]] = defaultdict(set)  # height in steps of 8 px -> chains whose last spike is there
    xs, ys, ems = spikes[:, 0].tolist(), spikes[:, 1].tolist(), spikes[:, 2].tolist()
    last: list[tuple[float, float, float]] = []
    for k, (x, y, em) in enumerate(zip(xs, ys, ems, strict=True)):
        reach = int(SAME_LINE_EM * em / 8) + 1
        step = int(y // 8)
        best, best_cost = -1, 1.0
        for near in range(step - reach, step + reach + 1):
            for c in list(tails.get(near, ())):
                tail_x, tail_y, tail_em = last[c]
                size = (em + tail_em) / 2
                if x - tail_x > 3 * SPLIT_EM * size:
                    tails[near].discard(c)
                    continue
                if x - tail_x > SPLIT_EM * size or abs(y - tail_y) > SAME_LINE_EM * size:
                    continue
                cost = abs(y - tail_y) / (SAME_LINE_EM * size)
                if cost < best_cost:
                    best, best_cost = c, cost
        if best < 0:
            best = len(chains)
            chains.append([])
            last.append((x, y, em))
        else:
            tails[int(last[best][1] // 8)].discard(best)
            old = last[best]
            last[best] = (x, 0.7 * old[1] + 0.3 * y, 0.8 * old[2] + 0.2 * em)
        tails[int(last[best][1] // 8)].add(best)
        chains[best].append(k)
    return chains


def _spell(spikes: np.ndarray, field: Field, frame_grid: FrameGrid) -> TextLine | None:
    """Decode CTC's best path along the line through the spikes. Returns None if it has only spaces."""
    x, y, em, weight = spikes.T
    row_px, frame_px = frame_grid.row_px, frame_grid.frame_px
    em_px = float(np.median(em))
    slope, height = 0.0, float(np.average(y, weights=weight))
    if len(x) > 8 and x[-1] - x[0] > 4 * em_px:
        slope, _ = np.polyfit(x, y, 1, w=weight)
        slope = float(np.clip(slope, -0.06, 0.06))
    middle = float(np.average(x, weights=weight))
    pad = max(2, round(0.15 * em_px / frame_px))
    first, last = max(0, int(x[0] / frame_px) - pad), min(field.frames, int(x[-1] / frame_px) + pad + 1)
    t = np.arange(first, last)
    path = mix_rows(field, height + slope * ((t + 0.5) * frame_px - middle), t, row_px)
    spelt, peaks, confidence = best_path(path, frame_grid.alphabet)
    one_script = keep_to_scripts(path, spelt, peaks, frame_grid.alphabet)
    if one_script is not path:
        path = one_script
        spelt, peaks, confidence = best_path(path, frame_grid.alphabet)
    spelt, peaks, confidence = restore_lost(path, spelt, peaks, confidence, frame_grid.alphabet, em_px / frame_px)
    spelt, peaks, confidence = restore_behind_vowels(
        path, spelt, peaks, confidence, frame_grid.alphabet, em_px / frame_px
    )
    spelt, peaks, confidence = merge_doubled(path, spelt, peaks, confidence, frame_grid.alphabet)
    spelt, peaks, confidence = merge_parts(spelt, peaks, confidence, em_px / frame_px)
    spelt, peaks, confidence = merge_close(spelt, peaks, confidence, em_px / frame_px)
    spelt, confidence = spell_syllables(path, spelt, peaks, confidence, frame_grid.alphabet)
    pitch = find_pitch(spelt, peaks)
    if pitch is None:
        text, at, confidence = join_dashes(*join_decimals(spelt, peaks, confidence))
        text, at, confidence = space_far_apart(text, at, confidence, FAR_EM * em_px / frame_px)
        text, at, confidence = space_dots(text, at, confidence, em_px / frame_px)
    else:
        text, at, confidence = space_by_pitch(spelt, peaks, confidence, pitch)
    keep = _trim(text)
    if keep.stop <= keep.start:
        return None
    alternatives = find_alternatives(path, text, at, frame_grid.alphabet) if text == spelt else []
    alternatives = [d.shift(keep.start) for d in alternatives if keep.start <= d.start and d.end <= keep.stop]
    rivals = rival_odds(path, at[keep], frame_grid.alphabet)
    text, at, confidence = text[keep], first + at[keep], confidence[keep]
    boxes, styles = _boxes(at, height, slope, middle, em_px, frame_px), None
    rows = ((height + slope * ((at + 0.5) * frame_px - middle)) / row_px).astype(int).clip(0, field.rows - 1)
    odds_NS = field.style_odds(rows, at)
    if odds_NS is not None:
        styles = np.zeros((len(text), len(STYLES)), bool)
        styles[:, [STYLES.index(name) for name in frame_grid.styles]] = _by_words(text, odds_NS)
        if pitch is not None and "mono" in frame_grid.styles and sum(map(str.isalpha, text)) >= MIN_LETTERS:
            styles[:, MONO] = True
    return TextLine(text, boxes, confidence, em_px, slope, styles=styles, alternatives=alternatives, rivals=rivals)


def _by_words(text: str, odds_NS: np.ndarray) -> np.ndarray:
    """Return styles (N, S) bool: a word has the style of most of its characters, a space that of both neighbours."""
    blank = np.array([ch == " " for ch in text])
    word = np.cumsum(blank)
    sums = np.zeros((word[-1] + 1, odds_NS.shape[1]))
    np.add.at(sums, word[~blank], np.clip(odds_NS[~blank], -4, 4))
    styles = sums[word] > 0
    at = np.flatnonzero(blank)
    styles[at] = styles[at - 1] & styles[np.minimum(at + 1, len(text) - 1)]
    return styles


def mix_rows(field: Field, y_T: np.ndarray, t_T: np.ndarray, row_px: float) -> np.ndarray:
    """Mix the two rows nearest to a path: probabilities (T, A) along it.

    Args:
        field: the head's output for an image.
        y_T: height of the path at each frame, px.
        t_T: indices of the frames.
        row_px: height of a row.
    """
    place = y_T / row_px - 0.5
    upper = np.floor(place).astype(int)
    from_upper = (place - upper) * row_px
    share = 1 / (1 + np.exp(((row_px - from_upper) ** 2 - from_upper**2) / FrameGrid.MIX_SPREAD))
    top = np.clip(upper, 0, field.rows - 1)
    low = np.clip(upper + 1, 0, field.rows - 1)
    return (1 - share)[:, None] * field.probs(top, t_T) + share[:, None] * field.probs(low, t_T)


def best_path(path_TA: np.ndarray, alphabet: str) -> tuple[str, np.ndarray, np.ndarray]:
    """Decode probabilities (T, A) by CTC's best path: text, frame of each character's peak, probability there."""
    best, peak = path_TA.argmax(1), path_TA.max(1)
    starts = np.flatnonzero(np.diff(best, prepend=-1))
    ends = np.append(starts[1:], len(best))
    text, at, confidence = [], [], []
    for start, end in zip(starts, ends, strict=True):
        if best[start]:
            k = start + int(peak[start:end].argmax())
            text.append(alphabet[best[start] - 1])
            at.append(k)
            confidence.append(peak[k])
    return "".join(text), np.array(at, int), np.array(confidence, np.float32)


def merge_doubled(
    path: np.ndarray, text: str, at: np.ndarray, confidence: np.ndarray, alphabet: str
) -> tuple[str, np.ndarray, np.ndarray]:
    """Replace two characters of the best path of a line by one where they are two readings of one glyph.

    The best path has `9g` where one frame shows a 9 rather than a g and the next a g rather than a 9. The peaks of two
    characters are seldom in neighbouring frames, so one is taken unless both are much more likely than either. In lines
    of more than SHORT characters, only characters of one shape are replaced, such as `Oo`.

    Args:
        path: probabilities (T, A) along the line.
        text: of the best path, as `best_path`.
        at: frame of each character.
        confidence: of each character.
        alphabet: character of each class from 1.
    """
    out, frames, sure, k = [], [], [], 0
    short = len(text.strip()) <= SHORT
    while k < len(text):
        step = 1
        ch, frame, value = text[k], int(at[k]), float(confidence[k])
        if (
            k + 1 < len(text)
            and at[k + 1] == frame + 1
            and " " not in text[k : k + 2]
            and (short or one_shape(*text[k : k + 2]))
        ):
            part = path[frame : frame + 2]
            likely = spellings(part, alphabet)
            one = max((other for other in likely if len(other) == 1), key=likely.__getitem__, default="")
            least = LOG_MARKED if differ_by_mark(*text[k : k + 2]) else LOG_DOUBLED
            if (one.isalnum() or one == "$") and likely[one] + least > likely.get(text[k : k + 2], -np.inf):
                column = part[:, alphabet.index(one) + 1]
                ch, frame, value, step = one, frame + int(column.argmax()), float(column.max()), 2
        out.append(ch)
        frames.append(frame)
        sure.append(value)
        k += step
    return "".join(out), np.array(frames, int), np.array(sure, np.float32)


def merge_close(
    text: str, at: np.ndarray, confidence: np.ndarray, em_frames: float
) -> tuple[str, np.ndarray, np.ndarray]:
    """Drop the less likely of two neighbours of one shape, too near for two glyphs, such as the 5 of `$5222.00`.

    So are two Cyrillic letters, such as ю and о where an о was read twice: all but і and ї are wide. Of those in KEPT
    the last one stays, such as a dollar sign, whose stroke is not seen in a 5. Letters with and without a mark may be
    narrow, and both stay. Of other letters in neighbouring frames, such as j and i of `secțjiune`, an uncertain one is
    a second reading of the other; one of WIDE may be a reading of both.

    Args:
        text: of the best path, as `best_path`.
        at: frame of each character.
        confidence: of each character.
        em_frames: frames per em.
    """
    gone: set[int] = set()
    for k in range(1, len(text)):
        pair = text[k - 1 : k + 1]
        close = pair[0] != pair[1] and at[k] - at[k - 1] < CLOSE_EM * em_frames
        stray = pair.isalpha() and WIDE.isdisjoint(pair) and at[k] - at[k - 1] < STRAY_EM * em_frames
        if close and (are_wide(*pair) or (one_shape(*pair) and not differ_by_mark(*pair))):
            known = next((group for group in KEPT if set(pair) <= set(group)), None)
            second = known.index(pair[1]) > known.index(pair[0]) if known else confidence[k] > confidence[k - 1]
            gone.add(k - 1 if second else k)
        elif stray and confidence[k - 1 : k + 1].min() < STRAY:
            gone.add(k - 1 if confidence[k] > confidence[k - 1] else k)
    kept = [k for k in range(len(text)) if k not in gone]
    return "".join(text[k] for k in kept), at[kept], confidence[kept]


def _trim(text: str) -> slice:
    return slice(len(text) - len(text.lstrip()), len(text.rstrip()))


def _boxes(at: np.ndarray, height: float, slope: float, middle: float, em_px: float, frame_px: float) -> np.ndarray:
    """Return a box per character: sides halfway between neighbouring peaks, height from the font size."""
    x = (at + 0.5) * frame_px
    half = np.diff(x) / 2
    side = np.minimum(half, 0.5 * em_px)
    edge = 0.25 * em_px
    left = x - np.concatenate([[edge], side])
    right = x + np.concatenate([side, [edge]])
    baseline = height + slope * (x - middle) + X_HEIGHT_EM * em_px / 2
    return np.stack([left, baseline - ASCENT_EM * em_px, right, baseline + DESCENT_EM * em_px], 1).astype(np.float32)


def drop_echoes(lines: list[TextLine]) -> list[TextLine]:
    """Drop a line that overlaps a more certain one: the same ink was decoded twice."""
    order = sorted(lines, key=lambda line: -float(line.confidence.sum()))
    kept: list[TextLine] = []
    boxes = np.zeros((0, 4))
    for line in order:
        x0, y0, x1, y1 = line.box
        middle, size = (y0 + y1) / 2, line.em_px
        if len(boxes):
            wide = np.minimum(boxes[:, 2], x1) - np.maximum(boxes[:, 0], x0)
            near = np.abs((boxes[:, 1] + boxes[:, 3]) / 2 - middle) < 0.45 * size
            if bool((near & (wide > 0.5 * (x1 - x0))).any()):
                continue
        kept.append(line)
        boxes = np.concatenate([boxes, [[x0, y0, x1, y1]]])
    return kept
