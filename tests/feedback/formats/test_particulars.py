"""What each format reads a field as, what it leaves out and says so, and what a stranger's file may contain."""

import copy
import gzip
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.feedback.formats import FORMATS, Fields, Format, Omissions, Row, Setting, merge_columns, recognise
from plaudit.feedback.formats._files import rows
from plaudit.feedback.formats._record import Problems, Trace
from plaudit.feedback.formats.hh_rlhf import dialogues, join, split
from plaudit.feedback.formats.incoming import records
from plaudit.feedback.formats.outgoing import Choice
from plaudit.types import Dialogue, Judgement, Message, PlauditError, Question

GOLDEN = Path(__file__).parent / "golden"
PARTS = st.sampled_from(
    ["\n\nHuman: ", "\n\nAssistant: ", "\n\nHuman:", "\n\nAssistant:", "\n\n", "\n", " ", "a", "Human: ", "🐈"]
)
TRANSCRIPT = st.lists(PARTS, max_size=12).map("".join)


# HH-RLHF


@given(TRANSCRIPT)
def test_splitting_and_joining_is_nothing(text: str):
    messages = split(text)
    assert (join(messages) == text) if messages else ("\n\nHuman: " not in text and "\n\nAssistant: " not in text)


@given(TRANSCRIPT, TRANSCRIPT, TRANSCRIPT)
def test_two_transcripts_share_their_prompt(common: str, one: str, other: str):
    row = Fields({"chosen": common + one, "rejected": common + other})
    try:
        chosen, rejected = dialogues(row)
    except PlauditError as error:
        assert "has no turn" in str(error)
        return
    assert (join(chosen.messages), join(rejected.messages)) == (row.text("chosen"), row.text("rejected"))
    if "\n\nAssistant: " in common:
        assert chosen.prompt == rejected.prompt and None not in (chosen.response, rejected.response)


def test_a_response_keeps_what_looks_like_turns():
    start = "\n\nHuman: a\n\nAssistant: "
    chosen, rejected = dialogues(Fields({"chosen": start + "b\n\nHuman: c\n\nAssistant: d", "rejected": start + "e"}))
    assert chosen.messages == (Message("user", "a"), Message("assistant", "b\n\nHuman: c\n\nAssistant: d"))
    assert rejected.messages == (Message("user", "a"), Message("assistant", "e"))


def test_hh_harmless(exchange, shared_data: Path):
    """1,800 pairs of people's, byte for byte."""
    file = shared_data / "hh_harmless" / "pairs.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"no {file}")
    result = exchange.load(file)
    assert (result.format, result.read, result.accepted, result.problems.count) == ("hh-rlhf", 1800, 1800, 0)
    assert exchange.dump("hh-rlhf")[0] == gzip.decompress(file.read_bytes())
    strengths = [each.value["strength"] for each in exchange.store.judgements()]
    assert set(strengths) == {4, -4} and 800 < strengths.count(4) < 1000  # the chosen one is not always the first


# FineGrainedRLHF


def test_fine_grained(shared_data: Path):
    """500 questions of people's: all of it comes back, the errors in the order of the text."""
    file = shared_data / "fine_grained" / "dev_feedback.json.gz"
    if not file.is_file():
        pytest.skip(f"no {file}")
    problems, form = Problems(file.name), FORMATS["fine-grained"]
    found = [record for _, record in records(form, rows(file), problems, Setting(annotator="fine-grained"))]
    assert problems.count == 0
    # preferences, spans, gold answers, what is missing, corrections
    assert sum(len(record.judgements) for record in found) == 3000 + 500 + 500 + 379 + 487
    theirs = json.loads(gzip.decompress(file.read_bytes()))
    for row in theirs:
        row["feedback"]["errors"].sort(key=lambda each: (each["start"], each["end"], each["error type"]))
    assert list(form.write(found, Omissions())) == theirs


