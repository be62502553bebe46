"""Small files of each format, with made-up contents: into a store, and out again as what stands beside them.

Where ``NAME.out.SUFFIX`` is missing, the file comes out byte for byte. ``PLAUDIT_WRITE_GOLDEN=1`` writes it.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from plaudit.feedback.formats import FORMATS, find_format, recognise
from plaudit.feedback.formats._files import rows
from plaudit.feedback.kinds import kind

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(path for path in GOLDEN.iterdir() if ".out." not in path.name)
WRITTEN = [path for path in FILES if FORMATS[path.name.split(".")[0]].kinds]  # the others are only read
BYTE_FOR_BYTE = {"hh-rlhf", "helpsteer2", "fine-grained", "plaudit"}


def form_of(file: Path) -> str:
    return file.name.split(".")[0]


def expected(file: Path) -> Path:
    out = file.with_name(file.name.replace(".", ".out.", 1))
    return out if out.exists() else file


def test_each_format_has_a_file():
    folders = {"minari", "lerobot"}  # which test_episodes makes
    assert {form_of(path) for path in FILES} | folders == set(FORMATS)
    assert {form_of(path) for path in WRITTEN if expected(path) == path} == BYTE_FOR_BYTE


@pytest.mark.parametrize("file", WRITTEN, ids=form_of)
def test_in_and_out(exchange_on_each, file: Path):
    result = exchange_on_each.load(file)
    assert result.format == form_of(file)  # told by its first object
    assert result.problems.count == 0 and result.accepted > 0
    written, exported = exchange_on_each.dump(result.format)
    if os.environ.get("PLAUDIT_WRITE_GOLDEN") and written != file.read_bytes():
        expected(file).with_name(file.name.replace(".", ".out.", 1)).write_bytes(written)
    if result.format != "plaudit":  # whose segments are deflated, by whichever zlib there is
        assert written.decode() == expected(file).read_bytes().decode()
    assert exported.left.reasons == {}


@pytest.mark.parametrize("file", FILES, ids=form_of)
def test_again_adds_nothing(exchange, file: Path):
    first = exchange.load(file)
    counts = exchange.store.counts()
    again = exchange.load(file)
    assert (again.questions, again.accepted, again.surplus) == (0, 0, 0)
    assert again.duplicates == first.accepted + first.surplus == counts.judgements
    assert exchange.store.counts() == counts


@pytest.mark.parametrize("file", WRITTEN, ids=form_of)
def test_what_was_written_is_read_as_the_same(exchange, second: Callable, file: Path):
    """Nothing more is lost the second time."""
    exchange.load(file)
    written, _ = exchange.dump(form_of(file))
    other = second()
    again = other.load(other.write(f"again{file.suffix}", written), form_of(file))
    assert again.problems.count == 0
    assert other.dump(form_of(file))[0] == written
    assert other.store.counts().effective == exchange.store.counts().effective


@pytest.mark.parametrize("file", [file for file in FILES if form_of(file) != "plaudit"], ids=form_of)
def test_nobody_is_asked_what_came_with_its_answers(exchange, file: Path):
    exchange.load(file, project="theirs")
    assert exchange.store.open_count() == 0 and exchange.store.claim("ann") == []
    questions = exchange.store.questions([each.question for each in exchange.store.judgements()])
    assert {each.project for each in questions} == {"theirs"}
    for question, judgement in zip(questions, exchange.store.judgements(), strict=True):
        assert kind(question.kind).validate(judgement.value, question) == judgement.value
        assert judgement.order == tuple(range(len(question.items)))


@pytest.mark.parametrize("file", FILES, ids=form_of)
def test_a_format_knows_its_own_and_no_other(file: Path):
    first = next(rows(file)).value
    assert recognise(first, file.name).name == form_of(file)


@pytest.mark.parametrize("file", [path for path in FILES if form_of(path) != "openassistant-messages"], ids=form_of)
@pytest.mark.parametrize("dropped", ["field", "object"])
def test_a_missing_field_is_named_and_stops_nothing_else(exchange, file: Path, dropped: str):
    """Each object once more, with its first needed field gone, or as a text: the rest is read as ever."""
    good = [row.value for row in rows(file)]
    whole = exchange.write("good.jsonl", *good)
    needed = {
        "alpaca-eval": "preference", "arena-csv": "response_a", "kto": "completion", "nectar": "answers",
        "pairwise": "preference", "prm800k": "label", "shp": "labels", "stepwise": "labels", "text": "text",
        "webgpt": "score_0", "rated": "rating", "prodigy": "accept", "math-shepherd": "label",
        "scored-responses": "responses", "processbench": "label", "multipref": "completion_a",
        "prism": "conversation_history", "helpsteer3-edits": "context", "corrections": "edited_response",
        "argilla": "prompt", "chatbot-arena": "winner", "fine-grained": "preference", "helpsteer2": "coherence",
        "helpsteer3": "response1", "hh-red-team": "transcript", "hh-rlhf": "chosen", "label-studio": "data",
        "messages": "messages", "openassistant": "prompt", "plaudit": "on", "preference": "rejected",
        "prompt-completion": "completion", "summarize-from-feedback": "info", "ultrafeedback": "completions",
        "ultrafeedback-binarized": "rejected",
    }[form_of(file)]  # fmt: skip
    victim = [row for row in good if needed in row][-1]
    if form_of(file) == "argilla":
        bad = {**victim, "preference.responses": 3}
        needed = "preference.responses"
    else:
        bad = {key: value for key, value in victim.items() if key != needed}
    spoiled = exchange.write("spoiled.jsonl", *good[:1], bad if dropped == "field" else "just text", *good[1:])
    result = exchange.load(spoiled, form_of(file))
    assert result.problems.count == 1
    (line,) = result.problems.first
    assert line.startswith("spoiled.jsonl, line 2: ")
    assert (f"field '{needed}'" in line) if dropped == "field" else ("is not JSON" in line)
    counts = exchange.store.counts()
    assert exchange.load(whole, form_of(file)).accepted == 0 and exchange.store.counts() == counts


def test_names():
    assert find_format("hh-rlhf").title == "HH-RLHF"
