"""Learning to summarize from human feedback: comparisons of two summaries, and ratings on axes. Stiennon et al. 2020.

A prompt is the text that the policies were given: subreddit, title and post, or a news article, and "TL;DR:".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import reply, shared_prompt, texts, user
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Fields, Omissions, Record, Setting, make
from plaudit.types import Dialogue, Judgement, Message

AXES = ("overall", "accuracy", "coverage", "coherence")
SCALES: dict[str, Any] = {"scales": {name: [1, 7] for name in AXES}}
POST = re.compile(r"SUBREDDIT: r/(.*?)\n\nTITLE: (.*?)\n\nPOST: (.*)\n\nTL;DR:", re.DOTALL)
ARTICLE = re.compile(r"Article:\n\n(.*)\n\nTL;DR:", re.DOTALL)
MIDDLE = 5  # of the slider from 1 (the first) to 9 (the second)


class SummarizeFromFeedback(Format):
    """Rows with ``summaries`` are comparisons, rows with ``summary`` are ratings."""

    name = "summarize-from-feedback"
    title = "summarize_from_feedback"
    suffixes = (".json", ".jsonl")
    kinds = ("comparison", "rating")
    lossy: ClassVar[Mapping[str, str]] = {
        "info.id": "not kept; written as a hash of the prompt",
        "info.site": "not kept",
        "batch, split": "not kept",
        "summaries[].note, summary.note": "kept as the rationale, joined; written as the first one's",
        "summary.axes.compatible": "not kept: it is not a rating",
        "extra.confidence": "kept as a strength beside the choice; a choice at the middle is read as 1",
        "strength 0, can't tell": "left out: a comparison there has a choice",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A worker's row about summaries."""
        return "info" in first and ({"summaries", "choice"} <= set(first) or "summary" in first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One comparison, or one rating."""
        annotator, prompt = row.text("worker", setting.annotator), user(_prompt(row.object("info")))
        if row.has("summary"):
            summary = row.object("summary")
            axes = summary.object("axes")
            value: dict[str, Any] = {"ratings": {name: axes.whole(name, None) for name in AXES}}
            answer = Answer(annotator, value, summary.text("note", "") or None)
            yield make("rating", [_summary(summary, prompt)], [answer], setting, SCALES)
            return
        summaries = row.objects("summaries")
        if len(summaries) != 2:
            raise row.fault("summaries", f"must be two, got {len(summaries)}")
        notes = "\n".join(note for summary in summaries if (note := summary.text("note", "")))
        answer = Answer(annotator, {"strength": _strength(row)}, notes or None)
        yield make("comparison", [_summary(summary, prompt) for summary in summaries], [answer], setting)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One object a judgement."""
        for record in records:
            items = texts(record, left)
            if items is None:
                continue
            prompt = shared_prompt(items[0], items[-1])
            info = None if prompt is None else _info(prompt)
            for judgement in record.judgements:
                line = None if info is None else _row(info, items, judgement)
                if line is not None:
                    yield line
                elif info is None:
                    left.add("their prompt is not a single text")
                else:
                    left.add("they are ties, 'can't tell', or ratings on other axes")


def _summary(row: Fields, prompt: tuple[Message, ...]) -> Dialogue:
    return reply(prompt, row.text("text"), row.text("policy", None))


def _strength(row: Fields) -> int:
    choice = row.whole("choice")
    if choice not in (0, 1):
        raise row.fault("choice", f"must be 0 or 1, got {choice}")
    confidence = row.object("extra", {}).whole("confidence", 1)
    if not 1 <= confidence <= 9:
        raise row.fault("extra.confidence", f"must be in 1..9, got {confidence}")
    strength = max(1, abs(confidence - MIDDLE))
    return strength if choice == 0 else -strength


def _prompt(info: Fields) -> str:
    if info.has("article"):
        return f"Article:\n\n{info.text('article')}\n\nTL;DR:"
    if info.has("subreddit") or info.has("title"):
        head = f"SUBREDDIT: r/{info.text('subreddit', '')}\n\nTITLE: {info.text('title', '')}"
        return f"{head}\n\nPOST: {info.text('post')}\n\nTL;DR:"
    return info.text("post")


def _info(prompt: Sequence[Message]) -> dict[str, Any] | None:
    if [message.role for message in prompt] != ["user"]:
        return None
    text = prompt[0].content
    identity = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    if match := POST.fullmatch(text):
        return {"id": identity, "post": match[3], "title": match[2], "subreddit": match[1]}
    if match := ARTICLE.fullmatch(text):
        return {"id": identity, "article": match[1]}
    return {"id": identity, "post": text}


def _row(info: dict[str, Any], items: Sequence[Dialogue], judgement: Judgement) -> dict[str, Any] | None:
    notes = [judgement.rationale, None]
    summaries = [
        {"text": item.response, "policy": item.model, "note": note} for item, note in zip(items, notes, strict=False)
    ]
    rest = {"worker": judgement.annotator, "batch": None, "split": None}
    if "strength" in judgement.value:
        strength = judgement.value["strength"]
        if not strength:
            return None
        choice, confidence = int(strength < 0), {"confidence": MIDDLE - strength}
        return {"info": info, "summaries": summaries, "choice": choice, **rest, "extra": confidence}
    ratings = judgement.value["ratings"]
    if set(ratings) != set(AXES):
        return None
    return {"info": info, "summary": {**summaries[0], "axes": {name: ratings[name] for name in AXES}}, **rest}


FORMAT = SummarizeFromFeedback()
