"""Whether responses depend on their prompts: what a policy loses first when it learns to please a reward that does not
read the prompt."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from plaudit.language.measures import words
from plaudit.types import Array, Dialogue

FUNCTION_WORDS = frozenset(
    """
    a about after all also am an and any are as at be because been before being between both but by can could did
    do does doing down each every few for from get gets getting go goes had has have having he her here him his
    how i if in into is it its just keep like made make makes many me more most much must my no not of off on one
    only or our out over so some such than that the their them then there these they this those through to too
    under up us use used very was way we were what when where which while who why will with without would you your
    """.split()  # noqa: SIM905
)
INSTRUCTIONS = frozenset(
    """
    answer child children compare describe discuss explain explained explanation give kid list name old please say
    sentence sentences short simple six summarise summarize tell word words write year years 6
    """.split()  # noqa: SIM905
)
ENDINGS = ("ing", "ies", "es", "ed", "s", "e", "y")  # taken off in this order, the first that fits
STOCK = re.compile(
    r"\b(?:as an ai|i am an ai|i'm an ai|as a language model)\b"
    r"|\bi(?:'m| am) (?:so |very |really )?(?:glad|happy|here|sorry|excited|thrilled|pleased|delighted)\b"
    r"|\b(?:happy|glad|pleased|delighted) to (?:help|assist)\b|\b(?:i'd|i would) be happy\b"
    r"|\b(?:great|good|excellent|wonderful|interesting) question\b|\bthank(?:s| you) for (?:asking|your)\b"
    r"|\bfeel free to\b|\blet me know if\b|\bhope (?:this|that) helps\b|\A\s*(?:certainly|of course|sure)\b"
    r"|\bhere(?:'s| is) (?:a|an|the) (?:short |simple |brief |clear )*(?:explanation|answer|response|summary)\b",
    re.I,
)


def stem(word: str) -> str:
    """A word without its ending, so that "planets" and "planet", "baked" and "baking" meet; at least three letters."""
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def content_words(text: str) -> list[str]:
    """Stems of a text's words, without the words of grammar and those with which a task is set."""
    tokens = (word.replace("\u2019", "'").removesuffix("'s") for word in words(text))
    return [stem(word) for word in tokens if word not in FUNCTION_WORDS and word not in INSTRUCTIONS]


def coverage(subject: str, response: str) -> float:
    """Share of the different content words of ``subject`` that ``response`` says; 1 if it has none."""
    expected = set(content_words(subject))
    return len(expected & set(content_words(response))) / len(expected) if expected else 1.0


def retrieve(prompts: Sequence[str], responses: Sequence[str], top: int = 1) -> Array:
    """(B,) float: the chance that the prompt of a response is among the ``top`` that are most like it.

    Response i belongs to prompt i * P // B, as n responses to each of P prompts stand one after another. Likeness is
    the cosine of bags of content words, weighted by log((1 + P) / (1 + p)) for a word in p prompts. Prompts that are
    equally like it are drawn in a random order, so a response that shares no word with any has the chance top / P.
    """
    bags = [Counter(content_words(prompt)) for prompt in prompts]
    vocabulary = {word: column for column, word in enumerate(sorted(set().union(*bags)))}
    rows = np.zeros((len(prompts), len(vocabulary)))
    for row, bag in zip(rows, bags, strict=True):
        for word, count in bag.items():
            row[vocabulary[word]] = count
    rows *= np.log((1 + len(prompts)) / (1 + (rows > 0).sum(axis=0)))
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    queries = np.zeros((len(responses), len(vocabulary)))
    for query, response in zip(queries, responses, strict=True):
        for word, count in Counter(content_words(response)).items():
            if word in vocabulary:
                query[vocabulary[word]] = count
    # A response's own weights and norm do not change the order of prompts, so its counts are enough.
    likeness = queries @ rows.T  # (B, P)
    target = np.arange(len(responses)) * len(prompts) // len(responses)
    right = likeness[np.arange(len(responses)), target][:, None]
    better, equal = (likeness > right + 1e-9).sum(axis=1), (np.abs(likeness - right) <= 1e-9).sum(axis=1)
    return np.clip((top - better) / equal, 0.0, 1.0)


def count_stock(responses: Sequence[str]) -> Array:
    """(B,) float: 1 for a response that holds a stock phrase such as "I'm glad you asked", else 0."""
    return np.array([float(STOCK.search(response.replace("\u2019", "'")) is not None) for response in responses])


def count_repeats(responses: Sequence[str], per_prompt: int = 1) -> Array:
    """(B,) int: to how many other prompts a response is given word for word; ``per_prompt`` responses to each."""
    texts = [" ".join(words(response)) for response in responses]
    prompts_by_text: dict[str, set[int]] = {}
    for index, text in enumerate(texts):
        prompts_by_text.setdefault(text, set()).add(index // per_prompt)
    return np.array([len(prompts_by_text[text]) - 1 for text in texts])


def prompt_text(dialogue: Dialogue) -> str:
    """The person's last message before the response; "" if there is none."""
    return next((message.content for message in reversed(dialogue.prompt) if message.role == "user"), "")
