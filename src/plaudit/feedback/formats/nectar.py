r"""Nectar: seven answers to one prompt, ranked by a language model. Zhu et al. 2023 (Starling).

The prompt is a transcript, with "\n\nHuman: " and "\n\nAssistant: " before the turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import prompt_of, reply
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._rankings import MOST, rank_responses
from plaudit.feedback.formats._record import Answer, Empty, Fields, Record, Setting, make, parse_cell


class Nectar(Format):
    """Rankings of answers."""

    name = "nectar"
    title = "Nectar"
    suffixes = (".parquet", ".jsonl")
    lossy: ClassVar[Mapping[str, str]] = {
        "answers[].rank": f"gaps are closed; of more than {MOST} answers the best {MOST}",
        "answers": "two that are the same text of the same model are one, with the better rank",
        "annotator": "not in the file",
        "turns, num_responses, source, good_natured": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A prompt and answers with ranks."""
        answers = parse_cell(first.get("answers"))
        answer = answers[0] if isinstance(answers, list) and answers else None
        return "prompt" in first and isinstance(answer, Mapping) and {"answer", "rank"} <= set(answer)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One ranking."""
        prompt = prompt_of(row, "prompt")
        ranked = [
            (answer.whole("rank"), reply(prompt, answer.text("answer"), answer.text("model", None)))
            for answer in row.objects("answers")
        ]
        items, ranks = rank_responses(ranked)
        if len(items) < 2:
            raise Empty("field 'answers' has fewer than two different answers: there is nothing to rank")
        yield make("ranking", items, [Answer(setting.annotator, {"ranks": ranks})], setting)


FORMAT = Nectar()
