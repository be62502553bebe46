"""The live model: a client of any OpenAI-compatible ``/v1/chat/completions`` that streams.

Whatever the model's server sends (nothing, an error page, half a response), the caller gets text or :class:`Upstream`,
one line that a person can read. The key is sent in a header of these requests only.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx

from plaudit.server.faults import Upstream, one_line
from plaudit.server.settings import ServerConfig
from plaudit.types import Message

UNREACHED = "the model's server cannot be reached: try again in a moment, or tell an admin"
LONGEST_EVENT = 2**20  # characters without an end of line; no token is as long


@dataclass(frozen=True)
class Limits:
    """Longest waits in seconds, and the longest response."""

    connect: float = 5.0
    first: float = 30.0  # until the first token
    idle: float = 30.0  # between tokens
    tokens: int = 1024
    characters: int = 20_000  # a longer response is cut


class Events:
    """Parses server-sent events from chunks of bytes that may be cut anywhere; reads only ``data`` fields."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("replace").decode
        self._rest = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes, end: bool = False) -> list[str]:
        """The data of the events that ``chunk`` completes; ``end`` completes the last one."""
        text = self._rest + self._decode(chunk, end)
        carriage_return = "\r" if text.endswith("\r") and not end else ""  # may be half of a line end
        lines = text.removesuffix(carriage_return).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = lines.pop() + carriage_return
        if len(self._rest) > LONGEST_EVENT:
            raise Upstream("the model's server sends a line without end: try again, or tell an admin")
        if end:
            lines += [self._rest, ""]
            self._rest = ""
        payloads = []
        for line in lines:
            name, _, value = line.partition(":")
            if name == "data":
                self._data.append(value.removeprefix(" "))
            elif not line and self._data:
                payloads.append("\n".join(self._data))
                self._data = []
        return payloads


class Endpoint:
    """One model at one address."""

    def __init__(self, url: str, model: str = "", key: str | None = None, limits: Limits | None = None) -> None:
        base = url.rstrip("/").removesuffix("/chat/completions")
        self.url = base if base.endswith("/v1") else f"{base}/v1"
        self.limits = limits or Limits()
        self._model = model
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._tls = ssl.create_default_context()  # slow to create, so made once

    @classmethod
    def from_config(cls, config: ServerConfig) -> Endpoint | None:
        """The endpoint in a server's settings; None if they name none."""
        if config.endpoint is None:
            return None
        return cls(config.endpoint, config.endpoint_model, os.environ.get(config.endpoint_key_env))

    def _client(self) -> httpx.AsyncClient:
        wait = self.limits
        timeout = httpx.Timeout(wait.first, connect=wait.connect, pool=wait.connect)
        return httpx.AsyncClient(timeout=timeout, verify=self._tls, headers=self._headers)

    async def model(self) -> str:
        """The model's name: as set, or the first that the server lists. Raises :class:`Upstream`."""
        if not self._model:
            try:
                async with self._client() as client:
                    answer = await client.get(f"{self.url}/models")
                if answer.status_code in (401, 403, 429):
                    raise Upstream(_refusal(answer.status_code, ""))
                self._model = str(answer.raise_for_status().json()["data"][0]["id"])
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise Upstream(UNREACHED) from error
            except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
                raise Upstream(
                    "the model's server does not say which models it has: try again, or ask an admin to name one"
                ) from error
        return self._model

    async def stream(self, messages: Sequence[Message], seed: int) -> AsyncIterator[str]:
        """Pieces of one sampled response, as they arrive. May raise :class:`Upstream` after some of them."""
        body: dict[str, Any] = {
            "model": await self.model(),
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "stream": True,
            "temperature": 1.0,
            "max_tokens": self.limits.tokens,
            "seed": seed,
        }
        length = 0
        try:
            async with self._client() as client, aclosing(self._pieces(client, body)) as pieces:
                while length < self.limits.characters:
                    piece = await self._in_time(pieces, first=length == 0)
                    if piece is None:
                        break
                    yield piece[: self.limits.characters - length]
                    length += len(piece)
        except Upstream as error:  # annotators must not learn which model they judge
            raise Upstream(str(error).replace(body["model"], "the model")) from error
        except httpx.ConnectTimeout as error:
            raise Upstream("the model's server cannot be reached in time: try again in a moment") from error
        except httpx.TimeoutException as error:
            raise Upstream("the model's server takes too long to answer: try again") from error
        except httpx.ConnectError as error:
            raise Upstream(UNREACHED) from error
        except httpx.HTTPError as error:
            raise Upstream("the connection to the model's server broke: try again") from error
        if length == 0:
            raise Upstream("the model answered with nothing: try again")

    async def _in_time(self, pieces: AsyncIterator[str], first: bool) -> str | None:
        """The next piece, None at the end. A server that only sends signs of life counts as silent."""
        try:
            async with asyncio.timeout(self.limits.first if first else self.limits.idle):
                return await anext(pieces, None)
        except TimeoutError as error:
            problem = "has not begun to answer" if first else "has stopped in the middle of its answer"
            raise Upstream(f"the model {problem}: try again") from error

    async def _pieces(self, client: httpx.AsyncClient, body: Mapping[str, Any]) -> AsyncGenerator[str]:
        async with client.stream("POST", f"{self.url}/chat/completions", json=body) as response:
            if response.status_code not in (400, 422) or "seed" not in body:
                async for piece in _read(response):
                    yield piece
                return
        # Some servers reject unknown fields: try once more without the seed.
        plain = {name: value for name, value in body.items() if name != "seed"}
        async for piece in self._pieces(client, plain):
            yield piece


