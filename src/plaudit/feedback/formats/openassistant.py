"""OpenAssistant's conversation trees: replies ranked by people, messages labelled by people. Köpf et al. 2023.

Ranked replies are a ranking; a reply that is not ranked against others is a demonstration; labels are ratings from 0 to
100. The file has what the raters said together, so the one annotator is the crowd.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import ROLES, texts
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._rankings import rank_responses
from plaudit.feedback.formats._record import NAMESPACE, Answer, Fields, Omissions, Record, Setting, make
from plaudit.types import Dialogue, Judgement, Message

PERCENT = [0, 100]


class OpenAssistant(Format):
    """One object a tree."""

    name = "openassistant"
    title = "OpenAssistant trees"
    suffixes = (".jsonl.gz", ".jsonl")
    kinds = ("ranking", "rating", "demonstration")
    lossy: ClassVar[Mapping[str, str]] = {
        "message_tree_id, message_id": "not kept; written as hashes of the texts",
        "tree_state": "not kept; written as ready_for_export",
        "lang, created_date, emojis, review_count, deleted, ...": "not kept; lang is written as null",
        "rank": "of several judgements the mean; the same numbers may come back without gaps",
        "replies": "only those that were ranked, labelled or demonstrated, and what leads to them; "
        "of more than nine ranked ones the best nine",
        "labels[].value": "kept in percent; of several judgements the mean",
        "labels[].count": "not kept; written as the number of judgements",
        "annotator, ratings and flags of a ranking": "not written",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A tree."""
        return {"message_tree_id", "prompt"} <= set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """The questions in one tree, from the root downwards."""
        waiting: list[tuple[Fields, tuple[Message, ...]]] = [(row.object("prompt"), ())]
        while waiting:
            node, parents = waiting.pop()
            dialogue = _dialogue(node, parents)
            labels = _labels(node)
            if labels:
                options = {"scales": dict.fromkeys(labels, PERCENT)}
                yield make("rating", [dialogue], [Answer(setting.annotator, {"ratings": labels})], setting, options)
            replies = node.objects("replies", ())
            yield from _read_ranking(dialogue, replies, setting)
            waiting += [(reply, dialogue.messages) for reply in reversed(replies)]

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One tree for each run of questions that begin with the same message."""
        for root, group in groupby(records, _root):
            expressible = [record for record in group if texts(record, left) is not None]
            if root is None or not expressible:
                left.add(
                    "they do not begin with a user's message", sum(len(record.judgements) for record in expressible)
                )
                continue
            tree = _Tree(root)
            for record in expressible:
                tree.take(record, left)
            if tree.judged:
                yield {
                    "message_tree_id": tree.root["message_id"],
                    "tree_state": "ready_for_export",
                    "prompt": tree.root,
                }


def _dialogue(node: Fields, parents: tuple[Message, ...]) -> Dialogue:
    role = node.text("role")
    if role not in ROLES:
        raise node.fault("role", f"must be prompter or assistant, got {role!r}")
    return Dialogue((*parents, Message(ROLES[role], node.text("text"))), node.text("model_name", None))


def _labels(node: Fields) -> dict[str, int]:
    labels = node.object("labels", {})
    percentages = {}
    for name in labels.value:
        value = labels.object(name).number("value")
        if not 0 <= value <= 1:
            raise labels.fault(name, f"must have a value in 0..1, got {value}")
        percentages[name] = round(value * 100)
    return percentages


def _read_ranking(dialogue: Dialogue, replies: Sequence[Fields], setting: Setting) -> Iterator[Record]:
    """The ranking of a message's replies, and those that were not ranked as demonstrations."""
    answers = [(_dialogue(reply, dialogue.messages), reply) for reply in replies]
    answers = [(answer, reply) for answer, reply in answers if answer.response is not None]
    ranks = [(reply.whole("rank", None), answer) for answer, reply in answers]
    items, order = rank_responses((rank, answer) for rank, answer in ranks if rank is not None)
    if len(items) > 1:
        yield make("ranking", items, [Answer(setting.annotator, {"ranks": order})], setting)
    ranked = {answer.id for rank, answer in ranks if rank is not None}
    for answer, _ in answers:
        if (answer.id not in ranked or len(items) < 2) and (answer.response or "").strip():
            response = Answer(setting.annotator, {"text": answer.response})
            yield make("demonstration", [dialogue], [response], setting)


def _root(record: Record) -> str | None:
    item = record.items[0]
    if not isinstance(item, Dialogue) or item.messages[0].role != "user":
        return None
    return item.messages[0].content


class _Tree:
    """Messages by the path that leads to them."""

    def __init__(self, root: str) -> None:
        self.judged = False
        self._nodes: dict[tuple[Message, ...], dict[str, Any]] = {}
        self.root = self._node((Message("user", root),))

    def take(self, record: Record, left: Omissions) -> None:
        """Add what was said about one question."""
        question, judgements = record.question, record.judgements
        items = [item for item in record.items if isinstance(item, Dialogue)]
        if question is None or any(message.role == "system" for item in items for message in item.messages):
            left.add("a system message comes in the middle", len(judgements))
        elif question.kind == "demonstration":
            for judgement in judgements:
                self._node((*items[0].messages, Message("assistant", judgement.value["text"])))
        elif question.kind == "ranking":
            for item, rank in zip(items, _ranks(judgements, len(items)), strict=True):
                self._node(item.messages, item.model)["rank"] = rank
        elif all(list(ends) == PERCENT for ends in question.options.get("scales", {"": []}).values()):
            node = self._node(items[0].messages, items[0].model)
            node["labels"] = _means(judgements)
        else:
            left.add("they are ratings on other scales than 0 to 100", len(judgements))
            return
        self.judged = True

    def _node(self, path: tuple[Message, ...], model: str | None = None) -> dict[str, Any]:
        if path not in self._nodes:
            *before, last = path
            parent = self._node(tuple(before)) if before else None
            text = "\x1f".join(f"{message.role}\x1e{message.content}" for message in path).encode("utf-8", "replace")
            node = {
                "message_id": str(uuid.uuid5(NAMESPACE, text.decode())),
                "parent_id": parent and parent["message_id"],
                "text": last.content,
                "role": "prompter" if last.role == "user" else "assistant",
                "lang": None,
                "rank": None,
                "labels": {},
                "replies": [],
            }
            self._nodes[path] = node
            if parent is not None:
                parent["replies"].append(node)
        if model is not None:
            self._nodes[path]["model_name"] = model
        return self._nodes[path]


def _ranks(judgements: Sequence[Judgement], count: int) -> list[int]:
    """The mean rank of each reply as a number from 0, the best."""
    sums = [sum(judgement.value["ranks"][index] for judgement in judgements) for index in range(count)]
    numbers = sorted(set(sums))
    return [numbers.index(total) for total in sums]


def _means(judgements: Sequence[Judgement]) -> dict[str, Any]:
    values: dict[str, list[int]] = {}
    for judgement in judgements:
        for name, rating in judgement.value["ratings"].items():
            if rating is not None:
                values.setdefault(name, []).append(rating)
    return {
        name: {"value": sum(numbers) / len(numbers) / 100, "count": len(numbers)} for name, numbers in values.items()
    }


FORMAT = OpenAssistant()
