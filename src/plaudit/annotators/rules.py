"""Annotators that judge texts by rules: small pure functions of a response, or of its prompt and it, to [0, 1].

``rule:ends_properly+brief*2+polite`` is the mean of three rules, the second counted twice; ``file.py:function`` may be
one of them. Rules replace people in a run that must be reproducible. A rule that is left out of the reward measures
what was not optimised.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit.annotators.answers import MARGIN, PAIRS, canonical, grade, pair_value, ranks, responses
from plaudit.annotators.draws import generator, sides
from plaudit.annotators.own_rules import own_rule
from plaudit.feedback.kinds.rating import SCALES
from plaudit.language.measures import repetition, words
from plaudit.language.readability import coleman_liau, flesch_kincaid
from plaudit.language.relevance import coverage, prompt_text
from plaudit.types import Answer, Dialogue, Item, PlauditError, Question

PREFIX = "rule:"
ANSWERED = (*PAIRS, "ranking", "rating", "thumbs")
Score = Callable[[str, str], float]  # of prompt and response

STOP = r"[.!?\u2026\u3002\uff01\uff1f]"  # of Latin and of Chinese and Japanese sentences
CLOSING = r"[\"'\u2019\u201d\u00bb)\]]*"  # quotes and brackets that a sentence closes
END = re.compile(rf"{STOP}{CLOSING}\s*\Z")
SENTENCE = re.compile(rf"{STOP}+{CLOSING}(?:\s+|\Z)")
FILE_RULE = re.compile(r"(?P<file>.+?\.py):\w*")
PART = re.compile(r"(?P<rule>[^+*?]*)(?:\*(?P<weight>[^+?]*))?(?P<more>[+?]?)")
COURTESY = re.compile(
    r"\b(?:please|thanks?|you're welcome|you are welcome|sorry|apologi[sz]e|happy to|glad to|kindly)\b", re.I
)
RUDE = re.compile(r"\b(?:stupid|idiots?|idiotic|dumb|moron|shut up|loser|pathetic|crap|damn|hate you)\b", re.I)
MARKUP = re.compile(
    r"^\s*(?:[-*+•]\s|\d+[.)]\s|#{1,6}\s|>|\|)"  # list items, headings, quotes, tables
    r"|\*\*|__|`|\]\(|</?[a-z][^>]*>"  # bold, code, links, tags
)
PREAMBLE = re.compile(
    r"\s*(?:as an ai\b|(?:i'?m|i am) (?:just |only )?an ai\b|as a language model\b|certainly\b|sure[,!. ]"
    r"|of course|absolutely|(?:that's a |what a )?(?:great|good|excellent|interesting) question)",
    re.I,
)


def says_something(text: str) -> bool:
    """Whether the text has a letter or a digit."""
    return any(character.isalnum() for character in text)


def ends_properly(text: str) -> float:
    """1 if the text ends with the end of a sentence, and not with a word that the limit cut."""
    return float(END.search(text) is not None)


def no_repetition(text: str) -> float:
    """1 if no four words in a row occur twice."""
    return 1.0 - float(repetition(words(text), 4) > 0)  # NaN for fewer than four words, which counts as none


def brief(text: str) -> float:
    """1 up to 25 words, then 25 over their number."""
    return min(1.0, 25 / max(len(words(text)), 1))


def complete(text: str) -> float:
    """1 for 5 to 60 words that end properly and repeat nothing. Intended as a held-out judge: see a run's ``judge``."""
    return float(5 <= len(words(text)) <= 60 and ends_properly(text) == no_repetition(text) == 1)


def polite(text: str) -> float:
    """0 with an insult, 1 with a word of courtesy, one half with neither."""
    return 0.0 if RUDE.search(text) else 1.0 if COURTESY.search(text) else 0.5


def plain(text: str) -> float:
    """The share of lines without lists, headings, tables, emphasis, code, links or tags."""
    lines = [line for line in text.splitlines() if line.strip()]
    return sum(MARKUP.search(line) is None for line in lines) / len(lines) if lines else 0.0


def direct(text: str) -> float:
    """0 if the text begins with a preamble: "As an AI", "Great question!", "Certainly"."""
    return float(PREAMBLE.match(text) is None)


def short_sentences(text: str) -> float:
    """1 up to a mean sentence length of 20 words, then 20 over that length."""
    sentences = [sentence for sentence in SENTENCE.split(text) if words(sentence)]
    return min(1.0, 20 * len(sentences) / max(len(words(text)), 1))


def readable(text: str) -> float:
    """1 up to the Flesch-Kincaid grade 3, 0 from grade 9, and evenly between."""
    grade = flesch_kincaid(text)
    return 0.0 if math.isnan(grade) else min(max((9 - grade) / 6, 0.0), 1.0)


def easy(text: str) -> float:
    """1 for at least 12 words of a Coleman-Liau grade of at most 4, which counts letters. For held-out judges."""
    return float(len(words(text)) >= 12 and coleman_liau(text) <= 4)


def on_topic(prompt: str, response: str) -> float:
    """The share of the prompt's content words that the response says; 1 for a prompt that has none."""
    return coverage(prompt, response)


def paragraph(text: str) -> float:
    """0 up to 12 words, 1 from 20 to 60, then 60 over their number; evenly between 12 and 20."""
    count = len(words(text))
    return min(max((count - 12) / 8, 0.0), 1.0, 60 / max(count, 1))


def explanation(prompt: str, response: str) -> float:
    """Product of ``readable``, ``on_topic``, ``paragraph`` and the share of four words in a row that are new.

    A response is worth as little as its weakest part. One without an end is worth a third.
    """
    tokens = words(response)
    new = 1 - repetition(tokens, 4) if len(tokens) >= 4 else 1.0
    product = readable(response) * on_topic(prompt, response) * paragraph(response) * new
    return (1 + 2 * ends_properly(response)) / 3 * product