async def _read(response: httpx.Response) -> AsyncIterator[str]:
    """The text in a response, streamed or not."""
    if response.status_code != 200:
        raise Upstream(_refusal(response.status_code, await _beginning(response)))
    type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if type == "application/json":  # the server ignored the request to stream
        piece, _ = _piece(await _beginning(response, LONGEST_EVENT), "message")
        yield piece
        return
    if type == "text/html":
        raise Upstream("the model's server answered with a web page: an admin must set the right address")
    events, finished = Events(), False
    async for chunk in response.aiter_bytes():
        for data in events.feed(chunk):
            if data == "[DONE]":
                return
            piece, is_last = _piece(data, "delta")
            finished = finished or is_last
            if piece:
                yield piece
    for data in events.feed(b"", end=True):
        finished = finished or data == "[DONE]"
    if not finished:
        raise Upstream("the model's answer was cut off: try again")


async def _beginning(response: httpx.Response, most: int = 4096) -> str:
    data = b""
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) >= most:
            break
    return data[:most].decode("utf-8", "replace")


def _piece(data: str, field: str) -> tuple[str, bool]:
    """The text of one chunk, and whether it is the last; raises :class:`Upstream` if it is malformed."""
    try:
        chunk = json.loads(data)
    except ValueError as error:
        raise Upstream("the model's server answered with something that is no JSON: try again") from error
    if isinstance(chunk, dict) and chunk.get("error"):
        raise Upstream(f"the model's server failed{_reason(chunk)}: try again")
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    if choices == []:  # a chunk with counts of tokens
        return "", False
    try:
        choice = choices[0]  # type: ignore[index]
        content = (choice.get(field) or {}).get("content")
        is_last = choice.get("finish_reason") is not None
    except (TypeError, LookupError, AttributeError) as error:
        raise Upstream("the model's server answers in another shape than a chat's: tell an admin") from error
    if content is not None and not isinstance(content, str):
        raise Upstream("the model's server answers with something that is no text: tell an admin")
    return content or "", is_last


def _refusal(status: int, body: str) -> str:
    try:
        reason = _reason(json.loads(body))
    except ValueError:
        reason = ""
    if status in (401, 403):
        return "the model's server refuses this server's key: an admin must set another"
    if status == 404:
        return f"the model's server knows no such model or address{reason}: tell an admin"
    if status == 429:
        return "the model is busy: try again in a moment"
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "an unknown status"
    return f"the model's server answered {status} {phrase}{reason}: try again, or tell an admin"


def _reason(body: Any) -> str:
    """The server's error message in brackets: one short line."""
    error = body.get("error", body.get("detail")) if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return f" ({one_line(message)[:200]})" if isinstance(message, str) and message.strip() else ""
