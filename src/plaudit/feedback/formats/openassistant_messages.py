"""OpenAssistant's messages, a row each, as its Parquet files have them: joined to trees, and read as trees.

The rows of a tree stand together in these files, so that one tree is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Fields, Record, Row, Setting
from plaudit.feedback.formats.openassistant import FORMAT as TREES

LARGEST = 10_000  # messages of a tree; more is a fault of the file


class OpenAssistantMessages(Format):
    """One object a message."""

    name = "openassistant-messages"
    title = "OpenAssistant messages"
    suffixes = (".parquet", ".jsonl.gz", ".jsonl")
    lossy: ClassVar[Mapping[str, str]] = {
        "message_id, parent_id, message_tree_id": "join the messages to trees, and are not kept",
        "deleted": "deleted messages, and the replies to them, are counted and left out",
        "rank, labels, ...": "as those of `openassistant`",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A message of a tree."""
        return {"message_id", "message_tree_id", "text", "role"} <= set(first)

    def gather(self, rows: Iterator[Row]) -> Iterator[Row]:
        """One row for each tree; rows that are no messages come as they are."""
        tree: list[Row] = []
        for row in rows:
            identity = row.value.get("message_tree_id") if isinstance(row.value, Mapping) else None
            if row.fault is not None or not isinstance(identity, str):
                yield Row(row.location, row.value, row.fault or "field 'message_tree_id' must be text")
                continue
            if tree and (identity != tree[0].value["message_tree_id"] or len(tree) >= LARGEST):
                yield _join(tree)
                tree = []
            tree.append(row)
        if tree:
            yield _join(tree)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """The questions in one tree."""
        root = _grow(row)
        if root is not None:
            tree = {"message_tree_id": row.get("message_tree_id"), "prompt": root}
            yield from TREES.read(Fields(tree, "tree", row.trace), setting)


def _join(tree: Sequence[Row]) -> Row:
    first, last = tree[0].location, tree[-1].location
    value = {"message_tree_id": tree[0].value["message_tree_id"], "messages": [row.value for row in tree]}
    return Row(first if len(tree) == 1 else f"{first} to {last}", value)


def _grow(row: Fields) -> dict[str, Any] | None:
    """The first message of a tree with the replies within; None where it is deleted."""
    messages = row.objects("messages")
    names = [message.text("message_id") for message in messages]
    nodes = {
        name: {**message.value, "labels": _labels(message), "replies": []}
        for name, message in zip(names, messages, strict=True)
    }
    roots: list[dict[str, Any] | None] = []
    for name, message in zip(names, messages, strict=True):
        parent = message.text("parent_id", None)
        if parent is not None and (parent not in nodes or parent == name):
            raise message.fault("parent_id", f"{parent!r} is not in its tree: sort the file by message_tree_id")
        deleted = message.get("deleted", False) is True
        if deleted:
            row.note("a deleted message is left out, with the replies to it")
        if parent is None:
            roots.append(None if deleted else nodes[name])
        elif not deleted:
            nodes[parent]["replies"].append(nodes[name])
    if len(nodes) < len(names) or len(roots) != 1:
        raise row.fault("messages", "must have one message without a parent_id, and no message_id twice")
    return roots[0]


def _labels(message: Fields) -> dict[str, Any]:
    """Labels by name. The file has them as lists of names and values, or as a list of objects with both."""
    if not message.has("labels"):
        return {}
    if isinstance(message.get("labels"), list):
        return {label.text("name"): {"value": label.get("value")} for label in message.objects("labels")}
    labels = message.object("labels")
    names, values = labels.texts("name"), labels.list("value")
    if len(names) != len(values):
        raise labels.fault("value", f"must be {len(names)}, one for each name, got {len(values)}")
    return {name: {"value": value} for name, value in zip(names, values, strict=True) if value is not None}


FORMAT = OpenAssistantMessages()