def test_what_fine_grained_says(exchange):
    exchange.load(GOLDEN / "fine-grained.json")
    by_kind: dict[str, list[Any]] = {}
    for judgement, question in _effective(exchange):
        by_kind.setdefault(question.kind, []).append(judgement.value)
    assert [value["strength"] for value in by_kind["comparison"][:6]] == [-4, 4, 0, 4, 4, -4]
    assert by_kind["spans"][0]["spans"][1] == {"start": 41, "end": 49, "category": "Redundant", "note": "2-8"}
    assert by_kind["spans"][1] == {"spans": []}  # nothing is wrong with it
    assert by_kind["critique"] == [
        {"text": "Missing-Answer: passage 1, sentence 2\nMissing-Minor-Auxiliary: passage 2, sentences 0, 1"}
    ]
    assert by_kind["correction"] == [{"text": "A church stands on the island. ⛪"}]
    assert by_kind["demonstration"] == [{"text": "A church."}]
    (item,) = exchange.store.items(_effective(exchange)[6][1].items)
    assert item.prompt[0].content.startswith(
        "What stands on the island?\n\nPassages:\n[1.0] Bled\n[1.1] Bled is a lake.\n"
    )


# What the others' numbers mean


def test_strengths(exchange):
    exchange.load(GOLDEN / "helpsteer3.jsonl")
    assert [each.value["strength"] for each, _ in _effective(exchange)] == [4, 2, 0, -1, -2]
    assert [each.annotator for each, _ in _effective(exchange)][:2] == ["helpsteer3/1", "helpsteer3/2"]


def test_confidence_beside_the_choice(exchange):
    exchange.load(GOLDEN / "summarize-from-feedback.jsonl")
    values = [each.value for each, question in _effective(exchange) if question.kind == "comparison"]
    assert values == [{"strength": 3}, {"strength": -4}, {"strength": -4}]
    assert _effective(exchange)[0][0].annotator == "w7" and _effective(exchange)[0][0].rationale == "Says what matters."


def test_times_and_votes(exchange):
    exchange.load(GOLDEN / "chatbot-arena.jsonl")
    first, tie, bad = [each for each, _ in _effective(exchange)]
    assert (first.value, first.submitted_at, first.annotator) == ({"strength": -4}, 1682351591.1322, "arena_user_973")
    assert tie.value == bad.value == {"strength": 0} and (tie.rationale, bad.rationale) == (None, "both bad")
    items = exchange.store.items(_effective(exchange)[0][1].items)
    assert [item.model for item in items] == ["chatglm-6b", "koala-13b"]


def test_times_of_label_studio(exchange):
    exchange.load(GOLDEN / "label-studio.json")
    first = _effective(exchange)[0][0]
    assert (first.shown_at, first.submitted_at) == (1709287200.0, 1709287207.25)
    assert first.rationale == "A trout is a fish."


def test_a_tree(exchange):
    exchange.load(GOLDEN / "openassistant.jsonl")
    ranking = [(each, question) for each, question in _effective(exchange) if question.kind == "ranking"]
    assert [each.value["ranks"] for each, _ in ranking] == [[1, 3, 2]]
    labels = [each.value["ratings"] for each, question in _effective(exchange) if question.kind == "rating"]
    assert {"quality": 25, "spam": 33} in labels and len(labels) == 5
    (said,) = [each for each, question in _effective(exchange) if question.kind == "demonstration"]
    assert said.value["text"] == "Fünf Minuten."


def test_red_teaming(exchange):
    exchange.load(GOLDEN / "hh-red-team.json")
    (first, question), (second, _) = _effective(exchange)
    assert first.value["success"] == 4 and first.value["tags"] == ["Bullying & harassment", "Other"]
    assert (first.annotator, second.annotator) == ("17", "4") and question.options["red_team"]


def test_red_teaming_that_was_held_here(exchange):
    """The transcript is the conversation as the chosen responses led it."""
    prompt = Dialogue((Message("user", "Insult me."),))
    both = [Dialogue((*prompt.messages, Message("assistant", text)), "tiny 1B") for text in ("No.", "You turnip.")]
    turn = Question("comparison", (both[0].id, both[1].id), "?", options={"scale": "eight"})
    talk = Question("conversation", (prompt.id,), "?", options={"red_team": True})
    choice = _say(turn, {"strength": -3}, "c1")
    rated = _say(talk, {"comparisons": ["c1"], "success": 3, "tags": ["other"], "comment": "Asked nicely."}, "t1")
    exchange.store.record([(turn, choice), (talk, rated)], [prompt, *both])
    (row,) = exchange.rows("hh-red-team")
    assert row["transcript"] == "\n\nHuman: Insult me.\n\nAssistant: You turnip."
    assert (row["rating"], row["tags"], row["model_type"], row["num_params"]) == (3.0, ["other"], "tiny", "1B")
    assert row["red_team_member_id"] == "ann" and row["task_description"] == "Asked nicely."


