"""Strips: windows of a page's token grid that hold one or more text lines. What a decoder of strips offers a reader.

The vocabulary encodes the page once; the decoder gets windows of its tokens instead of the whole page. A strip is
`STRIP_ROWS` rows high per line (32 px for the nano vocabulary). Needs no PyTorch.

Shapes: R rows, K columns, D width of a token, S strips, h w rows and columns of a strip, M image tokens of a strip,
E embedding width of the language model, T tokens of the longest row, V size of the token vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...markup.prompts import character_vocabulary

STRIP_ROWS = 4
WIDTH_STEP = 32  # cells; widths are rounded up, because matrix libraries cache a primitive for every new shape


@dataclass(frozen=True)
class Strip:
    """Rows [top, top + height) and columns [left, left + width) of image `item`; may reach outside the grid."""

    item: int
    top: int
    left: int
    height: int
    width: int

    def inside(self, rows: int, columns: int, wide: int) -> tuple[slice, slice, tuple[int, int, int, int]]:
        """Return its rows and columns inside a grid, and the zeros above, below, left and right of these."""
        top, left = max(0, self.top), max(0, self.left)
        bottom, right = max(top, min(rows, self.top + self.height)), max(left, min(columns, self.left + self.width))
        above, before = min(top - self.top, self.height), min(left - self.left, wide)
        pad = above, self.height - (bottom - top) - above, before, wide - (right - left) - before
        return slice(top, bottom), slice(left, right), pad


def strip_of(
    item: int,
    tops_px: float,
    bottoms_px: float,
    left_px: float,
    right_px: float,
    stride: tuple[int, int],
    window: tuple[int, int],
) -> Strip:
    """Return the strip around lines, from the heights of the first and last line's middle and their left and right.

    Args:
        item: index of the image.
        tops_px: middle of the first line.
        bottoms_px: middle of the last line.
        left_px: left end of the ink.
        right_px: right end of the ink.
        stride: pixels per cell (rows, columns).
        window: cells (rows, columns) that become one image token.
    """
    lines_high = round((bottoms_px - tops_px) / stride[0]) + STRIP_ROWS
    height = -(-lines_high // window[0]) * window[0]
    middle = (tops_px + bottoms_px) / 2 / stride[0]
    left = int(left_px / stride[1]) - 2
    width = -(-(int(right_px / stride[1]) + 3 - left) // window[1]) * window[1]
    return Strip(item, round(middle - height / 2), left, height, width)


def by_height(strips: Sequence[Strip]) -> Iterator[tuple[int, int, list[int]]]:
    """Yield the height, the common width and the members of each group of strips that are encoded together."""
    groups: dict[int, list[int]] = {}
    for k, strip in enumerate(strips):
        groups.setdefault(strip.height, []).append(k)
    for height, members in groups.items():
        yield height, -(-max(strips[k].width for k in members) // WIDTH_STEP) * WIDTH_STEP, members


class Characters:
    """The tokens of a decoder that writes one token per character.

    Args:
        alphabet: the characters that it writes, besides the line break.
    """

    def __init__(self, alphabet: str):
        self.ids = character_vocabulary(alphabet)
        self.characters = {k: token for token, k in self.ids.items()}
        self.first_character = self.ids["\n"]
        self.never_written = [k for k in range(self.first_character) if k != self.ids["</s>"]]

    def spells(self, text: str) -> bool:
        """Return whether there is a token for every character of a text."""
        return all(ch in self.ids for ch in text)

    def encode(self, text: str) -> list[int]:
        """Return one token id per character."""
        return [self.ids[ch] for ch in text]

    def decode(self, ids: list[int]) -> str:
        """Return the characters up to the end token, without special tokens."""
        text = []
        for k in ids:
            if k == self.ids["</s>"]:
                break
            if k >= self.first_character:
                text.append(self.characters[k])
        return "".join(text)


class LineScorer(Protocol):
    """A decoder of strips, ready to score lines.

    characters: its tokens. stride: pixels per cell (rows, columns). window: cells that become one image token.
    posteriors: number of classes of the reading head whose probabilities follow a cell's features, of each frame; 0 for
    none.
    """

    characters: Characters
    stride: tuple[int, int]
    window: tuple[int, int]
    posteriors: int

    def connect(self, cells_ShwD: np.ndarray) -> np.ndarray:
        """Return the image embeddings (S, M, E) of strips of one size, by rows."""
        ...

    def logits(
        self,
        images_STE: np.ndarray,
        ids_ST: np.ndarray,
        is_image_ST: np.ndarray,
        seen_S1TT: np.ndarray,
        places_ST: np.ndarray,
        picked_P: np.ndarray,
    ) -> np.ndarray:
        """Return the logits (P, V) of the token after each picked one.

        Args:
            images_STE: image embeddings, each where its token stands.
            ids_ST: the other tokens.
            is_image_ST: which tokens are image tokens.
            seen_S1TT: which tokens each token sees.
            places_ST: position of each token.
            picked_P: tokens, counted over all rows.
        """
        ...


def connect_strips(scorer: LineScorer, cells_RKD: np.ndarray, strips: Sequence[Strip]) -> list[np.ndarray]:
    """Cut strips from the cells of a page and connect them: image embeddings (M, E). Cells outside are zeros."""
    out: list[np.ndarray] = [cells_RKD] * len(strips)
    for height, wide, members in by_height(strips):
        cut = []
        for k in members:
            rows, columns, (above, below, before, behind) = strips[k].inside(
                cells_RKD.shape[0], cells_RKD.shape[1], wide
            )
            cut.append(np.pad(cells_RKD[rows, columns], ((above, below), (before, behind), (0, 0))))
        embedded = scorer.connect(np.stack(cut))
        embedded = embedded.reshape(len(members), height // scorer.window[0], wide // scorer.window[1], -1)
        for row, k in zip(embedded, members, strict=True):
            out[k] = row[:, : strips[k].width // scorer.window[1]].reshape(-1, row.shape[-1])
    return out
