"""Rules by which all codes of a font are wrong: shifted by one number, or taken for those of another code page.

A program that takes the bytes of one code page for those of another writes `ñòîÿëà` for `стояла`. The glyphs that were
seen often show the rule, which then tells those that were seen too seldom. Bitmap fonts of TeX give only codes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import permutations

from ...io.tex_fonts import TEXT_ENCODINGS

SHARE = 0.8  # of a font's healed glyphs that a rule must explain
SHIFTED, RECODED = 8, 3  # least number of glyphs that show a shift, and another code page
PAGES = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "latin-1", "iso8859-2", "iso8859-5", "iso8859-7",
    "iso8859-9", "koi8-r", "cp437", "cp850", "cp852", "cp866", "mac-roman", "mac-latin2", "mac-cyrillic",
)  # fmt: skip

Rule = Callable[[str], "str | None"]


def find_rule(healed: Sequence[tuple[str, str]], may_show: Callable[[str, str], bool]) -> Rule | None:
    """Return the rule that explains nearly all glyphs of a font that claim one character and show another, or None.

    Args:
        healed: The character that each glyph claims, and the one that was seen.
        may_show: Whether a character may look like what was seen.
    """
    shifts = Counter(ord(shown) - ord(claimed) for claimed, shown in healed)
    (shift, count), *_ = shifts.most_common(1) or [(0, 0)]
    if shift and count >= max(SHIFTED, SHARE * len(healed)):
        return lambda ch: _shifted(ch, shift)
    strange = [(claimed, shown) for claimed, shown in healed if not claimed.isascii()]
    if len(strange) < max(RECODED, SHARE * len(healed)):
        return None
    best, most = None, 0
    for known in _recodings():
        count = sum(claimed in known and may_show(known[claimed], shown) for claimed, shown in strange)
        exact = sum(known.get(claimed) == shown for claimed, shown in strange)
        if exact >= RECODED and count >= SHARE * len(healed) and (score := count + exact) > most:
            best, most = known, score
    return best.get if best is not None else None


def find_tex_encoding(seen: Sequence[tuple[int, str]], may_show: Callable[[str, str], bool]) -> tuple[str, ...] | None:
    """Return the encoding of TeX of a font whose codes below 32 have no characters, as in bitmap fonts, or None.

    At least one ligature is spelled in full, and nothing contradicts the others: of `ffi` the head may see `fi`.

    Args:
        seen: Codes, and what was seen of each most often; empty for nothing.
        may_show: Whether a character may look like what was seen.
    """
    for encoding in TEXT_ENCODINGS:
        pairs = [(encoding[code], shown) for code, shown in seen]
        whole = any(target == shown and len(target) > 1 for target, shown in pairs)
        if whole and all(
            not shown or (set(shown) <= set(target) if len(target) > 1 else may_show(target, shown))
            for target, shown in pairs
        ):
            return encoding
    return None


def _shifted(ch: str, by: int) -> str | None:
    code = ord(ch) + by
    return chr(code) if 0x20 < code < 0x110000 and chr(code).isprintable() else None


@lru_cache(1)
def _recodings() -> list[dict[str, str]]:
    """Return, for each two code pages, what a character of the one should have been in the other."""
    high = [bytes([code]) for code in range(0x80, 0x100)]
    tables = [[code.decode(page, "ignore") for code in high] for page in PAGES]
    return [
        {claimed: true for claimed, true in zip(wrong, right, strict=True) if claimed and true and claimed != true}
        for wrong, right in permutations(tables, 2)
    ]
