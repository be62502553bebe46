"""OpenAI's chat completions: what a client asks a model's server, and how it reads the answer.

Annotators wait for whole answers and ask again after failures; the web app streams while a person reads. Their HTTP
clients differ, so this module makes no request. It holds what both must do alike: addresses, the key, bodies, events,
choices, and error messages of the server.

The key belongs to its address. It travels in a header of requests to that address, no redirect is followed, and no
message quotes it.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import ssl
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any, Literal

from plaudit.types import Message, PlauditError

LONGEST = 2**22  # bytes of an answer; no response and no list of models is that long
LONGEST_EVENT = 2**20  # characters of one event in a stream, or without an end of line; no token is as long
LONGEST_NAME = 200  # characters of a model's name
LONGEST_REASON = 200  # characters of a server's error message that are quoted
REJECTING = (400, 422)  # statuses of a server that rejects a field or the prompt
REJECTED = re.compile(  # how servers describe a field that they reject
    r"un(?:known|recogni[sz]ed|supported|expected)|not (?:support|allow|permit|recogni[sz]e)|extra|forbidden",
    re.I,
)


class MalformedReply(Exception):
    """The answer is no chat completion. The message is the sentence's rest after "the server"."""

    def __init__(self, kind: Literal["json", "shape", "text", "line", "error"], problem: str) -> None:
        super().__init__(problem)
        self.kind = kind


@dataclass(frozen=True)
class Reply:
    """The model's answer to a conversation, or a piece of it."""

    text: str
    tokens: tuple[tuple[str, Mapping[str, float]], ...] = ()  # each token and its likeliest rivals' log-probabilities
    is_last: bool = False  # of the pieces


@dataclass(frozen=True)
class ModelServer:
    """The server of a model: its address, and the key that only this address gets."""

    address: str
    """``http://host:port/v1``; any other form in which people write it becomes this one."""
    key: str = field(default="", repr=False)
    hidden_model: str = ""
    """Name of a model that quoted error messages must not tell; "" hides none."""

    def __post_init__(self) -> None:
        base = self.address.rstrip("/").removesuffix("/chat/completions")
        object.__setattr__(self, "address", base if base.endswith("/v1") else f"{base}/v1")

    @property
    def client_options(self) -> dict[str, Any]:
        """Arguments of an ``httpx`` client, blocking or not, that asks only this server."""
        headers = {"Accept-Encoding": "identity"}  # a small packed answer may be gigabytes long
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return {"headers": headers, "verify": _tls_context(), "follow_redirects": False}

    def reason(self, answer: bytes) -> str:
        """The server's error message in brackets: one short line without the key; "" if it gives none."""
        try:
            return self._reason(_parse_json(answer))
        except MalformedReply:
            return ""

    def describe(self, status: int, answer: bytes) -> str:
        """The status, its phrase and the server's error message: "404 Not Found (no such model)"."""
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = "an unknown status"
        return f"{status} {phrase}{self.reason(answer)}"

    def parse_reply(self, answer: bytes | str, field: Literal["message", "delta"]) -> Reply:
        """The first choice of an answer, with its text in ``message``, or of a piece, with its text in ``delta``.

        Raises:
            MalformedReply: the answer is no chat completion, or tells of an error.
        """
        body = _parse_json(answer)
        if isinstance(body, dict) and body.get("error"):
            raise MalformedReply("error", f"failed{self._reason(body)}")
        choices = body.get("choices") if isinstance(body, dict) else None
        if choices == [] and field == "delta":  # a piece with counts of tokens
            return Reply("")
        try:
            choice = choices[0]  # type: ignore[index]
            content = choice["message"]["content"] if field == "message" else (choice.get("delta") or {}).get("content")
            is_last = choice.get("finish_reason") is not None
        except (TypeError, LookupError, AttributeError):
            raise MalformedReply("shape", "answers in another shape than a chat's") from None
        if content is not None and not isinstance(content, str):
            raise MalformedReply("text", "answers with something that is no text")
        return Reply(content or "", _parse_tokens(choice), is_last)

    def _reason(self, body: Any) -> str:
        error = body.get("error", body.get("detail")) if isinstance(body, dict) else None
        message = error.get("message") if isinstance(error, dict) else error
        if not isinstance(message, str) or not message.strip():
            return ""
        line = " ".join(message.split())
        if self.key:
            line = line.replace(self.key, "***")
        return f" ({self._hide_model(line)[:LONGEST_REASON]})"

    def _hide_model(self, line: str) -> str:
        """The line without the model's name. The name counts as a whole word: a model "m" leaves "memory" as it is."""
        if self.hidden_model.lower() in ("", "model"):  # the word "model" tells nothing
            return line
        return re.sub(rf"(?<!\w)(?<!\w['\u2019]){re.escape(self.hidden_model)}(?!\w)", "the model", line)


