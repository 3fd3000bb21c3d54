"""`Field`: the reading head's output for one image, computed only near ink.

Most of a page is white, and most frames are blank. So the head's class probabilities are computed for the cells near
ink, and all other cells count as CTC blanks. Style odds are computed only for the characters that are found.

Shapes: R rows and K columns of cells, T frames (several per column), A classes (0 is the CTC blank), M cells near ink,
D feature width, G geometry values (line offset in rows, log2 of em / 16 px), S styles, N queried frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..document.lines import FrameGrid

INK_CONTRAST = 12  # grey levels between the darkest and lightest pixel of a cell's neighbourhood; below it is no ink
STYLE_LAYERS = ("look.0", "look.3", "look.5")  # names in `ReadingHead`
MIN_CELL = 0.01  # a cell whose frames are all blanks but for less than this counts as blank
CHUNK = 1024  # cells that are decoded at once, which bounds the memory
CHUNK_VALUES = 700_000  # results of one matrix product: they stay in the cache of a core
SMALLEST = np.uint32(96 << 23)  # bits of 2 ** -31 as a float32, the smallest probability that is kept
DROPPED = np.uint32(12)  # last bits of a float32 that are not kept; 11 bits of the mantissa are
REACH = (2, 8)  # cells, rows and columns: how far around ink characters, and spaces between words, can be predicted


@dataclass
class HeadWeights:
    """Weights of a reading head as numpy arrays.

    out: (D, frames * (A + 2)), with its bias: class logits and geometry per frame. styles: (weight, bias) of the three
    layers that predict styles, empty if the head predicts none. near_columns: width of the pooling between them.
    """

    out: np.ndarray
    bias: np.ndarray
    styles: list[tuple[np.ndarray, np.ndarray]]
    near_columns: int = 9

    @classmethod
    def of(cls, tensors: dict[str, np.ndarray]) -> HeadWeights:
        """Take the tensors of a `models.heads.reading.ReadingHead`, by its names."""
        styles = [
            (tensors[f"{k}.weight"][:, :, 0, 0].T, tensors[f"{k}.bias"]) for k in STYLE_LAYERS if f"{k}.bias" in tensors
        ]
        return cls(tensors["out.weight"].T, tensors["out.bias"], styles)


class Field:
    """Class probabilities and geometry at (row, frame), and style odds on request.

    Args:
        index_RK: Position of each cell in the packed arrays, or -1 for a cell that is blank.
        codes_MFA: Class probabilities of the packed cells, per frame of the cell, in 16 bits (`pack_probs`).
        geometry_MFG: Geometry of the packed cells.
        odds: Function (rows, frames) -> (N, S) log-odds of styles, or None if there are no styles.
        complete: Whether all of the image was read.
        features_RKD: Features of all cells, for a decoder; None if there is none.
    """

    def __init__(
        self,
        index_RK: np.ndarray,
        codes_MFA: np.ndarray,
        geometry_MFG: np.ndarray,
        odds: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
        features_RKD: np.ndarray | None = None,
        complete: bool = True,
    ):
        self.complete = complete
        self.features_RKD = features_RKD
        self.index_RK, self.codes_MFA, self.geometry_MFG, self._odds = index_RK, codes_MFA, geometry_MFG, odds
        self.odds_MS: np.ndarray | None = None  # odds of the packed cells, of a field without features
        self.frames_per_column = codes_MFA.shape[1]
        self.rows, self.frames = index_RK.shape[0], index_RK.shape[1] * self.frames_per_column

    @classmethod
    def from_arrays(cls, probs_RTA: np.ndarray, geometry_RTM: np.ndarray, frame_grid: FrameGrid) -> Field:
        """Wrap dense arrays. geometry_RTM holds offset, size and then the odds of each style."""
        rows, frames = probs_RTA.shape[:2]
        columns = frames // frame_grid.frames
        index = np.arange(rows * columns).reshape(rows, columns)
        probs = probs_RTA.reshape(-1, frame_grid.frames, probs_RTA.shape[2])
        geometry = geometry_RTM[..., :2].reshape(-1, frame_grid.frames, 2)
        styles = geometry_RTM[..., 2:]
        return cls(index, pack_probs(probs), geometry, (lambda r, t: styles[r, t]) if styles.shape[-1] else None)

    def spikes(self, min_mass: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Find frames that are not blank: rows, frames, probability of not being blank, and geometry (N, G)."""
        mass_MF = 1 - unpack_probs(self.codes_MFA[..., 0])
        cell, step = np.nonzero(mass_MF > min_mass)
        row_M, column_M = np.nonzero(self.index_RK >= 0)
        order = np.empty(len(mass_MF), np.intp)
        order[self.index_RK[row_M, column_M]] = np.arange(len(row_M))
        row, column = row_M[order[cell]], column_M[order[cell]]
        frame = column * self.frames_per_column + step
        sort = np.lexsort((frame, row))
        return row[sort], frame[sort], mass_MF[cell, step][sort], self.geometry_MFG[cell, step][sort]

    def probs(self, rows: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Return class probabilities (N, A) at these rows and frames."""
        cell = self.index_RK[rows, frames // self.frames_per_column]
        packed = cell >= 0
        found = np.zeros((len(cell), self.codes_MFA.shape[2]), np.float32)
        found[~packed, 0] = 1.0
        found[packed] = unpack_probs(self.codes_MFA[cell[packed], frames[packed] % self.frames_per_column])
        return found

    def probs_at_spikes(self, min_mass: float) -> np.ndarray:
        """Return class probabilities (N, A) of the frames that are not blank."""
        return unpack_probs(self.codes_MFA[self.codes_MFA[..., 0] < pack_probs(np.array([1 - min_mass], np.float32))])

    def reweight(self, weights_A: np.ndarray) -> None:
        """Multiply the class probabilities by weights, in place; those of the blank stay, so do the spikes."""
        factors = np.where(np.arange(len(weights_A)) > 0, weights_A, 0)
        for k in range(0, len(self.codes_MFA), CHUNK):  # which bounds the memory
            part = unpack_probs(self.codes_MFA[k : k + CHUNK])
            others = part * factors
            others *= (1 - part[..., :1]) / np.maximum(others.sum(-1, keepdims=True), 1e-9)
            self.codes_MFA[k : k + CHUNK, :, 1:] = pack_probs(others[..., 1:])

    def crop(self, rows: slice, columns: slice) -> Field:
        """Return a part of the cells without features: what a page keeps of one of its tiles."""
        index_RK = np.full_like(self.index_RK[rows, columns], -1)
        row, column = np.nonzero(self.index_RK[rows, columns] >= 0)
        packed = self.index_RK[rows, columns][row, column]
        index_RK[row, column] = np.arange(len(packed))
        part = Field(index_RK, self.codes_MFA[packed], self.geometry_MFG[packed])
        if self._odds is not None:
            at = row + rows.start, (column + columns.start) * self.frames_per_column
            chunks = [slice(k, k + 2 * CHUNK) for k in range(0, max(1, len(row)), 2 * CHUNK)]
            part.odds_MS = np.concatenate([self._odds(at[0][k], at[1][k]) for k in chunks])
        return part

    def dense_probs(self) -> np.ndarray:
        """Return class probabilities (R, T, A) of all frames."""
        rows, frames = np.indices((self.rows, self.frames))
        return self.probs(rows.ravel(), frames.ravel()).reshape(self.rows, self.frames, -1)

    def style_odds(self, rows: np.ndarray, frames: np.ndarray) -> np.ndarray | None:
        """Return log-odds of styles (N, S) at these rows and frames, or None if the head predicts no styles."""
        return None if self._odds is None else self._odds(rows, frames)


def cells_near_ink(pixels_HW: np.ndarray, stride: tuple[int, int]) -> np.ndarray:
    """Mark the cells (R, K) of a grey uint8 image that have ink in or near them."""
    rows, columns = pixels_HW.shape[0] // stride[0], pixels_HW.shape[1] // stride[1]
    bands = pixels_HW[: rows * stride[0], : columns * stride[1]].reshape(rows, stride[0], -1)
    low, high = (
        reduce(band.reshape(rows, columns, stride[1]), axis=2)
        for reduce, band in (
            (np.min, bands.min(1)),
            (np.max, bands.max(1)),
        )  # rows first: much faster than both at once
    )
    low, high = _spread(low, 1, np.minimum), _spread(high, 1, np.maximum)
    ink = (high.astype(np.int16) - low) >= INK_CONTRAST
    return _dilate(ink, REACH)


def _spread(values_RK: np.ndarray, reach: int, pick: np.ufunc) -> np.ndarray:
    """Minimum or maximum over a square neighbourhood."""
    for axis in (0, 1):
        padded = np.pad(values_RK, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        size = values_RK.shape[axis]
        values_RK = pick.reduce([padded.take(range(k, k + size), axis) for k in range(2 * reach + 1)])
    return values_RK


def _dilate(mask_RK: np.ndarray, reach: tuple[int, int]) -> np.ndarray:
    """Grow a mask by so many rows and columns on each side."""
    for axis, by in enumerate(reach):
        size = mask_RK.shape[axis]
        count = np.concatenate([np.zeros_like(mask_RK.take([0], axis), int), mask_RK.cumsum(axis)], axis)
        end = np.minimum(np.arange(size) + by + 1, size)
        start = np.maximum(np.arange(size) - by, 0)
        mask_RK = count.take(end, axis) > count.take(start, axis)
    return mask_RK


def run_head(features_RKD: np.ndarray, near_RK: np.ndarray, head: HeadWeights, frames: int) -> Field:
    """Apply a reading head to the cells near ink.

    Args:
        features_RKD: As from `Engine.features`.
        near_RK: The cells near ink.
        head: The head.
        frames: Per column.
    """
    row, column = np.nonzero(near_RK)
    width = head.out.shape[0]
    features_RKD, read_RKD = features_RKD[..., :width], features_RKD[..., -width:]  # one and the same without `context`
    index_RK = np.full(near_RK.shape, -1, np.intp)
    size, count = head.out.shape[1] // frames, 0
    codes, geometry = [np.zeros((0, frames, size - 2), np.uint16)], [np.zeros((0, frames, 2), np.float32)]
    step = max(1, CHUNK_VALUES // head.out.shape[1])
    for start in range(0, len(row), step):
        cells = row[start : start + step], column[start : start + step]
        out = read_RKD[cells] @ head.out
        out += head.bias
        out = out.reshape(-1, frames, size)
        classes = size - 2
        lead = out[..., 0] - out[..., 1:classes].max(-1)  # of the blank; most cells need no softmax
        some = np.flatnonzero(lead.min(-1) < np.log((classes - 1) / MIN_CELL))
        out, cells = out[some], (cells[0][some], cells[1][some])
        chunk = _softmax(out[..., :classes])
        kept = 1 - chunk[..., 0].min(-1) > MIN_CELL
        index_RK[cells[0][kept], cells[1][kept]] = np.arange(count, count + np.count_nonzero(kept))
        count += int(np.count_nonzero(kept))
        codes.append(pack_probs(chunk[kept]))
        geometry.append(out[kept][..., -2:])
    odds = (lambda rows, t: _style_odds(features_RKD, rows, t // frames, head)) if head.styles else None
    return Field(index_RK, _gather(codes), _gather(geometry), odds, features_RKD)


def _gather(parts: list[np.ndarray]) -> np.ndarray:
    """Concatenate arrays, and empty their list, so that little is in memory twice."""
    joined = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    end = len(joined)
    while parts:
        part = parts.pop()
        joined[end - len(part) : end] = part
        end -= len(part)
    return joined


def pack_probs(probs: np.ndarray) -> np.ndarray:
    """Return probabilities as uint16: 5 bits of exponent and 11 of mantissa, which keep their order.

    They are off by up to 0.025%, or by 2 ** -31. NumPy takes 50 times as long to make float16, which ends at 2 ** -24.
    """
    bits = np.maximum(np.ascontiguousarray(probs, np.float32).view(np.uint32), SMALLEST)
    bits -= SMALLEST - (np.uint32(1) << DROPPED - np.uint32(1))  # rounds to the nearest
    bits >>= DROPPED
    return bits.astype(np.uint16)


def unpack_probs(codes: np.ndarray) -> np.ndarray:
    """Return the float32 probabilities that `pack_probs` packed."""
    bits = codes.astype(np.uint32)
    bits <<= DROPPED
    bits += SMALLEST
    return bits.view(np.float32)


def _softmax(logits: np.ndarray) -> np.ndarray:
    probs = np.asarray(logits - logits.max(-1, keepdims=True))
    np.exp(probs, out=probs)
    probs /= probs.sum(-1, keepdims=True)
    return probs


def join_fields(shape: tuple[int, int], parts: list[tuple[Field, tuple[slice, slice]]], styles: int) -> Field:
    """Join the fields of tiles into that of a page, without features.

    Args:
        shape: rows and columns of the page's cells.
        parts: for each tile its field, from `Field.crop`, and where its cells lie on the page. The list is emptied, so
            that no cell is in memory twice.
        styles: number of styles that the head predicts.
    """
    index_RK, odds_RKS = np.full(shape, -1, np.intp), np.zeros((*shape, styles), np.float32)
    total, count, first = sum(len(field.codes_MFA) for field, _ in parts), 0, parts[0][0]
    codes = np.empty((total, *first.codes_MFA.shape[1:]), first.codes_MFA.dtype)
    geometry = np.empty((total, *first.geometry_MFG.shape[1:]), first.geometry_MFG.dtype)
    parts.reverse()
    while parts:
        field, place = parts.pop()
        row, column = np.nonzero(field.index_RK >= 0)
        cells = slice(count, count + len(row))
        index_RK[place][row, column] = np.arange(cells.start, cells.stop)
        codes[cells], geometry[cells] = field.codes_MFA, field.geometry_MFG
        if field.odds_MS is not None:
            odds_RKS[place][row, column] = field.odds_MS
        count = cells.stop
    frames = codes.shape[1]
    odds = (lambda rows, t: odds_RKS[rows, t // frames]) if styles else None
    return Field(index_RK, codes, geometry, odds)


def _style_odds(features_RKD: np.ndarray, rows: np.ndarray, columns: np.ndarray, head: HeadWeights) -> np.ndarray:
    """Return log-odds (N, S): two layers around a mean over the columns near each cell, then a linear layer."""
    reach, width = head.near_columns // 2, features_RKD.shape[1]
    near_NJ = columns[:, None] + np.arange(-reach, reach + 1)
    inside_NJ = (near_NJ >= 0) & (near_NJ < width)
    (first, b1), (second, b2), (last, b3) = head.styles
    x_NJH = np.maximum(features_RKD[rows[:, None], near_NJ.clip(0, width - 1)] @ first + b1, 0) * inside_NJ[..., None]
    mean_NH = x_NJH.sum(1) / inside_NJ.sum(1, keepdims=True)
    return np.maximum(mean_NH @ second + b2, 0) @ last + b3
