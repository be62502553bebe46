"""Several responses to a prompt with a score or a rank each: lists beside each other, or a list of objects.

``prompt, responses, scores`` (RLHFlow), ``instruction, generations, ratings`` (distilabel), ``question, answers`` with
``text`` and ``pm_score`` (Stack Exchange). Higher scores are better; rank 1 is the best.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import PROMPTS, is_list_of_texts, read_prompt, reply
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._rankings import MOST, rank_responses
from plaudit.feedback.formats._record import Answer, Empty, Fields, Record, Setting, make, parse_cell
from plaudit.types import Dialogue, Message

RESPONSES = ("responses", "generations", "completions", "answers", "outputs", "candidates")
SCORES = ("scores", "ratings", "rewards", "all_rm_scores", "score", "rating", "labels", "correctness")
STEPS = "completions"  # whose labels are those of steps (stepwise)
RANKS = ("ranks", "rank", "ranking", "order")
MODELS = ("models", "generation_models", "model_names")
TEXTS = ("text", "response", "content", "answer", "output", "completion", "generation")  # of an object
SCORE, RANK = ("score", "rating", "reward", "pm_score", "overall_score"), ("rank", "ranking")  # of an object


class ScoredResponses(Format):
    """One ranking an object."""

    name = "scored-responses"
    title = "Responses with scores or ranks"
    scope = "layout"
    lossy: ClassVar[Mapping[str, str]] = {
        "scores": "read as ranks: how far two scores are apart is not kept",
        "responses": f"of more than {MOST} the best {MOST}; those without a score are counted and left out",
        "annotator": "not in the file",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A prompt, and responses with scores or ranks."""
        name = next((name for name in RESPONSES if isinstance(parse_cell(first.get(name)), list)), None)
        if name is None or {"chosen", "rejected"} <= set(first) or not set(PROMPTS) & set(first):
            return False
        responses = parse_cell(first[name])
        if is_list_of_texts(responses):
            if name == STEPS and isinstance(parse_cell(first.get("labels")), list):
                return False
            return any(isinstance(parse_cell(first.get(column)), list) for column in (*SCORES, *RANKS))
        keys = [set(response) if isinstance(response, Mapping) else set() for response in responses]
        return bool(keys) and all(key & set(TEXTS) and key & {*SCORE, *RANK} for key in keys)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One ranking."""
        prompt = read_prompt(row, required=True)
        name = row.find(RESPONSES, required=True) or RESPONSES[0]
        scored = (
            _read_lists(row, name, prompt)
            if is_list_of_texts(parse_cell(row.get(name)))
            else _read_objects(row, name, prompt)
        )
        numbers = sorted({score for score, _ in scored}, reverse=True)
        items, ranks = rank_responses((numbers.index(score) + 1, response) for score, response in scored)
        if len(items) < 2:
            raise Empty(f"field '{name}' has fewer than two different responses with scores: there is nothing to rank")
        yield make("ranking", items, [Answer(setting.annotator, {"ranks": ranks})], setting)


def _read_lists(row: Fields, name: str, prompt: tuple[Message, ...]) -> list[tuple[float, Dialogue]]:
    """Responses with the scores, or the negative ranks, of the same place in another list."""
    texts = row.texts(name)
    column = row.find((*SCORES, *RANKS), required=True) or SCORES[0]
    scores = row.list(column)
    models = row.list(next((models for models in MODELS if row.has(models)), "models"), ())
    if len(scores) != len(texts):
        raise row.fault(column, f"has {len(scores)} numbers, and '{name}' has {len(texts)} responses")
    scored = []
    for index, text in enumerate(texts):
        value = int(scores[index]) if isinstance(scores[index], bool) else scores[index]
        score = Fields({"score": value}, f"{column}[{index}]").number("score", None)
        model = models[index] if len(models) == len(texts) and isinstance(models[index], str) else None
        if score is None:
            row.note("a response without a score is left out")
        else:
            scored.append((-score if column in RANKS else score, reply(prompt, text, model)))
    return scored


def _read_objects(row: Fields, name: str, prompt: tuple[Message, ...]) -> list[tuple[float, Dialogue]]:
    """Responses with the scores, or the negative ranks, in the same object."""
    scored = []
    for response in row.objects(name):
        text = response.text(response.find(TEXTS, required=True) or TEXTS[0])
        column = response.find((*SCORE, *RANK))
        if column is None:
            row.note("a response without a score is left out")
            continue
        score = response.number(column)
        model = response.get("model", None)
        scored.append(
            (-score if column in RANK else score, reply(prompt, text, model if isinstance(model, str) else None))
        )
    return scored


FORMAT = ScoredResponses()