def read_key(variable: str) -> str:
    """The key in an environment variable; "" if it is not set.

    Raises:
        PlauditError: no header can hold the key.
    """
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or not key.isprintable():
        raise PlauditError(f"{variable} holds what no key holds: set it to printable ASCII characters")
    return key


@cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()  # slow to create


def request_body(model: str, messages: Sequence[Message]) -> dict[str, Any]:
    """The fields that every server knows."""
    return {"model": model, "messages": [{"role": message.role, "content": message.content} for message in messages]}


def rejects_fields(answer: bytes, fields: Collection[str]) -> bool:
    """Whether the server rejected one of the fields, and not the prompt."""
    text = answer.decode("utf-8", "replace")
    return REJECTED.search(text) is not None and any(re.search(rf"\b{name}\b", text) for name in fields)


def _parse_tokens(choice: Mapping[str, Any]) -> tuple[tuple[str, Mapping[str, float]], ...]:
    try:
        return tuple(
            (str(entry["token"]), {str(rival["token"]): float(rival["logprob"]) for rival in entry["top_logprobs"]})
            for entry in choice["logprobs"]["content"]
        )
    except (LookupError, TypeError, ValueError, OverflowError):
        return ()  # not every server reports them


def _parse_json(text: bytes | str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # the second: too many brackets
        raise MalformedReply("json", "answers with something that is no JSON") from None


class Events:
    """Parses server-sent events from chunks of bytes that may be cut anywhere; reads only ``data`` fields.

    It holds at most ``LONGEST_EVENT`` characters, and looks at each of them once.
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("replace").decode
        self._rest: list[str] = []  # pieces of a line without its end
        self._data: list[str] = []
        self._length = 0  # characters of both

    def feed(self, chunk: bytes, end: bool = False) -> list[str]:
        """The data of the events that ``chunk`` completes; ``end`` completes the last one.

        Raises:
            MalformedReply: a line or an event has no end.
        """
        text = self._decode(chunk, end)
        self._length += len(text)
        if not end and "\n" not in text and "\r" not in text and self._rest[-1:] != ["\r"]:
            self._rest.append(text)
            self._check_length()
            return []
        text = "".join([*self._rest, text])
        carriage_return = "\r" if text.endswith("\r") and not end else ""  # may be half of a line end
        lines = text.removesuffix(carriage_return).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        rest = lines.pop()
        self._rest = [part for part in (rest, carriage_return) if part]
        if end:
            lines += [rest, ""]
            self._rest = []
        payloads = self._complete(lines)
        self._length = sum(map(len, self._rest)) + sum(map(len, self._data))
        self._check_length()
        return payloads

    def _check_length(self) -> None:
        if self._length > LONGEST_EVENT:
            unended = "an event" if self._data else "a line"
            self._rest, self._data = [], []
            raise MalformedReply("line", f"sends {unended} without end")

    def _complete(self, lines: Sequence[str]) -> list[str]:
        """The data of the events that the lines complete."""
        payloads = []
        for line in lines:
            name, _, value = line.partition(":")
            if name == "data":
                self._data.append(value.removeprefix(" "))
            elif not line and self._data:
                payloads.append("\n".join(self._data))
                self._data = []
        return payloads
