"""The page of `plaudit chat --browser` over models that say what a test wants."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from plaudit.server.chat.app import Local, Services, create_chat_app
from plaudit.server.chat.models import Models, Response, Sampling, Worker
from plaudit.server.serve import listen, serve_app
from plaudit.types import Message, PlauditError


@dataclass
class Parrot:
    """Repeats the last message, a word at a time, and fails on demand."""

    name: str
    prefix: str = ""
    pause: float = 0.0  # seconds before each word
    requests: list[tuple[list[Message], Sampling]] = field(default_factory=list)
    closed: int = 0  # responses that were ended before their end

    def write(self, conversation: Sequence[Message], sampling: Sampling) -> Generator[str | Response]:
        """As a ChatModel."""
        self.requests.append((list(conversation), sampling))
        message = conversation[-1].content
        words = f"{self.prefix}{message}".split()
        if message == "too long":
            raise PlauditError("the message has 900 tokens: shorten it")
        if message == "go on":
            words = ["on"] * 5000
        text = ""
        try:
            for count, word in enumerate(words[: sampling.tokens]):
                time.sleep(self.pause)
                if (message, count) == ("die", 1):
                    raise RuntimeError("CUDA out of memory\ntried to allocate")
                piece = word if not text else f" {word}"
                text += piece
                yield piece
        except GeneratorExit:
            self.closed += 1
            raise
        yield Response(text, min(len(words), sampling.tokens), len(words) <= sampling.tokens, 2 * ("omit" in message))


def services(*models: Parrot, port: int = 0, is_scored: bool = True) -> Services:
    """The services of a page on ``models``, which scores a response by its number of words."""

    def score(conversation: Sequence[Message], text: str) -> float:
        if "unscored" in text:
            raise PlauditError("the model's chat template refuses a conversation")
        return float(len(text.split()))

    offered = Models("runs/chat", models, score if is_scored else None, 1000, 64, 0.7, "")
    return Services(Local.create(port), offered, Worker())


@contextmanager
def serving_chat(*models: Parrot) -> Iterator[Services]:
    """The page on a port of its own, in a thread of this process."""
    ready, stop = threading.Event(), threading.Event()
    with listen("127.0.0.1", 0, "") as listener:
        served = services(*models, port=listener.getsockname()[1])
        arguments = (create_chat_app(served), listener, ready.set, served.worker.stop, stop)
        thread = threading.Thread(target=serve_app, args=arguments, daemon=True)
        thread.start()
        assert ready.wait(60), "the page was not served within a minute"
        yield served
        stop.set()
        thread.join(20)
        served.worker.close()
        assert not thread.is_alive()
