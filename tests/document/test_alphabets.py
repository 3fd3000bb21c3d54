"""Alphabets of reading heads and letters that several scripts share."""

from __future__ import annotations

import pytest

from vary.document.alphabets import (
    EUROPEAN,
    FOLDED,
    LATIN,
    SHAPES,
    class_index,
    restore_scripts,
    unused_shapes,
    with_bulgarian_signs,
)

SENTENCES = [
    "Zażółć gęślą jaźń. ŁÓDŹ, Ćma",
    "Příliš žluťoučký kůň úpěl ďábelské ódy. ŘÍŠE",
    "Árvíztűrő tükörfúrógép ÁRVÍZTŰRŐ",
    "Pijamalı hasta yağız şoföre çabucak güvendi. İSTANBUL",
    "Gheorghe, obraznicul, a reușit să obțină jucându-se un flux în țară.",
    "Glāžšķūņa rūķīši dzērumā čiepj Baha koncertflīģeļu vākus.",
    "Įlinkdama fechtuotojo špaga sublykčiojusi pragręžė apvalų arbūzą.",
    "Do bạch kim rất quý nên sẽ dùng để lắp vô xương. ĐỘC LẬP",
    "Съешь ещё этих мягких французских булок, да выпей же чаю. Он и она.",
    "Чуєш їх, доцю, га? Кумедна ж ти, прощайся без ґольфів!",
    "Љубазни фењерџија чађавог лица хоће да ми покаже штос. Ђак",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Οι άνθρωποι, ΑΘΗΝΑ ΧΩΡΑ.",
]


def test_classes_are_distinct_and_begin_with_those_of_latin() -> None:
    assert len(set(EUROPEAN)) == len(EUROPEAN)
    assert EUROPEAN.startswith(LATIN)
    assert not set(FOLDED) & set(EUROPEAN) - {letter for letters in SHAPES.values() for letter in letters}
    assert set(FOLDED.values()) <= set(EUROPEAN)


@pytest.mark.parametrize("text", SENTENCES)
def test_a_text_survives_its_shapes(text) -> None:
    """What a head sees are shapes; the script of each word gives the letters back."""
    assert set(text) <= class_index(EUROPEAN).keys()
    shapes = "".join(FOLDED.get(ch, ch) for ch in text)
    assert set(shapes) <= set(EUROPEAN)
    assert restore_scripts(shapes) == text


def test_words_of_several_scripts_in_one_line() -> None:
    text = "Файл config.py и класс Export"
    assert restore_scripts("".join(FOLDED.get(ch, ch) for ch in text)) == text
    assert restore_scripts("a cap on Poe") == "a cap on Poe"


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("Съешь ещё этих мягких французских булок", "Программы OS и EPS имеют ядро, а pic не имеет"),
        ("Жебракують філософи при ґанку церкви, ще й їхні", "Програми і її ядро, а OS не має"),
        ("Љубазни фењерџија чађавог лица хоће", "Ја сам ја, а OS не каже"),
    ],
)
def test_words_of_letters_that_a_language_lacks_are_latin(sentence, text) -> None:
    """OS is not spelt with ѕ, which only Macedonian has. A short text does not show which letters it lacks."""
    shapes = "".join(FOLDED.get(ch, ch) for ch in 10 * f"{sentence}. ")
    folded = "".join(FOLDED.get(ch, ch) for ch in text)
    assert restore_scripts(folded, unused_shapes(shapes)) == text
    assert not unused_shapes(shapes[:100])


def test_an_alphabet_without_a_script_reads_none_of_its_letters() -> None:
    assert class_index(LATIN).keys() == set(LATIN)


@pytest.mark.parametrize(
    "text",
    [
        "переменные MANPATH и CTAN",  # Cyrillic has no N
        "Описаний у doc.dtx і в The Companion",  # small words between names of files
        "находится в file.txt с именем",
    ],
)
def test_latin_names_among_cyrillic_words(text) -> None:
    assert restore_scripts("".join(FOLDED.get(ch, ch) for ch in text)) == text


def test_bulgarian_has_no_soft_sign_but_before_o() -> None:
    text = "Редът на съдържанието е достатъчно дълъг, както показва първият пример. " * 8
    assert with_bulgarian_signs("достатьчно Редыт ьгъл синьо", text) == "достатъчно Редът ъгъл синьо"
    assert with_bulgarian_signs("достатьчно", text[:200]) == "достатьчно"  # too little to show it
    russian = "Объём памяти и скорость обмена должны быть указаны в настройках. " * 8
    assert with_bulgarian_signs("есть файлы", russian.replace("ъ", "ь")) == "есть файлы"
