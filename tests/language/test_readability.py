"""Reading grades by hand."""

from __future__ import annotations

import math

import pytest

from plaudit.language.readability import coleman_liau, count_sentences, count_syllables, flesch_kincaid

SYLLABLES = {
    1: "the sky makes pushed eyes house moved strength ate",
    2: "little boxes washes places melted people water orange",
    3: "utilise beautiful elephant",
    4: "information utility",
}


def test_syllables() -> None:
    wrong = {
        word: count_syllables(word)
        for syllables, words in SYLLABLES.items()
        for word in words.split()
        if count_syllables(word) != syllables
    }
    assert not wrong


@pytest.mark.parametrize(
    ("text", "sentences"), [("One. Two! Three?", 3), ("One", 1), ("", 1), ("It is 3.5 m.", 1), ('"No." He left', 2)]
)
def test_sentences(text: str, sentences: int) -> None:
    assert count_sentences(text) == sentences


def test_grades_by_hand() -> None:
    text = "The cat sat on the mat. It was happy."  # 9 words, 2 sentences, 10 syllables, 27 letters
    assert flesch_kincaid(text) == pytest.approx(0.39 * 9 / 2 + 11.8 * 10 / 9 - 15.59)
    assert coleman_liau(text) == pytest.approx(5.88 * 27 / 9 - 29.6 * 2 / 9 - 15.8)
    assert math.isnan(flesch_kincaid(" ")) and math.isnan(coleman_liau("..."))


def test_both_formulas_order_a_plain_text_before_a_learned_one() -> None:
    plain = "Rain is water that falls from clouds. The sun lifts it up, and then it comes down again."
    learned = "Precipitation constitutes atmospheric condensation descending gravitationally onto terrestrial surfaces."
    for grade in (flesch_kincaid, coleman_liau):
        assert grade(plain) < 5 and grade(learned) > 15
