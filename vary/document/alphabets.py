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

# Letters with accents, and such as ß, that each language uses in its own words. The digit after a letter says how usual
# it is: 9 is twice as usual as 8. They were counted, capitals as small letters, in messages of programs of Debian 12
# (`/usr/share/locale/*/LC_MESSAGES/*.mo`). Counted again in those of 29 packages, such as coreutils, iso-codes and
# libgtk-3-common, all but a few digits are the same or differ by one.
_ACCENTS = {
    "Albanian": "ç3ë9", "Catalan": "à9ç7è7é8í8ï6ò7ó9ú7ü5", "Croatian": "ć8č9đ7š8ž8",
    "Czech": "á9č7ď1é7ě7í9ň3ó3ř8š7ť2ú4ů6ý7ž7", "Danish": "æ9ø9å8é6", "Dutch": "é8ë9ï8ö5ü3",
    "Estonian": "ä9õ9ö6ü8š5ž4", "Finnish": "ä9ö6å0", "French": "à6â2æ0ç2è6é9ê5ë0î3ï1ô4œ0ù0û0ü0", "German": "ä8ö7ü9ß6",
    "Hungarian": "á9é9í7ó7ö7ő7ú5ü6ű5", "Icelandic": "á8æ7ð9é5í9ó8ö6ú7ý7þ6", "Italian": "à8è9é5ì3í3ò6ó2ù6ú1",
    "Latvian": "ā9č3ē8ģ3ī8ķ4ļ6ņ6š7ū6ž5", "Lithuanian": "ą8č7ę6ė9į8š9ų9ū7ž8", "Maltese": "à2ċ8ġ8ħ8ż9",
    "Polish": "ą8ć8ę8ł9ń7ó8ś8ź5ż9", "Portuguese": "à3á8â4ã9ç8é7ê6í8ó6ô3õ6ú6", "Romanian": "ă9â5î7ș7ț8",
    "Romanian with cedillas": "ă9â5î7ş7ţ8", "Slovak": "á9ä4č8ď3é8í8ĺ4ľ7ň5ó5ô4ŕ0š7ť8ú8ý8ž8", "Slovene": "č9š8ž7",
    "Spanish": "á8é6í7ñ6ó9ú7ü0", "Swedish": "ä9ö8å8é0", "Turkish": "â0ç7ğ7ı9İ3ö6ş7ü7",
    "Vietnamese": "à8á8â5ã6è2é4ê7ì6í6ò5ó7ô8õ3ù6ú5ý5ă5đ9ĩ3ũ3ơ5ư8ạ7ả7ấ6ầ7ẩ4ẫ5ậ7ắ5ằ4ẳ0ẵ2ặ6ẹ2ẻ3ẽ4ế7ề6ể8ễ1ệ7ỉ5ị7ọ6ỏ5ố7"
    "ồ5ổ5ỗ6ộ7ớ7ờ6ở5ỡ4ợ7ụ6ủ6ứ5ừ5ử5ữ6ự6ỳ2ỵ0ỷ1ỹ1",
}  # fmt: skip
ACCENTS = {
    name: {ch: 2.0 ** int(usual) for ch, usual in zip(letters[::2], letters[1::2], strict=True)}
    for name, letters in _ACCENTS.items()
}

# How usual the letters from a to z are, in the same way.
_PLAIN = {
    "Albanian": "96579678977788885989863456", "Catalan": "96889665833878875888752633",
    "Croatian": "96679564988778870888772337", "Czech": "97789557868879981888883477",
    "Danish": "86589775857878760888762351", "Dutch": "86679576856768860878665334",
    "Estonian": "96479566968878760888872321", "Finnish": "95469446968878870799873471",
    "French": "86779666834878875888863443", "German": "86779677826768761888755335",
    "Hungarian": "96669676868878860889672368", "Icelandic": "96478676868879661888863362",
    "Italian": "96779665914878973888763346", "Latvian": "96578563967778870898872326",
    "Lithuanian": "96578564967778870888762263", "Maltese": "96267563877778762777756403",
    "Polish": "96879565978779981888728388", "Portuguese": "96889666833788975888763534",
    "Romanian": "95879655933878770888853425", "Slovak": "97779556868879980888783477",
    "Slovene": "96579465978779970888682327", "Spanish": "96889655843878874888752444",
    "Swedish": "96689776848879871989773452", "Turkish": "97689565928888761888752376",
    "Vietnamese": "76866489817779774779762561", "English": "86779777835878873889756563",
}  # fmt: skip
_PLAIN["Romanian with cedillas"] = _PLAIN["Romanian"]
PLAIN = {name: [2.0 ** int(usual) for usual in digits] for name, digits in _PLAIN.items()}

