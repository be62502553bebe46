"""Rules: scores worked by hand, an answer to every kind of question about responses, errors, the queue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plaudit.annotators.answers import grade, ranks
from plaudit.annotators.rules import ANSWERED, RULES, RuleCheck, Rules, rules
from plaudit.annotators.text import text_annotator, text_rule
from plaudit.annotators.worker import drain
from plaudit.feedback.kinds import KINDS
from plaudit.interfaces import Annotator
from plaudit.types import Dialogue, Message, PlauditError, Question

from .test_worker import cut

PROMPT = (Message("user", "What is tea?"),)


def words(count: int) -> str:
    """Words that do not repeat, in one sentence."""
    return " ".join(f"word{number}" for number in range(count)) + "."


def answers(*texts: str) -> list[Dialogue]:
    return [Dialogue((*PROMPT, Message("assistant", text))) for text in texts]


def ask(kind: str, items: list[Dialogue], **options: object) -> Question:
    question = Question(kind, tuple(each.id for each in items), "Which?", options=options)
    KINDS[kind].check(question)
    return question


SCORES = [
    ("ends_properly", "Yes.", 1),
    ("ends_properly", "Yes?!\n", 1),
    ("ends_properly", 'He said "no."', 1),
    ("ends_properly", "Tea (green.)", 1),
    ("ends_properly", "茶です。", 1),
    ("ends_properly", "Tea is", 0),
    ("ends_properly", "Two kinds:", 0),
    ("ends_properly", "", 0),
    ("no_repetition", "one two three one two three", 1),  # its 4-grams: 123 1, 23 1 2, 3 1 2 3
    ("no_repetition", "one two three four. One, two: three four", 0),
    ("no_repetition", "one two", 1),
    ("brief", words(25), 1),
    ("brief", words(50), 0.5),
    ("brief", words(100), 0.25),
    ("brief", "-".join(["a"] * 50), 0.5),  # words, whatever stands between them
    ("brief", "don't - 'tis " * 10, 1),  # 20 words, and a dash is none
    ("brief", "茶" * 100, 0.5),  # two characters of Chinese are a word
    ("complete", "茶是一种饱含文化的饮料。", 1),
    ("complete", "茶です。", 0),
    ("complete", words(5), 1),
    ("complete", words(60), 1),
    ("complete", words(4), 0),
    ("complete", words(61), 0),
    ("complete", words(20)[:-1], 0),
    ("complete", "yes it is so. yes it is so.", 0),
    ("polite", "Thanks for asking.", 1),
    ("polite", "Tea is a plant.", 0.5),
    ("polite", "Thanks, you idiot.", 0),
    ("polite", "The idiotically simple pleased crowd.", 0.5),  # parts of words are no words
    ("plain", "- one\n- two\n\nthree\nfour", 0.5),
    ("plain", "1. one", 0),
    ("plain", "Some **bold** text", 0),
    ("plain", "2 - 1 < 3 and 3 > 2", 1),
    ("plain", "", 0),
    ("direct", "Great question! Tea is a plant.", 0),
    ("direct", "As an AI, I do not drink.", 0),
    ("direct", "I'm an AI.", 0),
    ("direct", "Surely tea is a plant. Certainly.", 1),
    ("short_sentences", words(20), 1),
    ("short_sentences", words(40), 0.5),
    ("short_sentences", f"{words(40)} {words(40)} {words(20)}", 0.6),  # 3 sentences of 100 words
    ("short_sentences", "It costs 3.50 in all.", 1),
    ("readable", "The cat sat on the mat.", 1),
    ("readable", "Utility", 0),  # one word of four syllables: grade 32
    ("readable", "", 0),
    ("easy", "The cat sat on the mat and then it ran off home.", 1),  # 12 words
    ("easy", "The cat sat on the mat and then it ran home.", 0),
    (
        "easy",
        "Considerable quantities of precipitation accumulate throughout particularly mountainous regions "
        "every single winter.",
        0,
    ),
    ("paragraph", words(12), 0),
    ("paragraph", words(16), 0.5),
    ("paragraph", words(20), 1),
    ("paragraph", words(60), 1),
    ("paragraph", words(120), 0.5),
]


@pytest.mark.parametrize(("rule", "text", "score"), SCORES)
def test_a_rule_by_hand(rule: str, text: str, score: float) -> None:
    assert RULES[rule]("What is tea?", text) == pytest.approx(score)


MOON = "Explain the moon landing to a 6 year old."


@pytest.mark.parametrize(
    ("prompt", "text", "share"),
    [
        (MOON, "A rocket landed on the moon.", 1),  # "landing" and "landed" are one word
        (MOON, "The moon is far away.", 0.5),
        (MOON, "Six years ago an old child explained it.", 0),  # the words of the request are not its topic
        ("Why is it so?", "Because.", 1),  # nothing to keep to
        ("Explain the cat's tail.", "Cats have tails.", 1),
    ],
)
def test_on_topic_by_hand(prompt: str, text: str, share: float) -> None:
    assert RULES["on_topic"](prompt, text) == share


def test_an_explanation_must_say_something_about_the_prompt_and_end() -> None:
    """The whole rule by hand: a product of its parts, and a third of that without an end."""
    text = "A rocket flew to the moon. Two men got out. They took a walk and they came back home at the end."
    assert RULES["explanation"](MOON, text) == pytest.approx(0.5)  # the moon, and no landing
    assert RULES["explanation"](MOON, text.removesuffix(".")) == pytest.approx(0.5 / 3)
    assert RULES["explanation"](MOON, "The moon landing was fun.") == 0  # too short for any credit
    assert RULES["explanation"]("Explain tea.", text) == 0  # the same words to another prompt
    loop = "The moon is a big rock. " * 4  # 24 words, and 21 fours of words, of which 6 are new
    assert RULES["explanation"](MOON, loop) == pytest.approx(0.5 * 6 / 21)


def test_every_rule_stays_in_bounds() -> None:
    for text in ("", " ", "?", "\n\n", words(500), "- " * 400, "a\0b", "ok " * 300):
        assert all(0 <= rule(prompt, text) <= 1 for prompt in ("", "Tea?") for rule in RULES.values())
    assert {rule for rule, _, _ in SCORES} | {"on_topic", "explanation"} == set(RULES)


def test_the_weighted_mean_decides() -> None:
    found = rules("rule:brief*3+polite")
    assert found.score("", words(50)) == pytest.approx((3 * 0.5 + 0.5) / 4)
    assert found.score("", "  \n") == 0  # by brief alone, nothing would be best
    for text in (".", "...!", "_", "\U0001f44d"):  # full marks by most rules, and a policy would find them
        assert [rules(f"rule:{name}").score("", text) for name in RULES] == [0] * len(RULES)
        assert not RuleCheck(rules("rule:brief+ends_properly"))(*answers(text))
    assert isinstance(found, Annotator) and found.name == "rule:brief*3+polite"


OWN = """
from math import inf