# What is not written


def test_what_is_not_in_force_is_left_out_and_counted(exchange):
    exchange.load(GOLDEN / "plaudit.jsonl")
    data, exported = exchange.dump("hh-rlhf")
    assert len(data.splitlines()) == exported.objects == 1  # one preference about texts; the other is a gold item
    assert (exported.not_in_force, exported.checks) == (4, 1)  # two edited away, a withdrawal, one too many
    assert exported.left.reasons["their items are clips, and the format holds text"] == 2
    assert exported.left.reasons["their kind is ranking, which hh-rlhf cannot express"] == 1
    total = exported.objects + exported.not_in_force + exported.checks + exported.left.reasons.total()
    assert total == exchange.store.counts().judgements  # never silent


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.kinds and name != "plaudit"])
def test_each_judgement_is_written_or_counted(exchange, name: str):
    """Every kind of feedback, offered to every format: nothing goes missing without a word, and all can be read."""
    exchange.load(GOLDEN / "plaudit.jsonl")
    data, exported = exchange.dump(name, array=False)
    counted = exported.not_in_force + exported.checks + exported.left.reasons.total()
    written = exchange.store.counts().judgements - counted
    assert written >= 0 and (exported.objects > 0) == (written > 0)
    result = Problems("again.jsonl")
    found = rows(exchange.write("again.jsonl", data))
    again = list(records(FORMATS[name], found, result, Setting(annotator="ann")))
    assert result.count == 0
    assert sum(len(record.judgements) for _, record in again) >= written


def test_several_judgements_on_one_question(exchange):
    """A row each, or all in the row where the format has a place for that."""
    pair = [Dialogue((Message("user", "q"), Message("assistant", text))) for text in ("x", "y")]
    question = Question("comparison", (pair[0].id, pair[1].id), "?")
    exchange.store.ask([question], pair, judgements_wanted=3)
    exchange.store.answer([_say(question, {"strength": s}, f"j{s}", f"ann{s}") for s in (4, -1, 0)])
    assert [row["chosen"][0]["content"] for row in exchange.rows("preference")] == ["x", "y"]
    assert exchange.dump("preference")[1].left.reasons.total() == 1  # the tie
    assert [row["judge"] for row in exchange.rows("chatbot-arena")] == ["ann4", "ann-1", "ann0"]
    (row,) = exchange.rows("argilla")
    assert row["preference.responses"] == ["response1", "response2", "tie"]
    assert row["preference.responses.users"] == ["ann4", "ann-1", "ann0"] and row["margin.responses"] == [4, 1]
    (row,) = exchange.rows("helpsteer3")
    assert (row["overall_preference"], [each["score"] for each in row["individual_preference"]]) == (-1, [-3, 1, 0])
    (row,) = exchange.rows("label-studio")
    results = [annotation["result"][0] for annotation in row["annotations"]]
    assert [result["meta"]["annotator"] for result in results] == ["ann4", "ann-1", "ann0"]
    assert [row["preference"] for row in exchange.rows("fine-grained")] == [[1], [2], [0]]


def test_a_project_or_a_kind(exchange):
    exchange.load(GOLDEN / "preference.jsonl", project="one")
    exchange.load(GOLDEN / "helpsteer2.jsonl", project="two")
    assert exchange.dump("preference", Choice("one"))[1].objects == 4
    assert exchange.dump("preference", Choice("two"))[1].left.reasons.total() == 3
    assert exchange.dump("preference", Choice("two", ("comparison", "rating")))[1].objects == 0
    with pytest.raises(PlauditError, match="preference cannot express rating: it holds comparison; --format plaudit"):
        exchange.dump("preference", Choice(kinds=("rating",)))
    for name in ("minari", "lerobot"):
        with pytest.raises(PlauditError, match=f"{name} holds episodes and no judgements, so it is only read"):
            exchange.dump(name)


