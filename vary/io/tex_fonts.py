"""Name the characters of fonts made for TeX, whose PDFs often give none: by the encodings of Computer Modern.

Without a character PDFium gives the code, so that a sum of the font of large symbols is `X`.
Source: The TeXbook, appendix F.
"""

from __future__ import annotations

import re
from dataclasses import replace

from .pdf_layer import GLYPH, PRIVATE, PRIVATE_CODES, TextLayer

_ITALIC = (
    "ΓΔΘΛΞΠΣΥΦΨΩαβγδϵζηθικλμνξπρστυϕχψωεϑϖϱςφ↼↽⇀⇁↩↪▷◁0123456789.,</>⋆∂ABCDEFGHIJKLMNOPQRSTUVWXYZ♭♮♯⌣⌢ℓ"
    "abcdefghijklmnopqrstuvwxyzıȷ℘\u20d7"
)
_SYMBOLS = (  # capitals are calligraphic letters
    "−·×∗÷⋄±∓⊕⊖⊗⊘⊙◯∘•≍≡⊆⊇≤≥⪯⪰∼≈⊂⊃≪≫≺≻←→↑↓↔↗↘≃⇐⇒⇑⇓⇔↖↙∝′∞∈∋△▽\u0338↦∀∃¬∅ℜℑ⊤⊥ℵABCDEFGHIJKLMNOPQRSTUVWXYZ∪∩⊎∧∨"
    "⊢⊣⌊⌋⌈⌉{}⟨⟩|‖↕⇕∖≀√⨿∇∫⊔⊓⊑⊒§†‡¶♣♢♡♠"
)
_LARGE = (  # brackets, the pieces of which larger ones are built, and operators
    "()[]⌊⌋⌈⌉{}⟨⟩|‖/\\()()[]⌊⌋⌈⌉{}⟨⟩/\\()[]⌊⌋⌈⌉{}⟨⟩/\\/\\⎛⎞⎡⎤⎣⎦⎢⎥⎧⎫⎩⎭⎨⎬⎪|⎝⎠⎜⎟⟨⟩⨆⨆∮∮⨀⨀⨁⨁⨂⨂∑∏∫⋃⋂⨄⋀⋁∑∏∫⋃⋂⨄⋀⋁∐∐"
    "\u0302\u0302\u0302\u0303\u0303\u0303[]⌊⌋⌈⌉{}√√√√√"
)
_ENCODINGS = (  # names of fonts, and their characters by code from 0
    (re.compile(r"(?:cm|lm)ex\d|lmmathextension", re.I), _LARGE),
    (re.compile(r"(?:cm|lm)b?sy\d|lmmathsymbols", re.I), _SYMBOLS),
    (re.compile(r"(?:cm|lm)mib?\d|lmmathitalic", re.I), _ITALIC),
)
_CONTROLS = PRIVATE, PRIVATE + PRIVATE % PRIVATE_CODES  # to which `pdf_text` moves codes of control characters
_LIGATURES = ("ff", "fi", "fl", "ffi", "ffl")
TEXT_ENCODINGS: tuple[tuple[str, ...], ...] = (  # codes below 32: T1 without its accents, and OT1
    (*[""] * 13, *"‚‹›“”„«»–—", "", "", *"ıȷ", *_LIGATURES),
    (*"ΓΔΘΛΞΠΣΥΦΨΩ", *_LIGATURES, *"ıȷ", *[""] * 7, *"ßæœøÆŒØ"),
)


def name_tex_characters(layer: TextLayer) -> TextLayer:
    """Return the layer with the characters that its TeX fonts draw, where the PDF gives only their codes."""
    encodings = {k: found for k, name in enumerate(layer.font_names) if (found := _encoding(name))}
    if not encodings:
        return layer
    text, unmapped = list(layer.text), layer.unmapped.copy()
    for k, font in enumerate(layer.fonts.tolist()):
        if font in encodings and layer.kinds[k] == GLYPH:
            coded = bool(unmapped[k]) or _is_copy(layer.font_names[font])
            if char := _character(text[k], encodings[font], coded):
                text[k], unmapped[k] = char, 0
    return replace(layer, text="".join(text), unmapped=unmapped)


def control_code(char: str) -> int | None:
    """Return the code below 32 of a character that stands for a control character of a font, or None."""
    first = next((first for first in _CONTROLS if first <= ord(char) < first + 32), None) if len(char) == 1 else None
    return None if first is None else ord(char) - first


def _plain(font: str) -> str:
    return font.rpartition("+")[2]


def _encoding(font: str) -> str:
    return next((chars for names, chars in _ENCODINGS if names.match(_plain(font))), "")


def _is_copy(font: str) -> bool:
    """Return whether a font is a TrueType copy, as matplotlib has them: its characters are TeX's codes throughout."""
    return _plain(font).startswith("Cm")


def _character(char: str, encoding: str, coded: bool) -> str:
    """Return the character of a code; empty where it is none, or one that the encoding lacks.

    coded: whether it is a code for certain.
    """
    code = 0xB7 if char == "∙" else ord(char)  # one number of the copies has two names
    control = control_code(char)
    if control is not None:
        code = control
    elif 0xA1 <= code <= 0xC3 and (coded or char not in encoding + "µ"):
        code -= 0xA1 if code <= 0xAA else 0xA3  # a copy of those below 33, for programs that take these for control
    elif not coded and code >= 32:
        return ""
    return encoding[code : code + 1]
