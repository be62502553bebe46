"""FineGrainedRLHF's qa-feedback: four outputs compared pair by pair, the first one marked, corrected, criticised.

Wu et al. 2023. The prompt is the question with its passages, each sentence numbered [passage.sentence], from which the
file's lists can be written again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, groupby
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import reply, texts, user
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Fields, Omissions, Record, Setting, make
from plaudit.types import Dialogue, Judgement

CATEGORIES = ("Irrelevant", "Redundant", "Unverifiable", "Wrong-Grounding", "Incoherent")
STRENGTHS = {0: 0, 1: 4, 2: -4}
PASSAGES = "\n\nPassages:"
SENTENCE = re.compile(r"\n\[(\d+)\.(\d+)\] ")
MISSING = re.compile(r"(.*): passage (\d+), sentence(?:s)? ([\d, ]+)")


class FineGrained(Format):
    """One object a prompt and annotator."""

    name = "fine-grained"
    title = "FineGrainedRLHF (qa-feedback)"
    suffixes = (".json", ".json.gz")
    kinds = ("comparison", "spans", "correction", "critique", "demonstration")
    array = True
    lossy: ClassVar[Mapping[str, str]] = {
        "feedback.errors": "come back in the order of the text",
        "feedback.missing-info": "kept as a critique, a line for each; other critiques are left out",
        "feedback.corrected-prediction": 'an empty one is no correction; no correction is written as ""',
        "prediction": "two that are the same are one",
        "preference": "strength is written as which of the two; can't tell as null",
        "gold": "kept as a demonstration",
        "annotator": "not in the file; one object is written for each",
        "model": "not written",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Predictions with feedback."""
        return {"question", "prediction 1", "preference"} <= set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """The comparisons, then what was said about the first output."""
        prompt = user(_prompt(row))
        names = [f"prediction {number}" for number in range(1, 10) if row.has(f"prediction {number}")]
        outputs = [reply(prompt, row.text(name)) for name in names]
        pairs, preferred = list(combinations(outputs, 2)), row.list("preference")
        if len(preferred) != len(pairs):
            raise row.fault("preference", f"must be {len(pairs)}, one for each pair of outputs, got {len(preferred)}")
        for index, (pair, preferred_side) in enumerate(zip(pairs, preferred, strict=True)):
            if preferred_side is not None and (type(preferred_side) is not int or preferred_side not in STRENGTHS):
                raise row.fault(f"preference[{index}]", f"must be 0, 1 or 2, got {preferred_side!r}")
            if pair[0].id == pair[1].id:
                continue
            value = {"strength": None if preferred_side is None else STRENGTHS[preferred_side]}
            yield make("comparison", pair, [Answer(setting.annotator, value)], setting)
        if row.has("feedback"):
            yield from _feedback(row.object("feedback"), outputs[0], setting)
        if row.text("gold", "").strip():
            answer = Answer(f"{setting.annotator}/gold", {"text": row.text("gold")})
            yield make("demonstration", [Dialogue(prompt)], [answer], setting)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One object for each run of questions about the same prompt, and each annotator."""
        for prompt, group in groupby(records, _prompt_of):
            expressible = [record for record in group if texts(record, left) is not None]
            if prompt is None:
                count = sum(len(record.judgements) for record in expressible)
                left.add("they are not about responses to a prompt of one turn", count)
                continue
            judged = [(record, judgement) for record in expressible for judgement in record.judgements]
            gold = [judgement for record, judgement in judged if _kind(record) == "demonstration"]
            left.add("they are further demonstrations for one prompt", len(gold[1:]))
            feedback_pairs = [(record, judgement) for record, judgement in judged if _kind(record) != "demonstration"]
            for annotator in dict.fromkeys(judgement.annotator for _, judgement in feedback_pairs):
                by_annotator = [
                    (record, judgement) for record, judgement in feedback_pairs if judgement.annotator == annotator
                ]
                yield _row(prompt, by_annotator, gold[:1], left)
            if gold and not feedback_pairs:
                left.add("they are demonstrations without another judgement of the prompt")


def _prompt(row: Fields) -> str:
    lines = [row.text("question")]
    for number, passage in enumerate(row.list("passages", ()), 1):
        if not isinstance(passage, list) or not all(isinstance(sentence, str) for sentence in passage):
            raise row.fault(f"passages[{number - 1}]", "must be a list of texts")
        lines += [f"\n[{number}.{index}] {sentence}" for index, sentence in enumerate(passage)]
    return lines[0] if len(lines) == 1 else lines[0] + PASSAGES + "".join(lines[1:])


def _question(prompt: str) -> dict[str, Any]:
    question, mark, rest = prompt.partition(PASSAGES)
    passages: list[list[str]] = []
    before, *parts = SENTENCE.split(rest)
    for number, index, sentence in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if int(index) == 0 and int(number) == len(passages) + 1:
            passages.append([sentence])
        elif passages and int(number) == len(passages) and int(index) == len(passages[-1]):
            passages[-1].append(sentence)
        else:  # no sentence of ours: a text that looks like one
            return {"question": prompt, "passages": []}
    return {"question": prompt, "passages": []} if mark and before else {"question": question, "passages": passages}


def _feedback(feedback: Fields, output: Dialogue, setting: Setting) -> Iterator[Record]:
    spans, length = [], len(output.response or "")
    for error in feedback.objects("errors"):
        start, end = error.whole("start"), error.whole("end")
        if not 0 <= start < end <= length:
            raise error.fault("end", f"and start must lie within the output's {length} characters, got {start}..{end}")
        span = {"start": start, "end": end, "category": error.text("error type")}
        spans.append({**span, "note": error.text("explanation", "")})
    names = {span["category"] for span in spans}
    categories = list(CATEGORIES) if names <= set(CATEGORIES) else [*CATEGORIES, *sorted(names - set(CATEGORIES))]
    yield make("spans", [output], [Answer(setting.annotator, {"spans": spans})], setting, {"categories": categories})
    lines = []
    for gap in feedback.objects("missing-info", ()):
        sentences = ", ".join(str(number) for number in gap.list("sentence_id"))
        plural = "s" if "," in sentences else ""
        lines.append(f"{gap.text('error type')}: passage {gap.whole('passage_id')}, sentence{plural} {sentences}")
    if lines:
        yield make("critique", [output], [Answer(setting.annotator, {"text": "\n".join(lines)})], setting)
    if feedback.text("corrected-prediction", "").strip():
        answer = Answer(setting.annotator, {"text": feedback.text("corrected-prediction")})
        yield make("correction", [output], [answer], setting)


def _kind(record: Record) -> str:
    return record.question.kind if record.question else ""


def _prompt_of(record: Record) -> str | None:
    prompts = {item.prompt for item in record.items if isinstance(item, Dialogue)}
    answered = all(isinstance(item, Dialogue) and item.response is not None for item in record.items)
    if len(prompts) != 1 or not (answered or _kind(record) == "demonstration"):
        return None
    (prompt,) = prompts
    return prompt[0].content if [message.role for message in prompt] == ["user"] else None


def _row(
    prompt: str, judged: Sequence[tuple[Record, Judgement]], gold: Sequence[Judgement], left: Omissions
) -> dict[str, Any]:
    """One annotator's object. The output that was marked comes first, for the file marks only that one."""
    first = next((record.items[0] for record, _ in judged if _kind(record) != "comparison"), None)
    outputs = {item.id: item for record, _ in judged for item in record.items if isinstance(item, Dialogue)}
    if isinstance(first, Dialogue):
        outputs = {first.id: first} | outputs
    positions = {identity: number for number, identity in enumerate(outputs)}
    preferred: dict[tuple[int, int], int | None] = {}
    feedback: dict[str, Any] = {"errors": [], "missing-info": [], "corrected-prediction": ""}
    for record, judgement in judged:
        if _kind(record) == "comparison":
            a, b = (positions[item.id] for item in record.items)
            strength = judgement.value["strength"]
            sign = None if strength is None else 0 if strength == 0 else 1 if (strength > 0) == (a < b) else 2
            preferred[min(a, b), max(a, b)] = sign
        elif record.items[0].id != (first.id if first else None):
            left.add("they mark another output than the first of its prompt")
        else:
            _mark(feedback, _kind(record), judgement, left)
    return {
        **_question(prompt),
        "gold": gold[0].value["text"] if gold else "",
        **{f"prediction {positions[output.id] + 1}": output.response for output in outputs.values()},
        "feedback": feedback,
        "preference": [preferred.get(pair) for pair in combinations(range(len(outputs)), 2)],
    }


def _mark(feedback: dict[str, Any], kind: str, judgement: Judgement, left: Omissions) -> None:
    value = judgement.value
    if kind == "correction":
        feedback["corrected-prediction"] = value["text"]
        return
    if kind == "spans":
        feedback["errors"] = [
            {"error type": span["category"], "explanation": span["note"], "start": span["start"], "end": span["end"]}
            for span in value["spans"]
        ]
        return
    lines = [MISSING.fullmatch(line) for line in value["text"].split("\n")]
    if all(lines):
        feedback["missing-info"] = [
            {
                "error type": line[1],
                "passage_id": int(line[2]),
                "sentence_id": [int(number) for number in line[3].split(",")],
            }
            for line in lines
            if line
        ]
    else:
        left.add("they are critiques in another form than that of missing information")


FORMAT = FineGrained()
