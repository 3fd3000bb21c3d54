"""Metrics of text and of answers against the packages whose definitions they follow."""

from __future__ import annotations

import random
import time

import jiwer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vary.evaluate.metrics.text import Match, calibration, cer, edit_distance, right_characters, wer
from vary.evaluate.metrics.vqa import anls, relaxed_match
from vary.evaluate.metrics.words import bleu, meteor, overlap, page_scores, split_words
from vary.io.errors import MissingExtra

some = settings(max_examples=150, derandomize=True, database=None, deadline=None)
WORDS = st.lists(
    st.sampled_from(
        ["the", "The", "cat", "cats", "running", "runs", "ties", "tied", "图表", "测", "😀", "e\u0301", "a"]
    ),
    max_size=12,
)
TEXT = st.text(st.sampled_from("ab 图表😀é\n"), max_size=20)
close = {"abs": 1e-9, "rel": 0}


class WordNet:
    """NLTK's reader without its data: `synsets` of a few words."""

    GROUPS = ({"cat", "run"}, {"the", "a_b", "a"})

    def __init__(self, empty: bool = False):
        self.empty = empty

    def synsets(self, word):
        lemma = lambda name: type("Lemma", (), {"name": lambda _: name})()  # noqa: E731
        groups = [] if self.empty else [g for g in self.GROUPS if word in g]
        return [type("Synset", (), {"lemmas": lambda _, g=g: [lemma(n) for n in g]})() for g in groups]


# -- characters and words ----------------------------------------------------------------------------------------------
@some
@given(TEXT, TEXT)
def test_rates_agree_with_jiwer(a: str, b: str) -> None:
    a, b = a.strip(), b.strip()
    if b:
        assert cer(a, b) == pytest.approx(jiwer.cer(b, a), **close)
        assert wer(a, b) == pytest.approx(jiwer.wer(" ".join(b.split()), " ".join(a.split())), **close)


@some
@given(WORDS, WORDS)
def test_word_scores_agree_with_nltk(a: list[str], b: list[str]) -> None:
    from nltk.metrics import f_measure, precision, recall
    from nltk.translate.bleu_score import sentence_bleu
    from nltk.translate.meteor_score import single_meteor_score

    match = overlap(a, b)
    if a and b:
        sets = set(b), set(a)
        wanted = precision(*sets), recall(*sets), f_measure(*sets)
        assert (match.precision, match.recall, match.f1) == pytest.approx(wanted, **close)
        assert bleu(a, b) == pytest.approx(
            sentence_bleu([b], a, smoothing_function=lambda p, **_: p and _none(p)), **close
        )
        assert meteor(a, b) == single_meteor_score(b, a, wordnet=WordNet(empty=True))
        assert meteor(a, b, WordNet()) == single_meteor_score(b, a, wordnet=WordNet())
    else:
        assert {match.precision, match.recall, match.f1, bleu(a, b), meteor(a, b)} == {float(a == b)}


def _none(fractions):
    """NLTK's `method0` without its warning."""
    return [p if p.numerator else 1e-300 for p in fractions]


def test_meteor_gives_the_example_of_nltk() -> None:
    found = "It is a guide to action which ensures that the military always obeys the commands of the party"
    truth = "It is a guide to action that ensures that the military will forever heed Party commands"
    assert round(meteor(found.split(), truth.split()), 4) == 0.6944


def test_bleu_agrees_with_nltk_on_long_pages() -> None:
    from nltk.translate.bleu_score import sentence_bleu

    rng = random.Random(3)
    truth = rng.choices(["of", "the", "page", "vision", "words", "图"], k=400)
    for wrong in (0, 3, 40):
        page = list(truth)
        for k in rng.sample(range(400), wrong):
            page[k] = "x"
        for found in (page, page[:300], page + page[:50]):
            assert bleu(found, truth) == pytest.approx(sentence_bleu([truth], found), **close)


def test_the_published_orientation_swaps_precision_and_recall() -> None:
    from nltk.translate.bleu_score import sentence_bleu

    found, truth = "a b c d e f", "a b c d"
    ours, published = page_scores(found, truth), page_scores(found, truth, published=True)
    assert (ours["precision"], ours["recall"]) == (4 / 6, 1)
    assert (published["precision"], published["recall"]) == (1, 4 / 6)
    assert (ours["f1"], ours["edit_distance"]) == (published["f1"], published["edit_distance"])
    assert published["bleu"] == sentence_bleu([found.split()], truth.split()) < ours["bleu"] + 1
    assert published["bleu"] != ours["bleu"]
    assert page_scores(truth, found) == published


