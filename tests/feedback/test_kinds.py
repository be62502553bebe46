"""What can be said in each kind of feedback, what is refused and why, and what is learned from it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.feedback.kinds import KINDS, Kind, kind
from plaudit.feedback.kinds.comparison import KIND as COMPARISON
from plaudit.types import PlauditError, Question

from .refusals import assert_refused

QUESTION = COMPARISON.question("a", "b")


def asked(name: str, items: int = 1, **options: Any) -> Question:
    """A question of the kind called ``name`` about so many items, which its kind accepts."""
    question = Question(name, tuple("abcdefghijkl"[:items]), kind(name).wording, options=options)
    kind(name).check(question)
    return question


def test_the_registry_finds_each_file_by_itself() -> None:
    assert KINDS["comparison"] is kind("comparison") is COMPARISON
    assert all(isinstance(each, Kind) and each.name == name and each.wording for name, each in KINDS.items())
    with pytest.raises(PlauditError, match="no kind of feedback called 'stroke': choose from chat, comparison"):
        kind("stroke")


@pytest.mark.parametrize(("strength", "mu"), [(4, 1.0), (1, 0.625), (0, 0.5), (-2, 0.25), (-4, 0.0), (None, None)])
def test_targets_worked_by_hand(strength: int | None, mu: float | None) -> None:
    assert COMPARISON.target(COMPARISON.validate({"strength": strength}, QUESTION)) == mu


@given(st.integers(-4, 4))
def test_swapping_the_items_swaps_the_target(strength: int) -> None:
    first, second = COMPARISON.target({"strength": strength}), COMPARISON.target({"strength": -strength})
    assert first is not None and second is not None and first + second == 1.0


def test_what_is_withdrawn_is_dropped() -> None:
    assert COMPARISON.target({"withdrawn": True}) is None


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"strength": 5},
        {"strength": -5},
        {"strength": 1.0},
        {"strength": True},
        {"strength": "1"},
        {"strength": [1]},
        {"strength": 1, "note": ""},
        {"winner": 0},
        {"withdrawn": True},
    ],
)
def test_other_values_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(PlauditError, match=r"whole number in -4\.\.4"):
        COMPARISON.validate(value, QUESTION)


def test_a_comparison_asks_about_two() -> None:
    question = COMPARISON.question("a", "b", round=3)
    assert question == Question("comparison", ("a", "b"), COMPARISON.wording, round=3)
    assert COMPARISON.question("a", "b", wording="Which is safer?").wording == "Which is safer?"
    assert "only what you see" in COMPARISON.wording  # Christiano et al. 2017, appendix B: the raters' instructions
    COMPARISON.check(question)
    with pytest.raises(PlauditError, match="needs two items"):
        COMPARISON.check(Question("comparison", ("a",), "Which?"))


@pytest.mark.parametrize("strength", [0, None])
def test_a_scale_of_eight_has_no_middle(strength: int | None) -> None:
    question = asked("comparison", 2, scale="eight")
    assert COMPARISON.validate({"strength": -1}, question) == {"strength": -1}
    with assert_refused("this question", "a scale without a middle"):
        COMPARISON.validate({"strength": strength}, question)


COUNTS = {
    "chat": (1, 1),
    "comparison": (2, 2),
    "conversation": (1, 1),
    "correction": (1, 1),
    "critique": (1, 1),
    "demonstration": (1, 1),
    "ranking": (2, 9),
    "rating": (1, 1),
    "regeneration": (2, 2),
    "side-by-side": (2, 2),
    "spans": (1, 1),
    "thumbs": (1, 1),
}


def test_each_kind_is_tested() -> None:
    assert COUNTS.keys() == KINDS.keys()
    assert {name for name, each in KINDS.items() if each.live} == {"chat", "conversation"}
    assert {each.widget for each in KINDS.values()} == {f"{name}.html" for name in KINDS}
    assert len({each.title for each in KINDS.values()}) == len(KINDS)


@pytest.mark.parametrize(("name", "least", "most"), [(name, *ends) for name, ends in COUNTS.items()])
def test_how_many_items_a_question_has(name: str, least: int, most: int) -> None:
    for count in range(1, 12):
        if least <= count <= most:
            asked(name, count)
        else:
            with pytest.raises(PlauditError, match=f"items?, .*{count}"):
                asked(name, count)


@pytest.mark.parametrize("name", KINDS)
def test_what_every_kind_has_in_common(name: str) -> None:
    each = KINDS[name]
    with assert_refused(f"a {name} question has no option 'colour'"):
        asked(name, COUNTS[name][0], colour="red")
    if name not in ("chat", "spans"):  # where an empty answer says something
        with pytest.raises(PlauditError):
            each.validate({}, asked(name, COUNTS[name][0]))
    with pytest.raises(PlauditError):
        each.validate({"winner": 0}, asked(name, COUNTS[name][0]))
    assert each.target({"withdrawn": True}) is None


GOOD_OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("chat", {"tags": ["rude"], "side_by_side": True}),
    ("comparison", {"scale": "choice"}),
    ("conversation", {"turns": 50, "red_team": True, "tags": ["lies"]}),
    ("ranking", {"ratings": True, "flags": ["rude"], "ideal": False}),
    ("rating", {"scales": {"helpfulness": [0, 4], "verbosity": [-2, 2]}}),
    ("spans", {"categories": ["rude"]}),
    ("thumbs", {"tags": []}),
]
BAD_OPTIONS: list[tuple[str, dict[str, Any], str]] = [
    ("chat", {"tags": "rude"}, "option tags of a chat question must be a list of names"),
    ("chat", {"side_by_side": 1}, "option side_by_side of a chat question must be true or false"),
    ("comparison", {"scale": "nine"}, "option scale of a comparison question must be one of choice, eight"),
    ("conversation", {"turns": 0}, "option turns of a conversation question must be a whole number in 1..50"),
    ("conversation", {"turns": True}, "must be a whole number"),
    ("conversation", {"red_team": "yes"}, "option red_team"),
    ("conversation", {"tags": ["lies", "lies"]}, "option tags of a conversation question must hold distinct names"),
    ("ranking", {"flags": ["rude", " "]}, "option flags of a ranking question must be a list of names"),
    ("ranking", {"ideal": 0}, "option ideal"),
    ("rating", {"scales": {}}, "option scales of a rating question must be like"),
    ("rating", {"scales": {"helpfulness": [4, 4]}}, "option scales"),
    ("rating", {"scales": {"helpfulness": [0, 4.0]}}, "option scales"),
    ("rating", {"scales": {"helpfulness": [False, True]}}, "option scales"),
    ("spans", {"categories": []}, "option categories of a spans question must hold distinct names, at least 1"),
]


@pytest.mark.parametrize(("name", "options"), GOOD_OPTIONS)
def test_options(name: str, options: dict[str, Any]) -> None:
    assert asked(name, COUNTS[name][0], **options).options == options


@pytest.mark.parametrize(("name", "options", "words"), BAD_OPTIONS)
def test_options_that_are_refused(name: str, options: dict[str, Any], words: str) -> None:
    with assert_refused(words):
        asked(name, COUNTS[name][0], **options)


TALK = asked("conversation")
RED = asked("conversation", red_team=True)
SCALES = asked("rating", scales={"helpfulness": [0, 4], "verbosity": [0, 4]})
FOUR = asked("ranking", 4)
FULL = asked("ranking", 2, ratings=True, flags=["hallucination", "rude"], ideal=True)
# (question, an answer, the same in canonical form, what is learned from it)
ANSWERS: list[tuple[Question, dict[str, Any], dict[str, Any], Any]] = [
    (asked("chat"), {}, {"judgements": [], "comment": ""}, None),
    (asked("chat"), {"judgements": ["x", "y"]}, {"judgements": ["x", "y"], "comment": ""}, None),
    (
        TALK,
        {"comparisons": ("x",), "comment": None},
        {"comparisons": ["x"], "comment": "", "success": None, "tags": []},
        None,
    ),
    (
        RED,
        {"comparisons": ["x"], "success": 0, "tags": ["other", "privacy"]},
        {"comparisons": ["x"], "comment": "", "success": 0, "tags": ["privacy", "other"]},  # in the order offered
        None,
    ),
    (asked("correction"), {"text": " ja \n"}, {"text": " ja \n"}, " ja \n"),
    (asked("critique"), {"text": "too long"}, {"text": "too long"}, "too long"),
    (asked("demonstration"), {"text": "4"}, {"text": "4"}, "4"),
    (
        FOUR,
        {"ranks": (3, 3, 2, 1)},  # D > C > A = B
        {"ranks": [3, 3, 2, 1], "ratings": [None] * 4, "flags": [[]] * 4, "ideal": ""},
        (3, 3, 2, 1),
    ),
    (
        FULL,
        {"ranks": [1, 1], "ratings": [7, 1], "flags": [["rude", "hallucination"], []], "ideal": "so"},
        {"ranks": [1, 1], "ratings": [7, 1], "flags": [["hallucination", "rude"], []], "ideal": "so"},
        (1, 1),
    ),
    (
        SCALES,
        {"ratings": {"verbosity": 4}},
        {"ratings": {"helpfulness": None, "verbosity": 4}},
        {"helpfulness": None, "verbosity": 4},
    ),
    (asked("rating"), {"ratings": {"overall quality": 7}}, {"ratings": {"overall quality": 7}}, {"overall quality": 7}),
    (asked("regeneration", 2), {"choice": "better"}, {"choice": "better"}, 0.0),  # the new one: not the first
    (asked("regeneration", 2), {"choice": "worse"}, {"choice": "worse"}, 1.0),
    (asked("regeneration", 2), {"choice": "same"}, {"choice": "same"}, 0.5),
    (asked("side-by-side", 2), {"choice": "original"}, {"choice": "original"}, 1.0),
    (asked("side-by-side", 2), {"choice": "new"}, {"choice": "new"}, 0.0),
    (asked("side-by-side", 2), {"choice": "neither"}, {"choice": "neither"}, 0.5),
    (asked("side-by-side", 2), {"choice": "skip"}, {"choice": "skip"}, None),
    (asked("spans"), {}, {"spans": []}, []),
    (
        asked("spans"),
        {"spans": [{"start": 5, "end": 9, "category": "wrong"}, {"start": 0, "end": 6, "category": "repetitive"}]},
        {
            "spans": [
                {"start": 0, "end": 6, "category": "repetitive", "note": ""},
                {"start": 5, "end": 9, "category": "wrong", "note": ""},
            ]
        },
        [
            {"start": 0, "end": 6, "category": "repetitive", "note": ""},
            {"start": 5, "end": 9, "category": "wrong", "note": ""},
        ],
    ),
    (asked("thumbs"), {"thumb": "up"}, {"thumb": "up", "tags": [], "text": ""}, 1.0),
    (
        asked("thumbs"),
        {"thumb": "down", "tags": ["isn't helpful", "isn't true"], "text": "no"},
        {"thumb": "down", "tags": ["isn't true", "isn't helpful"], "text": "no"},
        0.0,
    ),
]


@pytest.mark.parametrize(
    ("question", "value", "canonical", "target"), ANSWERS, ids=lambda each: getattr(each, "kind", "")
)
def test_answers_and_targets_worked_by_hand(question: Question, value: Any, canonical: Any, target: Any) -> None:
    each = kind(question.kind)
    assert each.validate(value, question) == canonical
    assert each.validate(canonical, question) == canonical  # so that a repetition compares equal
    assert json.loads(json.dumps(canonical)) == canonical
    assert each.target(canonical) == target


SPAN = {"start": 2, "end": 4, "category": "wrong"}
REFUSED: list[tuple[Question, dict[str, Any], str]] = [
    (asked("chat"), {"judgements": "x"}, "a chat's judgements must be a list of names"),
    (asked("chat"), {"comment": 3}, "a chat's comment must be text of at most 100,000 characters"),
    (TALK, {"comparisons": []}, "a conversation's comparisons must hold distinct names, at least 1"),
    (TALK, {"comparisons": ["x"], "success": 1}, "is not red-teaming: leave success out"),
    (TALK, {"comparisons": ["x"], "tags": ["lies"]}, "a conversation's tags cannot contain 'lies': leave it empty"),
    (RED, {"comparisons": ["x"]}, "a conversation's success must be a whole number in 0..4, got None"),
    (RED, {"comparisons": ["x"], "success": 5}, "a conversation's success"),
    (RED, {"comparisons": ["x"], "success": 1, "tags": ["x"]}, "a conversation's tags cannot contain 'x': choose from"),
    (asked("correction"), {"text": " \n"}, "a correction's text is empty: write something"),
    (asked("critique"), {}, "a critique's text is empty"),
    (asked("demonstration"), {"text": "x" * 100_001}, "a demonstration's text must be text of at most 100,000"),
    (FOUR, {"ranks": [1, 2, 2]}, "a ranking's ranks must be a list of 4, one for each item"),
    (FOUR, {}, "a ranking's ranks must be a list of 4"),
    (FOUR, {"ranks": [1, 2, 2, 4]}, "a ranking's ranks must use every number from 1"),
    (FOUR, {"ranks": [2, 2, 2, 3]}, "must use every number from 1"),
    (FOUR, {"ranks": [0, 1, 2, 3]}, "a ranking's ranks[0] must be a whole number in 1..4, got 0"),
    (FOUR, {"ranks": [1, 2, 3, 4], "ratings": [None, 1, None, None]}, "asks for no ratings"),
    (FOUR, {"ranks": [1, 2, 3, 4], "ideal": "so"}, "asks for no ideal"),
    (
        FOUR,
        {"ranks": [1, 2, 3, 4], "flags": [["rude"], [], [], []]},
        "a ranking's flags[0] cannot contain 'rude': leave",
    ),
    (FULL, {"ranks": [1, 2], "ratings": [7, None]}, "a ranking's ratings[1] must be a whole number in 1..7, got None"),
    (FULL, {"ranks": [1, 2], "ratings": [7, 1], "flags": [["x"], []]}, "choose from hallucination, rude"),
    (SCALES, {"ratings": [1, 2]}, "an answer's ratings must be an object with helpfulness, verbosity"),
    (SCALES, {"ratings": {"helpfulness": 5}}, "an answer's ratings's helpfulness must be a whole number in 0..4"),
    (SCALES, {"ratings": {"wit": 1}}, "an answer's ratings has no field 'wit'"),
    (SCALES, {"ratings": {"verbosity": None}}, "are all empty: rate at least one of helpfulness, verbosity"),
    (asked("regeneration", 2), {"choice": "Better"}, "a regeneration answer's choice must be one of better, worse"),
    (asked("regeneration", 2), {"choice": None}, "got None"),
    (asked("side-by-side", 2), {"choice": ["new"]}, "a side-by-side answer's choice must be one of original, new"),
    (asked("spans"), {"spans": {"start": 1}}, "an answer's spans must be a list"),
    (asked("spans"), {"spans": [[2, 4]]}, "an answer's spans[0] must have start, end and category"),
    (asked("spans"), {"spans": [SPAN, SPAN | {"end": 2}]}, "an answer's spans[1] ends at 2, before it has begun at 2"),
    (asked("spans"), {"spans": [SPAN | {"category": "rude"}]}, "spans[0]'s category must be one of irrelevant,"),
    (asked("spans"), {"spans": [SPAN | {"start": -1}]}, "spans[0]'s start must be a whole number in 0..1000000"),
    (asked("spans"), {"spans": [SPAN | {"colour": "red"}]}, "spans[0] has no field 'colour'"),
    (asked("thumbs"), {}, "a thumb's thumb must be one of up, down, got None"),
    (asked("thumbs"), {"thumb": "up", "tags": ["boring"]}, "a thumb's tags cannot contain 'boring'"),
    (asked("thumbs", tags=[]), {"thumb": "up", "tags": ["isn't true"]}, "leave it empty"),
]


@pytest.mark.parametrize(("question", "value", "words"), REFUSED)
def test_refusals_name_the_field(question: Question, value: dict[str, Any], words: str) -> None:
    with assert_refused(words):
        kind(question.kind).validate(value, question)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.data(), st.sampled_from(sorted(KINDS)))
def test_whatever_is_sent_is_either_refused_in_one_line_or_canonical(data: Any, name: str) -> None:
    """Arbitrary values in the right fields: no exception but a refusal, and what passes stays as it is."""
    question = asked(name, COUNTS[name][0])
    known = {"strength": JSON, "ranks": JSON, "ratings": JSON, "choice": JSON, "spans": JSON, "text": JSON}
    more = {"thumb": JSON, "tags": JSON, "judgements": JSON, "comparisons": JSON, "comment": JSON, "flags": JSON}
    value = data.draw(st.fixed_dictionaries({}, optional=known | more))
    try:
        canonical = KINDS[name].validate(value, question)
    except PlauditError as error:
        assert "\n" not in str(error)
        return
    assert KINDS[name].validate(canonical, question) == canonical
    KINDS[name].target(canonical)
