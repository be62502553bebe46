"""Label Studio's labeling configuration, and which data a control is about if there is none.

A configuration is XML: object tags (``<Text name="left" value="$answer1"/>``) show a field of the task's data, and
control tags (``<Rating name="quality" toName="left"/>``) are about object tags. Results name tags, not fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from plaudit.feedback.formats._dialogues import CONVERSATIONS, PROMPTS, prompt_of
from plaudit.feedback.formats._record import Fields, Labeling, parse_cell
from plaudit.types import Message, PlauditError

PROMPT_FIELDS = ("messages", *PROMPTS, *CONVERSATIONS, "history", "context", "user_prompt", "user")
RESPONSE_WORDS = (
    *("response", "answer", "completion", "output", "reply", "generation", "summary", "text", "assistant", "option"),
    *("candidate", "translation", "chosen", "rejected"),
)
SIDES = {
    **dict.fromkeys(("1", "a", "left", "first", "one", "chosen", "0"), 0),
    **dict.fromkeys(("2", "b", "right", "second", "two", "rejected"), 1),
}
BODIES = ("body", "text", "html", "title")  # where an entry of a List has its text
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
FILLERS = {"is", "better", "the", "best", "prefer", "i", "wins", "much", "slightly", "choice", "model", *RESPONSE_WORDS}
ASKS_WHICH = re.compile("prefer|better|best|compar|winner|which|choice|choose|pick|overall|pairwise|select|vote")
TIES = {"tie", "equal", "same", "both", "neither", "draw"}

FLAT_TYPES = {  # by the first key that a value has
    "selected": "pairwise",
    "labels": "labels",
    "rating": "rating",
    "number": "number",
    "ranker": "ranker",
    "choices": "choices",
    "text": "textarea",
}
FLAT_TEXTS = {
    **dict.fromkeys(("undecided", "thumb", "tags", "unmarked"), ("choices", "choices")),
    **dict.fromkeys(
        ("rationale", "reason", "comment", "correction", "critique", "demonstration"), ("textarea", "text")
    ),
}


def read_labeling(path: Path) -> Labeling:
    """A labeling configuration, as Label Studio shows it under Settings, Labeling Interface, Code.

    Raises:
        PlauditError: the file cannot be read, is no XML, or has no tag that shows data.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if "<!" in text.replace("<!--", ""):
            raise ValueError("it declares a document type")
        root = ElementTree.fromstring(text)
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise PlauditError(f"--label-config {path} cannot be read as XML ({error}): save the project's code") from error
    tags = [tag.attrib for tag in root.iter() if tag.get("name")]
    fields: dict[str, tuple[str, ...]] = {
        tag["name"]: (tag["value"].lstrip("$"),) for tag in tags if tag.get("value", "").startswith("$")
    }
    if not fields:
        raise PlauditError(f'--label-config {path} has no tag such as <Text name="prompt" value="$prompt"/>')
    controls = {tag["name"]: tag["toName"].split(",") for tag in tags if tag.get("toName")}
    for name, targets in controls.items():
        fields[name] = tuple(column for target in targets for column in fields.get(target.strip(), ()))
    scales = {tag["name"]: [0, int(tag["maxRating"])] for tag in tags if tag.get("maxRating", "").isdigit()}
    return Labeling(fields, scales)