def test_chinese_is_cut_by_jieba_in_both_texts() -> None:
    import jieba

    assert split_words("我来到北京", "plain text") == [jieba.lcut("我来到北京"), jieba.lcut("plain text")]
    assert split_words("plain text") == [["plain", "text"]]
    assert page_scores("我来到北京清华大学", "我来到北京清华大学")["f1"] == 1


def test_missing_packages_are_named(monkeypatch) -> None:
    import builtins

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", lambda name, *a, **k: _refuse(name) or real(name, *a, **k))
    with pytest.raises(MissingExtra, match=r"pip install 'vary\[zh\]'"):
        split_words("图")


def _refuse(name: str) -> None:
    if name.split(".")[0] == "jieba":
        raise ImportError(name)


def test_repetition_and_order_do_not_change_the_set_scores() -> None:
    assert overlap(["b", "a", "a"], ["a", "b", "b"]) == Match(1, 1, 1)


def test_long_texts_are_quick() -> None:
    rng = random.Random(1)
    truth = "".join(rng.choices("etaoin shrdlu", k=100_000))
    found = "".join(c if rng.random() > 0.02 else "?" for c in truth)
    began = time.process_time()
    assert 0 < edit_distance(found, truth) < 0.03
    scores = page_scores(found, truth)
    assert 0.3 < scores["bleu"] < scores["f1"] < 1
    assert sum(right_characters(found, truth)) >= 0.97 * len(found)
    assert anls(found, truth) > 0.97
    assert meteor(["x"] * 20_000, ["y"] * 400) == 0
    assert time.process_time() - began < 15


# -- confidence --------------------------------------------------------------------------------------------------------
def test_right_characters_are_those_an_alignment_keeps() -> None:
    assert right_characters("abxd", "abcd") == [True, True, False, True]
    assert right_characters("abccd", "abcd").count(True) == 4
    assert (right_characters("", "abc"), right_characters("图", "图"), right_characters("x", "")) == (
        [],
        [True],
        [False],
    )


@some
@given(TEXT, TEXT)
def test_right_characters_spell_a_part_of_the_truth(a: str, b: str) -> None:
    right = right_characters(a, b)
    rest = iter(b)
    assert all(ch in rest for ch, kept in zip(a, right, strict=True) if kept)
    assert sum(right) >= max(len(a), len(b)) - round(edit_distance(a, b) * max(len(a), len(b))) - abs(len(a) - len(b))


def test_calibration_by_hand() -> None:
    bins, error = calibration([0.95, 0.91, 0.15, 0.15, 0.0, 0.1], [True, False, True, False, False, False])
    assert [(b.count, b.confidence, b.accuracy) for b in bins] == [
        (2, pytest.approx(0.05), 0), (2, pytest.approx(0.15), 0.5), (2, pytest.approx(0.93), 0.5)
    ]  # fmt: skip
    assert error == pytest.approx((2 * 0.05 + 2 * 0.35 + 2 * 0.43) / 6)
    assert calibration([1.0, 1.0], [True, True])[1] == 0
    assert calibration([], [])[1] != calibration([], [])[1]  # nan
    with pytest.raises(ValueError, match=r"between 0 and 1, not 0.5 to 1.5"):
        calibration([0.5, 1.5], [True, True])
    with pytest.raises(ValueError, match="1 confidences do not go with 2"):
        calibration([0.5], [True, True])


# -- answers -----------------------------------------------------------------------------------------------------------
def test_anls_by_its_definition() -> None:
    assert anls(" The  CAT ", ["dog", "the cat"]) == 1
    assert anls("the bat", "the cat") == pytest.approx(6 / 7)
    assert (anls("ab", "cb"), anls("abc", "cba"), anls("", "x"), anls("", ""), anls("", []), anls("x", [])) == (
        0.5, 0, 0, 1, 1, 0
    )  # fmt: skip


def test_relaxed_accuracy_as_published_and_in_any_format() -> None:
    assert relaxed_match("105", "100") == relaxed_match("96%", "1") == relaxed_match("Yes", "yes") == 1
    assert relaxed_match("105.1", "100") == relaxed_match("0.0", "0") == relaxed_match("1,000", "1000") == 0
    assert relaxed_match("nan", "5") == relaxed_match("-100", "100") == relaxed_match("", "5") == 0
    assert relaxed_match("", "") == relaxed_match("b", ["a", "b"]) == 1
    for found, truth in (("1,000", "1000"), ("$3.5M", "$3.6M"), ("0.0", "0"), ("１２", "12"), ("3.5", "3.5 kg")):
        assert relaxed_match(found, truth, any_format=True) == 1
    assert relaxed_match("3.5 g", "3.5 kg", any_format=True) == 0
