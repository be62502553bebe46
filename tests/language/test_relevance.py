"""Whether responses depend on their prompts, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from plaudit.language.relevance import (
    content_words,
    count_repeats,
    count_stock,
    coverage,
    prompt_text,
    retrieve,
)
from plaudit.types import Dialogue, Message

PROMPTS = ["Explain rain to a child.", "Explain the moon landing.", "Why do cats purr?", "How is bread baked?"]


def test_content_words() -> None:
    assert content_words("Explain to a 6 year old why the planets\u2019 baking made bakers happy.") == [
        *("planet", "bak", "baker", "happ"),
    ]
    assert content_words("What is it?") == []


def test_coverage() -> None:
    assert coverage(PROMPTS[1], "They landed.") == 0.5
    assert coverage("Why?", "anything") == 1.0


def test_the_right_prompt_is_found() -> None:
    responses = ["Rain falls.", "A rocket landed on the moon.", "A cat purrs.", "Bakers bake bread."]
    assert retrieve(PROMPTS, responses).tolist() == [1, 1, 1, 1]
    # To another prompt: never first; among two of four where only one is more like it and three are equal.
    assert retrieve(PROMPTS, responses[1:] + responses[:1]).tolist() == [0, 0, 0, 0]
    assert retrieve(PROMPTS, responses[1:] + responses[:1], 2) == pytest.approx([1 / 3] * 4)
    # A response that shares no word is at chance, and all prompts are among as many as there are.
    assert retrieve(PROMPTS, ["Glad you asked."] * 4) == pytest.approx([0.25] * 4)
    assert retrieve(PROMPTS, ["Glad you asked."] * 4, 4).tolist() == [1] * 4
    # Two responses to each prompt.
    pairs = [text for response in responses for text in (response, "No.")]
    assert retrieve(PROMPTS, pairs) == pytest.approx([1, 0.25] * 4)


def test_random_responses_are_found_at_chance() -> None:
    rng = np.random.default_rng(0)
    prompts = [f"topic{number} place{number % 7}" for number in range(40)]
    rates = [
        retrieve(prompts, [prompts[index] for index in rng.permutation(40)], top).mean()
        for top in (1, 5)
        for _ in range(40)
    ]
    assert np.mean(rates[:40]) == pytest.approx(1 / 40, abs=0.01)
    assert np.mean(rates[40:]) == pytest.approx(5 / 40, abs=0.02)


def test_stock_phrases_and_repeats() -> None:
    texts = [
        "I'm glad you asked that.",
        "I\u2019m happy to help.",
        "The glad man asked.",
        "Great question!",
        "Rain falls.",
    ]
    assert count_stock(texts).tolist() == [1, 1, 0, 1, 0]
    assert count_repeats(["Yes.", "yes", "No.", "Yes!"]).tolist() == [2, 2, 0, 2]
    assert count_repeats(["Yes.", "yes", "No.", "Yes!"], 2).tolist() == [1, 1, 0, 1]  # two responses to each prompt


def test_the_prompt_is_the_last_thing_that_the_person_wrote() -> None:
    first = (Message("system", "s"), Message("user", "one"), Message("assistant", "a"))
    assert prompt_text(Dialogue((*first, Message("user", "two"), Message("assistant", "b")))) == "two"
    assert prompt_text(Dialogue((Message("assistant", "a"),))) == ""
