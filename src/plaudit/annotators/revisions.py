"""Revisions that a critic wrote, read from the store and written as demonstrations that others imitate."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from plaudit.annotators.critique import PROJECT
from plaudit.feedback.store import Store
from plaudit.files import replace_file
from plaudit.types import Dialogue, Message


def revisions_in(store: Store, name: str, prompts: Iterable[tuple[Message, ...]]) -> dict[tuple[Message, ...], str]:
    """The last revision of the response to each of the prompts that the critic called ``name`` has worked on."""
    mine = [each for each in store.judgements() if each.annotator == name]
    found: dict[tuple[Message, ...], str] = {}
    for judgement, question in zip(mine, store.questions([each.question for each in mine]), strict=True):
        if (question.kind, question.project) == ("correction", PROJECT):
            [item] = store.items(list(question.items))
            if isinstance(item, Dialogue):
                found[item.prompt] = str(judgement.value["text"])
    return {prompt: found[prompt] for prompt in prompts if prompt in found}


def write_revisions(path: Path, revisions: Mapping[tuple[Message, ...], str]) -> None:
    """Prompts with revisions as demonstrations, an object with ``prompt`` and ``completion`` a line; whole, or not."""
    with replace_file(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for prompt, text in revisions.items():
            asked = [{"role": each.role, "content": each.content} for each in prompt]
            said = [{"role": "assistant", "content": text}]
            file.write(json.dumps({"prompt": asked, "completion": said}, ensure_ascii=False) + "\n")
