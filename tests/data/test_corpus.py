"""Texts: cleaning, parts that never meet, and clear errors when something cannot be fetched."""

from __future__ import annotations

import gzip
from functools import partial

import numpy as np
import pytest

from vary.data.corpus import download as corpus
from vary.data.corpus.download import Corpus
from vary.data.corpus.text import STYLES, TextSource
from vary.document.alphabets import EUROPEAN, LATIN
from vary.io.errors import RemoteError


@pytest.mark.parametrize("name", ["english", *corpus.PACKAGES])
def test_parts_do_not_meet(tmp_path, monkeypatch, name) -> None:
    monkeypatch.setenv("VARY_CACHE", str(tmp_path))
    english = name == "english"
    file = name if english else corpus.cached_name(name)
    (tmp_path / f"{file}.txt").write_text(" ".join(f"w{k:07d}" for k in range(400_000)))  # 36 or more pieces
    load = Corpus.english if english else partial(Corpus.of_languages, name)
    train, test = (set(load(part).text.split()) for part in ("train", "test"))
    whole = {f"w{k:07d}" for k in range(400_000)}
    assert not (train & test & whole)
    assert len(test & whole) > 10
    with pytest.raises(ValueError, match="'train' and 'test'"):
        load("valid")


def test_files_and_digest(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("one two")
    one, other = Corpus.from_files([tmp_path / "a.txt"]), Corpus.from_text("one twx")
    assert one.text == "one two"
    assert one.digest != other.digest
    with pytest.raises(ValueError, match="no words"):
        Corpus.from_text(" \n")


def test_fetch_says_what_failed(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("VARY_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RemoteError, match="'apt-get' is not on this machine"):
        corpus.fetch("deb:nothing")
    with pytest.raises(ValueError, match="'deb' or 'pypi', not 'npm'"):
        corpus.fetch("npm:x")
    (tmp_path / "apt-get").write_text("#!/bin/sh\n")  # succeeds and fetches nothing
    (tmp_path / "apt-get").chmod(0o755)
    with pytest.raises(RemoteError, match="'apt-get download nothing' gave no package"):
        corpus.fetch("deb:nothing")
    assert not (tmp_path / "deb" / "nothing").exists()  # a half-made folder never counts


def test_help_pages_give_their_paragraphs(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("VARY_CACHE", str(tmp_path))
    monkeypatch.setitem(corpus.PACKAGES, "european", ["deb:libreoffice-help-xx"])
    folder = tmp_path / "deb/libreoffice-help-xx/usr/share"
    folder.mkdir(parents=True)
    page = "<script>var x</script><h1>Über</h1><p class='a'>Eine <b>Zeile</b>\n mit &amp; Zeichen</p>"
    (folder / "a.html").write_text(page, encoding="utf-8")
    text = Corpus.of_languages().text
    assert "Über Eine Zeile mit & Zeichen" in text
    assert not {"script", "var", "class"} & set(text.split())


def test_kernel_prose_loses_its_markup(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("VARY_CACHE", str(tmp_path))
    for package in corpus.TEXTS:
        (tmp_path / package.replace(":", "/")).mkdir(parents=True)
    (tmp_path / "deb" / "dict-gcide" / "gcide.dict.dz").write_bytes(gzip.compress(b"Word: a name"))
    (tmp_path / "deb" / "fortunes" / "usr/share/games/fortunes").mkdir(parents=True)
    path = tmp_path / "deb" / "linux-doc-6.1" / "a.rst.gz"
    path.write_bytes(gzip.compress(b"Title\n=====\n\n.. note:: x\n\nUse :c:func:`kmalloc` and ``kfree``.\n"))
    text = Corpus.english().text
    assert "=====" not in text
    assert "Use kmalloc and kfree." in text


@pytest.mark.parametrize("style", STYLES)
def test_words_are_in_the_alphabet(text_source, style) -> None:
    words = text_source.words(np.random.default_rng(1), 300, style)
    assert len(words) > 250
    assert set("".join(words)) <= set(LATIN)
    assert words == text_source.words(np.random.default_rng(1), 300, style)


def test_pseudo_words_keep_letters_and_lose_order() -> None:
    source = TextSource(Corpus.from_text("understanding " * 500))
    words = source.words(np.random.default_rng(2), 200, "pseudo")
    plain = [w for w in words if sorted(w) == sorted("understanding")]
    assert len(plain) > 100
    assert sum(w != "understanding" for w in plain) > 0.9 * len(plain)
    with pytest.raises(ValueError, match="unknown text style 'verse'"):
        source.words(np.random.default_rng(0), 5, "verse")


def test_capitals_have_no_greek_accents() -> None:
    source = TextSource(Corpus.from_text("Ελλάδα Ώρα слово " * 500), EUROPEAN)
    words = source.words(np.random.default_rng(1), 60, "capitals")
    assert {"ΕΛΛΑΔΑ", "ΩΡΑ", "СЛОВО"} <= set(words)