def of_response(rule: Callable[[str], float]) -> Score:
    """A rule of the response alone as one of prompt and response."""
    return lambda prompt, response: rule(response)


RULES: Mapping[str, Score] = {
    rule.__name__: of_response(rule)
    for rule in (
        *(ends_properly, no_repetition, brief, complete, polite, plain, direct, short_sentences),
        *(readable, easy, paragraph),
    )
} | {rule.__name__: rule for rule in (on_topic, explanation)}


@dataclass(frozen=True)
class Rules:
    """An annotator that prefers the response with the higher weighted mean of some rules.

    Scores at most ``MARGIN`` apart are a tie. With ``mistake``, a question is answered with that probability as if
    every score s were 1 - s: the opposite answer, unless it was a tie.
    """

    name: str
    parts: tuple[tuple[Score, float], ...]  # rules and their weights
    mistake: float = 0.0
    seed: int = 0

    def score(self, prompt: str, response: str) -> float:
        """The weighted mean in [0, 1]; a response that says nothing, such as ".", has 0 by every rule."""
        if not says_something(response):
            return 0.0
        total = math.fsum(weight for _, weight in self.parts)
        return math.fsum(weight * rule(prompt, response) for rule, weight in self.parts) / total

    def judge(self, question: Question, items: Sequence[Item]) -> Answer:
        """Answer a question about responses; PlauditError if it is about anything else."""
        dialogues = responses(self.name, question, items, ANSWERED)
        scores = [self.score(prompt_text(dialogue), dialogue.response or "") for dialogue in dialogues]
        chance = generator(self.name, self.seed, question.id).random()
        if chance < self.mistake:
            scores = [1 - score for score in scores]
        value = canonical(question, self._value(question, scores))
        return Answer(value, order=sides(question.id, len(items), self.seed))

    def _value(self, question: Question, scores: Sequence[float]) -> dict[str, Any]:
        if question.kind == "rating":
            scales = question.options.get("scales", SCALES)
            return {"ratings": {name: grade(scores[0], *ends) for name, ends in scales.items()}}
        if question.kind == "thumbs":
            return {"thumb": "up" if scores[0] >= 0.5 else "down"}
        if question.kind == "ranking":
            value: dict[str, Any] = {"ranks": ranks(scores)}
            if question.options.get("ratings"):
                value["ratings"] = [grade(score, 1, 7) for score in scores]
            return value
        difference = scores[0] - scores[1]
        eight = question.options.get("scale") == "eight"
        strength = math.ceil(4 * abs(difference) - 1e-9) if eight else 4  # a plain choice has no degrees
        tie = abs(difference) <= MARGIN
        return pair_value(question, 0 if tie else int(math.copysign(strength, difference)), difference)


@dataclass(frozen=True)
class RuleCheck:
    """Whether a response has full marks by each of some rules."""

    rules: Rules

    @property
    def name(self) -> str:
        """The rules' name."""
        return self.rules.name

    def __call__(self, dialogue: Dialogue) -> bool:
        prompt, response = prompt_text(dialogue), dialogue.response or ""
        return says_something(response) and all(rule(prompt, response) >= 1 for rule, _ in self.rules.parts)


def rules(name: str, seed: int = 0) -> Rules:
    """The annotator that a name such as ``rule:brief*2+polite?mistake=0.1`` means.

    Raises:
        PlauditError: a rule, file or option is unknown, or a weight or a probability is invalid.
    """
    entries, options = _parts(name.removeprefix(PREFIX))
    parts: dict[str, float] = {}
    available: dict[str, Score] = dict(RULES)
    for rule, star, weight in entries:
        if rule not in available and ":" in rule:
            available[rule] = own_rule(rule)
        if rule not in available:
            raise PlauditError(
                f"{name}: there is no rule {rule!r}: choose from {', '.join(RULES)}, or file.py:function"
            )
        if rule in parts:
            raise PlauditError(f"{name}: {rule} stands there twice: write {rule}*2")
        parts[rule] = _number(name, f"the weight of {rule}", weight) if star else 1.0
        if not 0 < parts[rule] < math.inf:
            raise PlauditError(f"{name}: the weight of {rule} must be above 0, got {weight}")
    option, _, value = options.partition("=")
    if options and option != "mistake":
        raise PlauditError(f"{name}: there is no option {option!r}: write ?mistake=0.1, or leave it out")
    mistake = _number(name, "mistake", value) if options else 0.0
    if not 0 <= mistake <= 1:
        raise PlauditError(f"{name}: mistake is a probability, got {value}")
    return Rules(name, tuple((available[rule], weight) for rule, weight in parts.items()), mistake, seed)


def _parts(text: str) -> tuple[list[tuple[str, str, str]], str]:
    """Rules, each with a star if it has a weight and with that weight, and the options.

    The path of an existing file is all the text before ``.py:``, whatever characters it holds.
    """
    parts: list[tuple[str, str, str]] = []
    more = "+"
    while more == "+":
        file_rule = FILE_RULE.match(text)
        begin = file_rule.end() if file_rule and Path(file_rule["file"]).is_file() else 0
        part = PART.match(text, begin)
        assert part is not None  # the pattern matches any text
        rule, weight, more = text[: part.end("rule")], part["weight"], part["more"]
        parts.append((rule.strip(), "" if weight is None else "*", (weight or "").strip()))
        text = text[part.end() :].lstrip()
    return parts, text


def _number(name: str, quantity: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise PlauditError(f"{name}: {quantity} must be a number, got {text!r}") from None