class TaskData:
    """The data of a task: its prompt, its responses, and what a result of a control is about."""

    def __init__(self, data: Fields, labeling: Labeling) -> None:
        self._data, self._labeling = data, labeling
        value: Mapping[str, Any] = data.value
        self.prompt_field = next((name for name in PROMPT_FIELDS if value.get(name) not in (None, "")), None)
        self._texts = [name for name, text in value.items() if isinstance(text, str) and name not in PROMPT_FIELDS]

    def prompt(self) -> tuple[Message, ...]:
        """The prompt under any of its usual names; () if there is none."""
        return () if self.prompt_field is None else prompt_of(self._data, self.prompt_field)

    @property
    def names(self) -> list[str]:
        """The fields of the data."""
        return list(self._data.value)

    def text(self, name: str) -> str:
        """The text of a field."""
        return self._data.text(name)

    def is_prompt(self, name: str) -> bool:
        """Whether a field holds the prompt."""
        return name in PROMPT_FIELDS

    def fields_of(self, control: str, target: str) -> tuple[str, ...]:
        """The fields that a result with this ``from_name`` and ``to_name`` is about; () if that is not known."""
        columns = self._labeling.fields.get(control)
        if columns is None:
            names = [name.strip() for name in target.split(",")]
            columns = tuple(column for name in names for column in self._labeling.fields.get(name, (name,)))
        return columns if all(self._data.value.get(name) is not None for name in columns) else ()

    def pair(self, control: str, target: str) -> tuple[str, str] | None:
        """The two responses that a result compares; None if the data has no such pair."""
        columns = self.fields_of(control, target)
        return (columns[0], columns[1]) if len(columns) == 2 else self.likely_pair()

    def response(self, control: str, target: str) -> str | None:
        """The field of the one text that a result is about; None if that is not known."""
        columns = self.fields_of(control, target)
        if len(columns) == 1:
            return columns[0]
        return None if columns or self.likely_pair() else self._likely_response()

    def list_of(self, control: str, target: str) -> dict[str, str] | None:
        """The texts of the list that a ranker orders, by their ids; None if the data has no such list."""
        columns = self.fields_of(control, target) or tuple(
            name for name, value in self._data.value.items() if _is_ranked(parse_cell(value))
        )
        entries: Any = parse_cell(self._data.get(columns[0], None)) if len(columns) == 1 else None
        if not _is_ranked(entries):
            return None
        texts = {str(entry["id"]): next((entry[key] for key in BODIES if entry.get(key)), "") for entry in entries}
        return texts if all(isinstance(text, str) for text in texts.values()) else None

    def likely_pair(self) -> tuple[str, str] | None:
        """Two fields whose names differ in their side alone, such as answer1 and answer2, or the only two texts."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for name in self._texts:
            words = [word.casefold() for word in WORD.findall(name)]
            if sum(word in SIDES for word in words) == 1:
                stem = tuple(word for word in words if word not in SIDES)
                groups.setdefault(stem, []).append(name)
        pairs = {stem: names for stem, names in groups.items() if len(names) == 2}
        spoken = [names for stem, names in pairs.items() if not stem or set(stem) & set(RESPONSE_WORDS)]
        candidates = spoken or list(pairs.values())
        if not candidates and len(self._texts) == 2:
            candidates = [self._texts]
        if len(candidates) != 1:
            return None
        first, second = sorted(candidates[0], key=_side) if pairs else candidates[0]
        return first, second

    def _likely_response(self) -> str | None:
        """The field whose name is a response's, or the only text beside the prompt."""
        name = next((word for word in RESPONSE_WORDS if word in self._texts), None)
        if name is None and len(self._texts) == 1:
            return self._texts[0]
        return name or (self.prompt_field if not self._texts else None)


def _is_ranked(value: Any) -> bool:
    """Whether a field is what Label Studio's tag List shows: objects with an id each."""
    return isinstance(value, list) and bool(value) and all(isinstance(e, Mapping) and "id" in e for e in value)


def _side(name: str) -> tuple[int, str]:
    word = next(word.casefold() for word in WORD.findall(name) if word.casefold() in SIDES)
    return SIDES[word], word


def parse_side(control: str, choice: str, pair: tuple[str, str]) -> int | None:
    """A choice such as "Response A is better" or "right" as a strength: 4 the first, -4 the second, 0 a tie.

    Returns None if the control's name does not ask which is better, or if the choice names no side.
    """
    if not ASKS_WHICH.search(control.casefold()):
        return None
    if choice in pair:
        return (4, -4)[pair.index(choice)]
    words = [word.casefold() for word in WORD.findall(choice)]
    if set(words) & TIES:
        return 0
    sides = [word for word in words if word in SIDES and word != "0"]
    if len(sides) != 1 or set(words) - set(sides) - FILLERS:
        return None
    return (4, -4)[SIDES[sides[0]]]


def flat_results(row: Fields, data: TaskData) -> Iterator[dict[str, Any]]:
    """The results in an object of a JSON-MIN or CSV export, which has a column for each control beside the data.

    A control's column holds a list of values, whose keys tell its type, or the text of one choice or one text area.
    """
    for name, cell in row.value.items():
        value = parse_cell(cell)
        values = value if isinstance(value, list) else [value]
        if values and all(isinstance(entry, Mapping) for entry in values):
            for entry in values:
                kind = next((kind for key, kind in FLAT_TYPES.items() if key in entry), None)
                if kind is not None:
                    row.get(name)
                    yield {"from_name": name, "to_name": name, "type": kind, "value": dict(entry)}
        elif name in FLAT_TEXTS and value is not None:
            row.get(name)
            kind, key = FLAT_TEXTS[name]
            yield {"from_name": name, "to_name": name, "type": kind, "value": {key: [str(entry) for entry in values]}}
        elif isinstance(value, str) and _is_choice(name, value, data):
            row.get(name)
            yield {"from_name": name, "to_name": name, "type": "choices", "value": {"choices": [value]}}


def _is_choice(name: str, value: str, data: TaskData) -> bool:
    pair = data.likely_pair()
    return pair is not None and name not in pair and parse_side(name, value, pair) is not None