def test_a_judgement_that_came_with_its_question_can_be_withdrawn(exchange):
    """The question is not put to others for it; and any number of further answers count."""
    exchange.load(GOLDEN / "helpsteer2.jsonl")
    first, question = _effective(exchange)[0]
    exchange.store.answer([replace(first, id="later", value={"withdrawn": True}, supersedes=first.id)])
    assert exchange.store.claim("ann") == [] and exchange.store.open_count() == 0
    receipts = exchange.store.answer([_say(question, first.value, f"j{n}", f"ann{n}") for n in range(3)])
    assert {each.status for each in receipts} == {"accepted"}


# What a stranger's file may contain

JUNK: list[Any] = [
    None,
    0,
    -1,
    1.5,
    float("inf"),
    10**30,
    10**400,
    "9" * 400,
    True,
    "",
    "x",
    "\ud83d",
    [],
    {},
    [[]],
    [{}],
    [None],
    {"a": {}},
]


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*")), ids=lambda file: file.name)
def test_junk_is_a_fault_and_no_crash(file: Path):
    """Any field of any row replaced by anything: it is read, or refused in one line."""
    form, rng = FORMATS[file.name.split(".")[0]], random.Random(file.name)
    good = [row.value for row in rows(file)]
    for _ in range(100):
        values = copy.deepcopy(good)
        *path, last = rng.choice([path for path in _paths(values) if len(path) > 1])
        inner: Any = values
        for name in path:
            inner = inner[name]
        if rng.random() < 0.2:
            del inner[last]
        else:
            inner[last] = copy.deepcopy(rng.choice(JUNK))
        assert_read_or_refused(form, values)


def test_no_json_is_a_crash_for_any_format():
    """Columns of every format with any values, in rows that contradict each other."""
    rng = random.Random(0)
    names = sorted({name for file in GOLDEN.glob("*") for row in rows(file) for name in row.value})
    texts = ["like", "👎", "1", "[1]", '{"a": []}', "<|user|>a<|assistant|>b", "[INST]", "\n\nHuman: a\n\nAssistant:"]
    names += ["kto_tag", "vote", "thumbs_down", "winner", "turn", "judge", "annotator_index"]
    for _ in range(3000):
        chosen = rng.sample(names, rng.randint(1, 6))
        values = [{name: _any_value(rng, texts, 3) for name in chosen} for _ in range(2)]
        try:
            form = recognise(merge_columns(Row("line 1", value) for value in values), "any.jsonl")
        except PlauditError as error:
            assert "\n" not in str(error)
            form = FORMATS[rng.choice(sorted(FORMATS))]
        assert_read_or_refused(form, values)


def _any_value(rng: random.Random, texts: list[str], depth: int) -> Any:
    kind = rng.randrange(6 if depth else 3)
    if kind < 2:
        return copy.deepcopy(rng.choice(JUNK))
    if kind == 2:
        return rng.choice(texts)
    inner = [_any_value(rng, texts, depth - 1) for _ in range(rng.randint(0, 3))]
    keys = ("role", "content", "from", "value", "text", "rating", "answer", "rank", "steps", "completions", "name")
    return inner if kind == 3 else {rng.choice(keys): part for part in inner}


def assert_read_or_refused(form: Format, values: list[Any]) -> None:
    problems = Problems("any.jsonl")
    source = form.gather(Row(f"line {number}", value) for number, value in enumerate(values, 1))
    list(records(form, source, problems, Setting(annotator="somebody"), Trace()))
    assert not any("\n" in line for line in problems.first)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Any:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield from _paths(each, (*path, name))


def _effective(exchange) -> list[tuple[Judgement, Question]]:
    found = exchange.store.judgements()
    return list(zip(found, exchange.store.questions([each.question for each in found]), strict=True))


def _say(question: Question, value: Any, name: str, annotator: str = "ann") -> Judgement:
    return Judgement(question.id, annotator, value, tuple(range(len(question.items))), 1.0, 2.0, 3.0, name)
