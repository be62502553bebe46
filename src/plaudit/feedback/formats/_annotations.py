"""What one person said about one task of Label Studio's, as records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from plaudit.feedback.formats._dialogues import reply
from plaudit.feedback.formats._labeling import TaskData, parse_side
from plaudit.feedback.formats._record import Answer, Fault, Fields, Record, Setting, make
from plaudit.types import Dialogue

TEXT_KINDS = ("correction", "critique", "demonstration")
RATIONALES = ("rationale", "reason", "reasons", "reasoning", "explanation", "justification", "why")
SCALE = [0, 10]  # Label Studio does not write where a scale ends
UNSURE = {"tie": 0, "can't tell": None}
THUMBS = ("up", "down")
Entry = tuple[str, list[Dialogue], dict[str, Any], dict[str, Any] | None]  # kind, items, value, options


class Annotation:
    """One person's results on one task."""

    def __init__(self, data: TaskData, annotation: Fields, setting: Setting) -> None:
        self._data, self._setting = data, setting
        self._prompt = data.prompt()
        self._results = annotation.objects("result", ())
        self._submitted = _moment(annotation)
        self._shown_at = self._submitted - (annotation.number("lead_time", 0.0) if self._submitted else 0.0)
        self._annotator = _annotator(annotation, self._results, setting)
        self._omitted: list[str] = []
        self._reasons: list[str] = []
        self._pair: tuple[str, str] | None = None
        self._preference: dict[str, int | None] = {}  # side (1 the first, -1 the second), size, choice (a strength)
        self._whole: list[Entry] = []  # texts and rankings, each from one result
        self._ratings: dict[str, dict[str, int]] = {}
        self._spans: dict[str, list[dict[str, Any]]] = {}
        self._thumbs: dict[str, dict[str, Any]] = {}

    def records(self, categories: Sequence[str], scales: Mapping[str, Any]) -> Iterator[Record]:
        """Everything in it that has a place; the rest is counted by the trace.

        Raises:
            Fault: nothing in it has a place, or a value is not what its type demands.
        """
        for result in self._results:
            self._take(result)
        entries = list(self._entries(categories, scales))
        if not entries and self._omitted:
            raise Fault(self._omitted[0])
        for kind, items, value, options in entries:
            rationale = "\n".join(self._reasons) or None
            answer = Answer(self._annotator, value, rationale, self._shown_at, self._submitted)
            yield make(kind, items, [answer], self._setting, options)

    def _entries(self, categories: Sequence[str], scales: Mapping[str, Any]) -> Iterator[Entry]:
        if self._pair is not None:
            items = [self._find_response(name) for name in self._pair]
            yield "comparison", items, {"strength": self._strength()}, None
        yield from self._whole
        for target, points in self._ratings.items():
            yield "rating", [self._find_response(target)], {"ratings": points}, {"scales": dict(scales)}
        for target, marked in self._spans.items():
            options = {"categories": list(categories)} if categories else None
            yield "spans", [self._find_response(target)], {"spans": marked}, options
        for target, thumb in self._thumbs.items():
            if "thumb" in thumb:
                options = {"tags": thumb["tags"]} if "tags" in thumb else None
                yield "thumbs", [self._find_response(target)], thumb, options
            elif "text" in thumb:
                yield "critique", [self._find_response(target)], {"text": thumb["text"]}, None

    def _strength(self) -> int | None:
        size, sides = self._preference.get("size"), [self._preference.get(name) for name in ("side", "choice")]
        decided = next((side for side in sides if side), None)
        if decided is not None:
            return (1 if decided > 0 else -1) * abs(size or 4)
        return self._preference.get("choice", size)

    def _take(self, result: Fields) -> None:
        """Enter one result where it belongs."""
        kind, control = result.text("type"), result.text("from_name")
        take = {
            "pairwise": self._take_pairwise,
            "number": self._take_number,
            "choices": self._take_choices,
            "rating": self._take_rating,
            "ranker": self._take_ranker,
            "labels": self._take_labels,
            "textarea": self._take_text,
        }.get(kind)
        if take is None:
            self._omit(result, f"a result of the type {kind!r} (control {control!r}) is left out: it has no place here")
        else:
            take(result, control, result.text("to_name", control), result.object("value"))

    def _omit(self, result: Fields, message: str) -> None:
        self._omitted.append(message)
        result.note(message)

    def _omit_unknown(self, result: Fields, control: str) -> None:
        """Leave out a result of which neither its tags nor the data tell what it is about."""
        columns = ", ".join(map(repr, self._data.names)) or "nothing"
        self._omit(
            result,
            f"a result of the control {control!r} is left out: the task's data ({columns}) does not tell what it is "
            "about, and --label-config FILE, the project's labeling configuration, would",
        )

    def _take_pairwise(self, result: Fields, control: str, target: str, value: Fields) -> None:
        side = {"left": 1, "right": -1}.get(value.text("selected"))
        if side is None:
            raise value.fault("selected", f"must be left or right, got {value.get('selected')!r}")
        if self._compare(result, control, target, "side"):
            self._preference["side"] = side

    def _compare(self, result: Fields, control: str, target: str, name: str) -> bool:
        """Whether a result is this annotation's comparison, the first of its sort; its pair is kept."""
        pair = self._data.pair(control, target)
        if pair is None:
            self._omit_unknown(result, control)
        elif name in self._preference:
            self._omit(result, f"a further comparison (control {control!r}) is left out")
        else:
            self._pair = self._pair or pair
            return True
        return False

    def _take_number(self, result: Fields, control: str, target: str, value: Fields) -> None:
        if control == "strength":
            if self._compare(result, control, target, "size"):
                self._preference["size"] = value.whole("number")
            return
        number = value.number("number")
        if number == int(number) and SCALE[0] <= number <= SCALE[1]:
            self._rate(result, control, target, int(number))
        else:
            self._omit(result, f"numbers of the control {control!r} are left out: a rating is whole, from 0 to 10")

    def _take_rating(self, result: Fields, control: str, target: str, value: Fields) -> None:
        self._rate(result, control, target, value.whole("rating"))

    def _rate(self, result: Fields, control: str, target: str, points: int) -> None:
        column = self._data.response(control, target)
        if column is None:
            self._omit_unknown(result, control)
        else:
            self._ratings.setdefault(column, {})[control] = points

    def _take_choices(self, result: Fields, control: str, target: str, value: Fields) -> None:
        choices = value.texts("choices")
        choice = choices[0] if len(choices) == 1 else ""
        pair = self._data.pair(control, target)
        side = None if pair is None else parse_side(control, choice, pair)
        undecided = control in ("preference", "undecided") and choice in UNSURE
        if pair is not None and (undecided or side is not None):
            if self._compare(result, control, target, "choice"):
                self._preference["choice"] = UNSURE[choice] if undecided else side
            return
        column = self._data.response(control, target)
        if column is not None and control == "thumb" and choice in THUMBS:
            self._thumbs.setdefault(column, {})["thumb"] = choice
        elif column is not None and control == "tags":
            self._thumbs.setdefault(column, {})["tags"] = choices
        elif column is not None and control == "unmarked":
            self._spans.setdefault(column, [])
        else:
            self._omit(result, f"choices of the control {control!r} are left out: they name no better response")

    def _take_labels(self, result: Fields, control: str, target: str, value: Fields) -> None:
        column = self._data.response(control, target)
        if column is None:
            self._omit_unknown(result, control)
            return
        text = "".join(message.content for message in self._find_response(column).messages[-1:])
        self._spans.setdefault(column, []).extend(_spans(value, text))

    def _take_text(self, result: Fields, control: str, target: str, value: Fields) -> None:
        text = read_text(value)
        if control in RATIONALES:
            self._reasons.append(text)
        elif control == "demonstration":
            self._whole.append(("demonstration", [Dialogue(self._prompt)], {"text": text}, None))
        elif control == "comment" and (column := self._data.response(control, target)) is not None:
            self._thumbs.setdefault(column, {})["text"] = text
        elif control not in TEXT_KINDS and self._data.likely_pair() and not self._names_response(control, target):
            self._reasons.append(text)  # beside a comparison
        elif (column := self._data.response(control, target)) is not None:
            kind = control if control in TEXT_KINDS else "critique"
            self._whole.append((kind, [self._find_response(column)], {"text": text}, None))
        else:
            self._omit_unknown(result, control)

    def _names_response(self, control: str, target: str) -> bool:
        columns = self._data.fields_of(control, target)
        return len(columns) == 1 and not self._data.is_prompt(columns[0])

    def _take_ranker(self, result: Fields, control: str, target: str, value: Fields) -> None:
        order = value.get("ranker")
        if isinstance(order, Mapping):
            buckets = [names for bucket, names in order.items() if bucket != "_"]
            order = buckets[0] if len(buckets) == 1 and not order.get("_") else None
        entries = self._data.list_of(control, target)
        if entries is None or not isinstance(order, list):
            self._omit(result, f"a ranking (control {control!r}) is left out: it is no order of one list of the data")
            return
        names = [str(name) for name in order]
        if set(names) != set(entries) or len(names) != len(entries):
            raise value.fault("ranker", f"must order {', '.join(entries)}, got {', '.join(names)}")
        items = [reply(self._prompt, text) for text in entries.values()]
        self._whole.append(("ranking", items, {"ranks": [names.index(name) + 1 for name in entries]}, None))

    def _find_response(self, column: str) -> Dialogue:
        return Dialogue(self._prompt) if self._data.is_prompt(column) else reply(self._prompt, self._data.text(column))