# class of a shape -> its letter in the script
SHAPES = {
    "Cyrillic": dict(zip("aeopcyxsiïjëABEKMHOPCTXSIÏJË", "аеорсухѕіїјёАВЕКМНОРСТХЅІЇЈЁ", strict=True)),
    "Greek": dict(zip("oóABEZHIKMNOPTYXµГПФ", "οόΑΒΕΖΗΙΚΜΝΟΡΤΥΧμΓΠΦ", strict=True)),
}
WITHOUT_STROKE = str.maketrans("łŁđĐøØħĦı", "lLdDoOhHi")  # letters with a mark that Unicode does not part from them
_OF_SOME = {"sS": "ѓќЃЌ", "jJ": "jJ", "iïIÏ": "iïIÏ"}  # shapes that only some languages in Cyrillic have; what shows it
_WIDE = SHAPES["Cyrillic"].keys() - set("iïIÏ") | set(_CYRILLIC)  # all letters of Cyrillic words but the narrow ones
_ENOUGH, _STRAY = 300, 0.004  # letters of a text that show which of these it uses, and the share of those misread
_BULGARIAN = 0.006  # least share of ъ in Bulgarian; it is 1.5% there, and 0.04% in Russian
_NO_SIGN = re.compile(r"[ьЬ](?![оОoO])|[ыЫ]")
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
    what it is joined to without a space, as the name of a file, and else that of most words of the text. A small letter
    alone is Cyrillic or Greek if a word next to it is, as prepositions and conjunctions are there. A word with
    one of the shapes `unused`, or one that the script lacks, as Cyrillic lacks N, stays Latin, unless it has letters
    that only another script has.
    """
    if not _OTHER.search(text):
        return text
    words = [(match.span(), _script(match.group())) for match in re.finditer(r"\S+", text)]
    if not any(script in SHAPES for _, script in words):
        return text
    usual = Counter(script for _, script in words if script).most_common(1)[0][0]
    out = list(text)
    for k, ((first, last), around) in enumerate(words):
        if last == first + 1 and text[first].islower() and not around:  # `у` between `файл` and `x.tex`
            around = next((near for _, near in words[max(0, k - 1) : k + 2] if near in SHAPES), None)
        for match in _LETTERS.finditer(text, first, last):
            own = _script(match.group())
            shapes = SHAPES.get(own or around or usual, {})
            latin = unused | (_SHARED - shapes.keys() if shapes else frozenset())
            if own or latin.isdisjoint(match.group()):
                out[slice(*match.span())] = [shapes.get(ch, ch) for ch in match.group()]
    return "".join(out)


def with_bulgarian_signs(text: str, page: str) -> str:
    """Return a text of a page with ъ for ь and ы if the page is Bulgarian: it has ь before о alone, and no ы."""
    letters = Counter(ch for ch in page.lower() if "Ѐ" <= ch <= "ӿ")
    many = letters.total() >= _ENOUGH and letters["ъ"] >= _BULGARIAN * letters.total()
    return _NO_SIGN.sub(lambda found: "ъ" if found[0].islower() else "Ъ", text) if many else text


def to_one_script(text: str) -> str:
    """Return a text in which letters whose shape several scripts have are of the script of the others of their word.

    Words with letters that only one script has show it; all other words stay as they are.
    """
    return _LETTERS.sub(_with_own_script, text) if _OTHER.search(text) else text


def _with_own_script(found: re.Match[str]) -> str:
    own = {name for ch in found[0] if ch not in FOLDED and (name := _script(ch))}
    if len(own) != 1:
        return found[0]
    shapes = SHAPES.get(own.pop(), {})
    return "".join(shapes.get(one, one) for one in (FOLDED.get(ch, ch) for ch in found[0]))


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
