"""Alphabets of reading heads, and letters of several scripts that have one shape.

A head cannot tell Latin `a` from Cyrillic `а` by their shape. So such letters are one class, named by its Latin letter.
`restore_scripts` decides by the other letters of the word which script a letter belongs to.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from functools import lru_cache

# ASCII, typographic signs, accented Latin of western Europe. One class of the reading head each.
LATIN = (
    " " + string.ascii_letters + string.digits + string.punctuation + "“”‘’–—…•·§©®°±×÷½¼¾²³µ¶†‡™€£¥¢«»¡¿≤≥≠→←∞≈−"
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿŒœŠšŽžŁłŐőűćčęąńśřěů"
)
_MORE_LATIN = (
    "ĄĆĘŃŚŹŻźżČĎĚŇŘŤŮďňťĹĽŔĺľŕŰĂȘȚășțŞŢşţĞİğıĀĒĢĪĶĻŅŪāēģīķļņūĖĮŲėįųĐđĦħĊċĠġ"
    "ŨũĨĩƠơƯưẠạẢảẤấẦầẨẩẪẫẬậẮắẰằẲẳẴẵẶặẸẹẺẻẼẽẾếỀềỂểỄễỆệỈỉỊịỌọỎỏỐốỒồỔổỖỗỘộỚớỜờỞởỠỡỢợỤụỦủỨứỪừỬửỮữỰựỲỳỴỵỶỷỸỹ"
    "„‚‹›№₴₽₺₫‰"
)
_CYRILLIC = (
    "БГДЖЗИЙЛПУФЦЧШЩЪЫЬЭЮЯбвгджзийклмнптфцчшщъыьэюя"  # without letters of Latin shape
    "ЄєҐґЎўЋћЂђЉљЊњЏџЌќЃѓ"
)
_GREEK = "ΔΘΛΞΣΨΩαβγδεζηθικλνξπρςστυφχψωΆΈΉΊΌΎΏάέήίύώϊϋΐΰ"
EUROPEAN = LATIN + _MORE_LATIN + _CYRILLIC + _GREEK

# letters with accents, and such as ß, that each language uses in its own words
ACCENTS = {
    "Albanian": "çë", "Catalan": "àçèéíïòóúü", "Croatian": "ćčđšž", "Czech": "áčďéěíňóřšťúůýž", "Danish": "æøåé",
    "Dutch": "éëïöü", "Estonian": "äõöüšž", "Finnish": "äöå", "French": "àâæçèéêëîïôœùûü", "German": "äöüß",
    "Hungarian": "áéíóöőúüű", "Icelandic": "áæðéíóöúýþ", "Italian": "àèéìíòóùú", "Latvian": "āčēģīķļņšūž",
    "Lithuanian": "ąčęėįšųūž", "Maltese": "àċġħż", "Polish": "ąćęłńóśźż", "Portuguese": "àáâãçéêíóôõú",
    "Romanian": "ăâîșț", "Romanian with cedillas": "ăâîşţ", "Slovak": "áäčďéíĺľňóôŕšťúýž", "Slovene": "čšž",
    "Spanish": "áéíñóúü", "Swedish": "äöåé", "Turkish": "âçğıİöşü",
    "Vietnamese": "àáâãèéêìíòóôõùúýăđĩũơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ",
}  # fmt: skip

# class of a shape -> its letter in the script
SHAPES = {
    "Cyrillic": dict(zip("aeopcyxsiïjëABEKMHOPCTXSIÏJË", "аеорсухѕіїјёАВЕКМНОРСТХЅІЇЈЁ", strict=True)),
    "Greek": dict(zip("oóABEZHIKMNOPTYXµГПФ", "οόΑΒΕΖΗΙΚΜΝΟΡΤΥΧμΓΠΦ", strict=True)),
}
WITHOUT_STROKE = str.maketrans("łŁđĐøØħĦı", "lLdDoOhHi")  # letters with a mark that Unicode does not part from them
_OF_SOME = {"sS": "ѓќЃЌ", "jJ": "jJ", "iïIÏ": "iïIÏ"}  # shapes that only some languages in Cyrillic have; what shows it
_WIDE = SHAPES["Cyrillic"].keys() - set("iïIÏ") | set(_CYRILLIC)  # all letters of Cyrillic words but the narrow ones
_ENOUGH, _STRAY = 300, 0.004  # letters of a text that show which of these it uses, and the share of those misread
FOLDED = {letter: shape for letters in SHAPES.values() for shape, letter in letters.items()}
_SHARED = frozenset(FOLDED.values())
_BLOCKS = (
    ("Latin", "A", "Z"), ("Latin", "a", "z"), ("Latin", "À", "\u024f"), ("Latin", "\u1e00", "\u1eff"),
    ("Greek", "Ͱ", "Ͽ"), ("Cyrillic", "Ѐ", "ӿ"),
)  # fmt: skip
_OTHER = re.compile(r"[\u0370-\u03ff\u0400-\u04ff]")  # Greek and Cyrillic
_LETTERS = re.compile(r"[^\W\d_]+")


def class_index(alphabet: str) -> dict[str, int]:
    """Return the class, from 1, of each character that a head can write; letters of one shape have the same."""
    index = {ch: k for k, ch in enumerate(alphabet, 1)}
    known = {"Cyrillic": "д" in alphabet, "Greek": "α" in alphabet}
    folded = [item for script, letters in SHAPES.items() if known[script] for item in letters.items()]
    return {letter: index[shape] for shape, letter in folded if shape in index} | index


@lru_cache(4)
def letters_by_script(alphabet: str) -> dict[str, list[int]]:
    """Return the classes, from 1, of the letters that only one script has, by script."""
    found: dict[str, list[int]] = {}
    for k, ch in enumerate(alphabet, 1):
        script = _script(ch) if ch.isalpha() else None
        if script:
            found.setdefault(script, []).append(k)
    return found


def are_of_two_scripts(a: str, b: str) -> bool:
    """Return whether two characters are letters of two scripts, by their codes."""
    scripts = {name for ch in (a, b) for name, low, high in _BLOCKS if low <= ch <= high and ch.isalpha()}
    return len(scripts) == 2


def are_wide(a: str, b: str) -> bool:
    """Return whether two shapes are letters of Cyrillic words, none of them narrow, and one is of no other script."""
    return {a, b} <= _WIDE and not {a, b}.isdisjoint(_CYRILLIC)


def restore_scripts(text: str, unused: frozenset[str] = frozenset()) -> str:
    """Return a text in which letters whose shape several scripts have belong to the script of their word.

    A word has the script of most of its letters that only one script has. A word without such letters has the script of
    what it is joined to without a space, as the name of a file, and else that of most words of the text. A word with
    one of the shapes `unused` stays Latin, unless it has letters that only another script has.
    """
    if not _OTHER.search(text):
        return text
    words = [(match.span(), _script(match.group())) for match in re.finditer(r"\S+", text)]
    if not any(script in SHAPES for _, script in words):
        return text
    usual = Counter(script for _, script in words if script).most_common(1)[0][0]
    out = list(text)
    for (first, last), around in words:
        for match in _LETTERS.finditer(text, first, last):
            own = _script(match.group())
            shapes = {} if not own and unused.intersection(match.group()) else SHAPES.get(own or around or usual, {})
            out[slice(*match.span())] = [shapes.get(ch, ch) for ch in match.group()]
    return "".join(out)


def unused_shapes(text: str) -> frozenset[str]:
    """Return the shapes of Cyrillic letters that a text in Cyrillic does not use, as Russian has no і, ї, ј and ѕ.

    Its words with letters that only Cyrillic has show it. A text with few of them shows nothing.
    """
    words = Counter("".join(word for word in _LETTERS.findall(text) if _script(word) == "Cyrillic"))
    if words.total() < _ENOUGH:
        return frozenset()
    least = _STRAY * words.total()
    return frozenset("".join(shapes for shapes, shown in _OF_SOME.items() if sum(words[ch] for ch in shown) < least))


def _script(word: str) -> str | None:
    """Return the script of most letters of a word that only one script has, None without such letters."""
    blocks = ((name, low <= ch <= high) for ch in word if ch not in _SHARED for name, low, high in _BLOCKS)
    found = Counter(name for name, inside in blocks if inside)
    return found.most_common(1)[0][0] if found else None