def read_text(value: Fields) -> str:
    """The text of a text area, which may have several lines."""
    return value.text("text") if isinstance(value.get("text"), str) else "\n".join(value.texts("text"))


def _annotator(annotation: Fields, results: Sequence[Fields], setting: Setting) -> str:
    """Who judged: as Plaudit wrote it beside the results, as Label Studio's account, or as the file's reader says."""
    for result in results:
        name = result.object("meta", {}).get("annotator", None)
        if isinstance(name, str) and name:
            return name
    annotator = annotation.get("completed_by", setting.annotator)
    if isinstance(annotator, Mapping):
        annotator = annotator.get("email") or annotator.get("id") or setting.annotator
    return str(annotator)


def _moment(annotation: Fields) -> float:
    text = annotation.text("created_at", "")
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError as error:
        raise annotation.fault("created_at", f"is not a time: {text!r}") from error
    if moment is None:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _spans(value: Fields, text: str) -> Iterator[dict[str, Any]]:
    labels = value.texts("labels", ())
    if not labels:
        return
    start, end = value.whole("start"), value.whole("end")
    quotation = value.get("text", None)
    if isinstance(quotation, str) and text[max(start, 0) : end] != quotation:  # a browser counts UTF-16 units
        units = text.encode("utf-16-le")
        before, passage = units[: 2 * max(start, 0)], units[2 * max(start, 0) : 2 * max(end, 0)]
        if passage.decode("utf-16-le", "replace") == quotation:
            start = len(before.decode("utf-16-le", "replace"))
            end = start + len(quotation)
    for label in labels:
        yield {"start": start, "end": end, "category": label}
