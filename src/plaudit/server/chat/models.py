"""The models behind the page, and the thread in which they write.

The page knows no torch: whoever serves it brings the models.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from plaudit.server.faults import Upstream, one_line
from plaudit.types import Message, PlauditError

Value = TypeVar("Value")
Score = Callable[[Sequence[Message], str], float]
LONGEST = 200  # characters of an unexpected fault that the page shows
log = logging.getLogger("plaudit.server")


@dataclass(frozen=True)
class Sampling:
    """How a response is drawn."""

    tokens: int
    temperature: float
    seed: int


@dataclass(frozen=True)
class Response:
    """A response as a whole."""

    text: str
    tokens: int
    is_complete: bool  # by the model, not by the limit
    omitted: int  # the oldest messages that were left out of the conversation, so that it fits the model's window


class ChatModel(Protocol):
    """A language model that answers."""

    @property
    def name(self) -> str:
        """The name that the page shows."""
        ...

    def write(self, conversation: Sequence[Message], sampling: Sampling) -> Generator[str | Response]:
        """The pieces of a response, and last the whole of it.

        Raises:
            PlauditError: the conversation does not fit the model.
        """
        ...


@dataclass(frozen=True)
class Models:
    """What the page offers: one model, or two that can be compared, and perhaps a score of their responses."""

    title: str
    models: Sequence[ChatModel]
    score: Score | None
    window: int  # the largest number of tokens of a conversation with its response
    tokens: int  # the settings that the page begins with
    temperature: float
    system: str


class Worker:
    """One thread in which all models run, by turns of one token.

    So the event loop never waits for a model, responses to several tabs (or of two models) stream side by side, and no
    two computations meet.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "models")
        self._stopping = False

    async def iterate(self, values: Generator[Value]) -> AsyncGenerator[Value]:
        """The values, each computed in the thread. Raises :class:`Upstream` where the computation fails."""

        def step() -> Value | None:
            return next(values, None)

        try:
            while (value := await self.call(step)) is not None:
                yield value
        finally:  # after the step that may be under way
            self._submit(values.close)

    async def call(self, function: Callable[..., Value], *arguments: object) -> Value:
        """The result of a function that runs in the thread; raises :class:`Upstream` where it fails."""
        if self._stopping:
            raise Upstream("the conversation was ended in the terminal: start plaudit chat again")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
        except PlauditError as error:
            raise Upstream(str(error)) from error
        except Exception as error:  # a model may fail in any way (out of memory, for example); the others still answer
            log.exception("a model failed")
            reason = one_line(f"{type(error).__name__}: {error}")[:LONGEST]
            raise Upstream(f"the model failed ({reason}): try again, or see the terminal") from error

    def stop(self) -> None:
        """End every response at its next token."""
        self._stopping = True

    def close(self) -> None:
        """End the thread, after the step that may be under way."""
        self._executor.shutdown(cancel_futures=True)

    def _submit(self, function: Callable[[], object]) -> None:
        try:
            self._executor.submit(function)
        except RuntimeError:  # the thread has ended, and the generator with it
            log.debug("a response was left unfinished")
