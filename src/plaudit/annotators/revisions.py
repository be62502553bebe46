"""A critic's revisions: read from the store, and written to a file of demonstrations."""

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
    judgements = [judgement for judgement in store.judgements() if judgement.annotator == name]
    revisions: dict[tuple[Message, ...], str] = {}
    questions = store.questions([judgement.question for judgement in judgements])
    for judgement, question in zip(judgements, questions, strict=True):
        if (question.kind, question.project) == ("correction", PROJECT):
            [item] = store.items(list(question.items))
            if isinstance(item, Dialogue):
                revisions[item.prompt] = str(judgement.value["text"])
    return {prompt: revisions[prompt] for prompt in prompts if prompt in revisions}


def write_revisions(path: Path, revisions: Mapping[tuple[Message, ...], str]) -> None:
    """Write the revisions as demonstrations, one object with ``prompt`` and ``completion`` per line; all or none."""
    with replace_file(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for prompt, text in revisions.items():
            messages = [{"role": message.role, "content": message.content} for message in prompt]
            completion = [{"role": "assistant", "content": text}]
            file.write(json.dumps({"prompt": messages, "completion": completion}, ensure_ascii=False) + "\n")
