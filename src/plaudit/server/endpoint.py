"""The live model: a client of any OpenAI-compatible ``/v1/chat/completions`` that streams.

Whatever the model's server sends (nothing, an error page, half a response), the caller gets text or :class:`Upstream`,
one line that a person can read.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import httpx

from plaudit.chat_completions import (
    LONGEST,
    LONGEST_NAME,
    REJECTING,
    Events,
    MalformedReply,
    ModelServer,
    read_key,
    request_body,
)
from plaudit.server.faults import Upstream
from plaudit.server.settings import ServerConfig
from plaudit.types import Message

UNREACHED = "the model's server cannot be reached: try again in a moment, or tell an admin"
ADVICE = {"json": "try again", "error": "try again", "line": "try again, or tell an admin"}  # for others, only the last


@dataclass(frozen=True)
class Limits:
    """Longest waits in seconds, and the longest response."""

    connect: float = 5.0
    first: float = 30.0  # until the first token
    idle: float = 30.0  # between tokens
    whole: float = 600.0  # until the last token
    tokens: int = 1024
    characters: int = 20_000  # a longer response is cut


class Endpoint:
    """One model at one address."""

    def __init__(self, url: str, model: str = "", key: str = "", limits: Limits | None = None) -> None:
        self.server = ModelServer(url, key, model)  # annotators must not learn which model they judge
        self.limits = limits or Limits()

    @classmethod
    def from_config(cls, config: ServerConfig) -> Endpoint | None:
        """The endpoint in a server's settings; None if they name none. PlauditError as :func:`read_key`."""
        if config.endpoint is None:
            return None
        return cls(config.endpoint, config.endpoint_model, read_key(config.endpoint_key_env))

    def _client(self) -> httpx.AsyncClient:
        wait = self.limits
        timeout = httpx.Timeout(wait.first, connect=wait.connect, pool=wait.connect)
        return httpx.AsyncClient(timeout=timeout, **self.server.client_options)

    async def model(self) -> str:
        """The model's name: as set, or the first that the server lists. Raises :class:`Upstream`."""
        if not self.server.hidden_model:
            try:
                status, body = await self._list_models()
                if status in (401, 403, 429):
                    raise Upstream(self._refusal(status, b""))
                if status != 200:
                    raise ValueError(self.server.describe(status, body))
                name = json.loads(body)["data"][0]["id"]
                if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
                    raise ValueError("no name of a model")
                self.server = replace(self.server, hidden_model=name)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise Upstream(UNREACHED) from error
            except (httpx.HTTPError, TimeoutError, ValueError, LookupError, TypeError, RecursionError) as error:
                raise Upstream(
                    "the model's server does not say which models it has: try again, or ask an admin to name one"
                ) from error
        return self.server.hidden_model

    async def _list_models(self) -> tuple[int, bytes]:
        async with (
            asyncio.timeout(self.limits.first),
            self._client() as client,
            client.stream("GET", f"{self.server.address}/models") as response,
        ):
            return response.status_code, await _read_beginning(response, LONGEST)

    async def stream(self, messages: Sequence[Message], seed: int) -> AsyncGenerator[str]:
        """Pieces of one sampled response, as they arrive. May raise :class:`Upstream` after some of them."""
        body = request_body(await self.model(), messages)
        body |= {"stream": True, "temperature": 1.0, "max_tokens": self.limits.tokens, "seed": seed}
        length = 0
        latest = time.monotonic() + self.limits.whole
        try:
            async with self._client() as client, aclosing(self._pieces(client, body)) as pieces:
                while length < self.limits.characters and time.monotonic() < latest:
                    piece = await self._in_time(pieces, first=length == 0)
                    if piece is None:
                        break
                    yield piece[: self.limits.characters - length]
                    length += len(piece)
        except MalformedReply as error:
            advice = ADVICE.get(error.kind, "tell an admin")
            raise Upstream(f"the model's server {error}: {advice}") from error
        except httpx.ConnectTimeout as error:
            raise Upstream("the model's server cannot be reached in time: try again in a moment") from error
        except httpx.TimeoutException as error:
            raise Upstream("the model's server takes too long to answer: try again") from error
        except httpx.ConnectError as error:
            raise Upstream(UNREACHED) from error
        except httpx.HTTPError as error:
            raise Upstream("the connection to the model's server broke: try again") from error
        if length == 0:
            raise Upstream("the model's answer was empty: try again")

    async def _in_time(self, pieces: AsyncIterator[str], first: bool) -> str | None:
        """The next piece, None at the end. A server that only sends signs of life counts as silent."""
        try:
            async with asyncio.timeout(self.limits.first if first else self.limits.idle):
                return await anext(pieces, None)
        except TimeoutError as error:
            problem = "has not begun to answer" if first else "has stopped in the middle of its answer"
            raise Upstream(f"the model {problem}: try again") from error

    async def _pieces(self, client: httpx.AsyncClient, body: Mapping[str, Any]) -> AsyncGenerator[str]:
        async with client.stream("POST", f"{self.server.address}/chat/completions", json=body) as response:
            if response.status_code not in REJECTING or "seed" not in body:
                async for piece in self._read(response):
                    yield piece
                return
        # Some servers reject unknown fields: try once more without the seed.
        plain = {name: value for name, value in body.items() if name != "seed"}
        async for piece in self._pieces(client, plain):
            yield piece

    async def _read(self, response: httpx.Response) -> AsyncIterator[str]:
        """The text in a response, streamed or not; it may be empty."""
        if response.status_code != 200:
            raise Upstream(self._refusal(response.status_code, await _read_beginning(response)))
        type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if type == "application/json":  # the server ignored the request to stream
            body = await _read_beginning(response, LONGEST)
            yield self.server.parse_reply(body, "message").text
            return
        if type == "text/html":
            raise Upstream("the model's server answered with a web page: an admin must set the right address")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise Upstream("the model's server packs its answers although it was asked not to: tell an admin")
        events, finished = Events(), False
        async for chunk in response.aiter_raw():
            for data in events.feed(chunk):
                if data == "[DONE]":
                    return
                reply = self.server.parse_reply(data, "delta")
                finished = finished or reply.is_last
                if reply.text:
                    yield reply.text
        if not finished and "[DONE]" not in events.feed(b"", end=True):
            raise Upstream("the model's answer was cut off: try again")

    def _refusal(self, status: int, body: bytes) -> str:
        if status in (401, 403):
            return "the model's server refuses this server's key: an admin must set another"
        if status == 429:
            return "the model is busy: try again in a moment"
        if status == 404:
            return f"the model's server does not know this model or address{self.server.reason(body)}: tell an admin"
        return f"the model's server answered {self.server.describe(status, body)}: try again, or tell an admin"


async def _read_beginning(response: httpx.Response, most: int = 4096) -> bytes:
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) >= most:
            break
    return bytes(data[:most])