def short(text: str) -> float:
    return 1 / max(len(text), 1)

def sure(text):
    return True

def rating(text):
    return len(text)

def word(text):
    return "good"

def nothing(text):
    return {}[text]

def asks(prompt):
    return prompt.endswith("?")

def swapped(response, prompt):
    return response == "four" and prompt == "two and two?"

def both(question, answer):
    return swapped(answer, question)

def three(one, two, three):
    return 1

number = 3
"""


def test_a_rule_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own rules.py"
    path.write_text(OWN)
    name = f"rule:{path}:short*3+brief?mistake=0"
    found = text_annotator(name)
    assert isinstance(found, Rules) and found.name == name
    assert found.score("", "four") == pytest.approx((3 * 0.25 + 1) / 4)
    assert rules(f"rule:{path}:sure").score("", "four") == 1
    for function, complaint in (
        ("rating", "gave 4 for 'four': return a number from 0 to 1"),
        ("word", "gave 'good' for 'four'"),
        ("nothing", "failed on 'four': KeyError: 'four'"),
    ):
        with pytest.raises(PlauditError, match=complaint):
            rules(f"rule:{path}:{function}").score("", "four")
    for function in ("asks", "swapped", "both"):
        rule = rules(f"rule:{path}:{function}")
        assert [rule.score("two and two?", "four"), rule.score("two.", "five")] == [1, 0]
    with pytest.raises(PlauditError, match="three takes 3 arguments: write a function of response, or of prompt and"):
        rules(f"rule:{path}:three")
    for function in ("missing", "number", ""):
        with pytest.raises(PlauditError, match=r"own rules\.py has no function"):
            rules(f"rule:{path}:{function}")
    path.write_text("1 / 0")
    with pytest.raises(PlauditError, match=r"own rules\.py fails when it is run: ZeroDivisionError: division by zero"):
        rules(f"rule:{path}:short")


def test_a_rule_in_a_file_with_annotations_that_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "c++ *or* what?.py"
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        "@dataclass\nclass Found:\n    score: float\n\n"
        "def half(text):\n    return Found(0.5).score\n"
    )
    found = rules(f"rule:brief*3+{path}:half*2 + polite?mistake=0.25")
    assert found.score("", "Tea.") == pytest.approx((3 * 1 + 2 * 0.5 + 0.5) / 6) and found.mistake == 0.25
    assert [weight for _, weight in found.parts] == [3, 2, 1]


def test_full_marks() -> None:
    satisfied = text_rule("rule:complete")
    assert satisfied is not None
    assert [satisfied(dialogue) for dialogue in answers(words(9), words(3), "")] == [True, False, False]
    both = text_rule("rule:brief+polite")
    assert both is not None and [both(dialogue) for dialogue in answers("Thanks.", "Tea.")] == [True, False]
    assert both.name == "rule:brief+polite"  # type: ignore[attr-defined]
    assert text_rule("ai:local") is None


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("rule:", "no rule ''"),
        ("rule:kind", "no rule 'kind': choose from ends_properly"),
        ("rule:missing.py:kind", "no Python file missing.py"),
        ("rule:pyproject.toml:kind", "no Python file pyproject.toml"),
        ("rule:brief+brief", "twice"),
        ("rule:brief*x", "weight of brief must be a number"),
        ("rule:brief*0", "above 0"),
        ("rule:brief*nan", "above 0"),
        ("rule:brief?mistake=2", "probability"),
        ("rule:brief?mistake=nan", "probability"),
        ("rule:brief?mistake", "must be a number"),
        ("rule:brief?noise=1", "no option 'noise'"),
        ("brief", "no annotator of texts"),
    ],
)
def test_a_name_that_is_none(name: str, complaint: str) -> None:
    with pytest.raises(PlauditError, match=complaint):
        text_annotator(name)


LONG, LONGER, SAME = words(50), words(100), words(26)  # brief: 0.5, 0.25 and 25/26, which ties with 1
SHORT = words(25)

BY_HAND = [
    ("comparison", (SHORT, LONG), {}, {"strength": 4}),
    ("comparison", (LONG, SHORT), {}, {"strength": -4}),
    ("comparison", (SHORT, SAME), {}, {"strength": 0}),
    ("comparison", (SHORT, LONG), {"scale": "choice"}, {"strength": 4}),
    ("comparison", (SHORT, LONG), {"scale": "eight"}, {"strength": 2}),  # half of the way
    ("comparison", (LONGER, SHORT), {"scale": "eight"}, {"strength": -3}),
    ("comparison", (SHORT, SAME), {"scale": "eight"}, {"strength": 1}),  # has no middle: the better by a hair
    ("regeneration", (SHORT, LONG), {}, {"choice": "worse"}),
    ("regeneration", (LONG, SHORT), {}, {"choice": "better"}),
    ("regeneration", (SAME, SHORT), {}, {"choice": "same"}),
    ("side-by-side", (SHORT, LONG), {}, {"choice": "original"}),
    ("side-by-side", (LONG, SHORT), {}, {"choice": "new"}),
    ("side-by-side", (SAME, SHORT), {}, {"choice": "neither"}),
    (
        "ranking",
        (LONG, SHORT, LONGER, SAME),
        {},
        {"ranks": [2, 1, 3, 1], "ratings": [None] * 4, "flags": [[]] * 4, "ideal": ""},
    ),
    (
        "ranking",
        (LONG, SHORT, LONGER, SAME),
        {"ratings": True, "ideal": True, "flags": ["hallucination"]},
        {"ranks": [2, 1, 3, 1], "ratings": [4, 7, 3, 7], "flags": [[]] * 4, "ideal": ""},
    ),
    ("rating", (LONG,), {}, {"ratings": {"overall quality": 4}}),
    (
        "rating",
        (LONGER,),
        {"scales": {"helpfulness": [0, 4], "style": [1, 5]}},
        {"ratings": {"helpfulness": 1, "style": 2}},
    ),
    ("thumbs", (LONG,), {}, {"thumb": "up", "tags": [], "text": ""}),
    ("thumbs", (LONGER,), {}, {"thumb": "down", "tags": [], "text": ""}),
]


@pytest.mark.parametrize(("kind", "texts", "options", "value"), BY_HAND)
def test_an_answer_by_hand(kind, texts, options, value) -> None:
    items = answers(*texts)
    question = ask(kind, items, **options)
    answer = rules("rule:brief").judge(question, items)
    assert dict(answer.value) == value
    assert KINDS[kind].validate(answer.value, question) == value
    assert sorted(answer.order) == list(range(len(items)))


def test_all_its_kinds_are_tried() -> None:
    assert {kind for kind, *_ in BY_HAND} == set(ANSWERED)


def test_ties_do_not_chain() -> None:
    assert ranks([1.0, 0.96, 0.92]) == [1, 1, 2]  # the third is close to the second and not to the best
    assert ranks([0.95, 1.0]) == [1, 1] and ranks([0.94, 1.0]) == [2, 1]
    assert ranks([0.2, 0.2, 0.2]) == [1, 1, 1]
    assert [grade(each, 1, 7) for each in (0.0, 1 / 12, 0.5, 1.0)] == [1, 2, 4, 7]


def test_an_exact_tie_on_a_scale_without_a_middle_is_a_coin() -> None:
    found = []
    for number in range(60):
        items = answers(f"Tea {number}.", f"Herb {number}.")
        question = ask("comparison", items, scale="eight")
        said = [rules("rule:brief").judge(question, items).value["strength"] for _ in range(2)]
        assert said[0] == said[1]
        found.append(said[0])
    assert set(found) == {-1, 1} and 15 < found.count(1) < 45


def test_mistakes_are_the_questions_own() -> None:
    always, never, some, other = (
        rules(name, seed)
        for name, seed in (
            ("rule:brief?mistake=1", 0),
            ("rule:brief?mistake=0", 0),
            ("rule:brief?mistake=0.1", 0),
            ("rule:brief?mistake=0.1", 1),
        )
    )
    wrong: dict[int, list[int]] = {0: [], 1: []}
    for number in range(400):
        items = answers(f"Tea {number}.", f"{number} {LONG}")
        question = ask("comparison", items)
        assert always.judge(question, items).value == {"strength": -4}
        assert never.judge(question, items).value == {"strength": 4}
        for annotator in (some, other):
            if annotator.judge(question, items).value == {"strength": -4}:
                wrong[annotator.seed].append(number)
    assert all(20 < len(each) < 65 for each in wrong.values())  # 40 +- 4 standard deviations
    assert wrong[0] != wrong[1]
    items = answers(LONG, SHORT, LONGER, SAME)
    assert always.judge(ask("ranking", items), items).value["ranks"] == [2, 3, 1, 3]
    assert always.judge(ask("rating", items[2:3]), items[2:3]).value == {"ratings": {"overall quality": 6}}  # 0.75


def test_what_is_no_question_about_responses_is_refused() -> None:
    annotator = rules("rule:brief")
    prompt = Dialogue(PROMPT)
    for items in ([cut(0), cut(1)], [*answers("Tea."), prompt]):
        question = Question("comparison", tuple(each.id for each in items), "Which?")
        with pytest.raises(PlauditError, match="something that is no response"):
            annotator.judge(question, items)
    items = answers("Tea.")
    with pytest.raises(PlauditError, match="is a critique of responses; this annotator answers comparison"):
        annotator.judge(ask("critique", items), items)


def test_the_queue_is_drained_as_people_would(text_store) -> None:
    items = answers(LONG, SHORT, LONGER, SAME)
    questions = [ask("ranking", items), ask("comparison", items[:2]), ask("rating", items[2:3])]
    assert text_store.ask(questions, items) == 3
    assert drain(text_store, rules("rule:brief")) == 3
    found = {each.question: each for each in text_store.judgements()}
    assert [found[each.id].annotator for each in questions] == ["rule:brief"] * 3
    assert KINDS["ranking"].target(found[questions[0].id].value) == (2, 1, 3, 1)
    assert KINDS["comparison"].target(found[questions[1].id].value) == 0.0
    assert text_store.counts().open == 0


def test_the_page_lists_every_rule() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "ai-feedback.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(RULES)
