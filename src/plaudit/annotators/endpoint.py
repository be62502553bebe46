"""A language model at an address: any server that speaks OpenAI's chat completions over HTTP.

A server that fails is asked again after a pause that doubles, a busy one (429, 503) for minutes or as long as it says,
and at the end there is one line that names the address. A server that works and gives no usable answer to one prompt is
another matter: that prompt is undecided. The key stands in a header of these requests and nowhere else: it comes from
the environment, and no message repeats it.
"""

from __future__ import annotations

import json
import math
import os
import re
import ssl
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

from plaudit.annotators.draws import generator
from plaudit.annotators.jobs import run_jobs
from plaudit.annotators.patience import Busy, Failed, Nonsense, Patience, Refused, Unfit, retry_after
from plaudit.annotators.undecided import Undecided
from plaudit.types import Message, PlauditError

KEY = "PLAUDIT_JUDGE_KEY"
TEMPERATURE = 0.7  # of what is written, and of verdicts that are asked for again
BUSY = (429, 503)
RETRYABLE = (408, 409, 425)  # other statuses below 500 that may pass
UNFIT = (400, 413, 422)  # it is the prompt that is not taken, as where it is too long
REFUSED = re.compile(  # how servers call a field that they do not take
    r"un(?:known|recogni[sz]ed|supported|expected)|not (?:support|allow|permit|recogni[sz]e)|extra|forbidden",
    re.I,
)
LONGEST = 2**22  # bytes of an answer; no response is as long
THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)  # reasoning models think aloud
Result = TypeVar("Result")


@dataclass(frozen=True)
class Reply:
    """What the model said."""

    text: str
    tokens: tuple[tuple[str, Mapping[str, float]], ...] = ()  # each token and its likeliest rivals' log-probabilities


@dataclass(frozen=True)
class Wish:
    """How an answer is to be drawn."""

    temperature: float = 0.0
    tokens: int = 512
    seed: int = 0
    log_probs: bool = False


@dataclass
class Endpoint:
    """One model at one address."""

    address: str  # http://host:port/v1
    model: str
    patience: Patience = field(default_factory=Patience)
    _plain: bool = field(default=False, init=False)  # the server refuses what not all servers know

    @classmethod
    def from_name(cls, name: str) -> Endpoint:
        """The endpoint that ``http://host:port/v1#model`` means.

        Raises:
            PlauditError: that is no such address, holds a password, or names no model; httpx is not installed.
        """
        address, _, model = name.partition("#")
        if "@" in address:  # it would be stored with every judgement
            raise PlauditError(f"the address of a model holds a user or a password: leave them out and set {KEY}")
        try:
            parts = urlsplit(address)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not parts.query
        except ValueError:  # a port that is no number, half of an IPv6 address
            valid = False
        if not valid:
            raise PlauditError(f"{address!r} is no address of a model: write http://host:port/v1#model")
        if not model:
            raise PlauditError(f"{address} says no model: write {address}#model")
        base = address.rstrip("/").removesuffix("/chat/completions")
        _httpx()
        return cls(base if base.endswith("/v1") else f"{base}/v1", model)

    @property
    def name(self) -> str:
        """Address and model."""
        return f"{self.address}#{self.model}"

    def ask_all(
        self,
        conversations: Sequence[Sequence[Message]],
        wish: Wish,
        accept: Callable[[Reply], Result],
        on_undecided: Callable[[Undecided], Result] | None = None,
    ) -> list[Result]:
        """What ``accept`` makes of the answer to each conversation; it raises :class:`Nonsense` to ask again.

        on_undecided: what to make of a conversation that the model gives no acceptable answer to, and the server works.

        Raises:
            Undecided: there is such a conversation, and no ``on_undecided``.
            PlauditError: the server gave no answer, however often it was asked for.
        """
        stop = threading.Event()
        wait = self.patience
        timeout = _httpx().Timeout(wait.answer, connect=wait.connect)

        def open_client() -> Any:
            return _httpx().Client(timeout=timeout, verify=self._tls)

        requests = [_Request(messages, wish, index, stop) for index, messages in enumerate(conversations)]
        jobs = [partial(self._resolve, request, accept, on_undecided) for request in requests]
        return run_jobs(jobs, open_client, stop, wait.workers)

    def write(self, conversations: Sequence[Sequence[Message]], seed: int, tokens: int = 512) -> list[str]:
        """One sampled response to each conversation, never empty; PlauditError as :meth:`ask_all`."""
        return self.ask_all(conversations, Wish(TEMPERATURE, tokens, seed), _text)

    def _resolve(
        self,
        request: _Request,
        accept: Callable[[Reply], Result],
        on_undecided: Callable[[Undecided], Result] | None,
        client: Any,
    ) -> Result:
        try:
            return self._ask(request, accept, client)
        except Undecided as error:
            if on_undecided is None:
                raise
            return on_undecided(error)

    def _ask(self, request: _Request, accept: Callable[[Reply], Result], client: Any) -> Result:
        """Ask until the answer is acceptable, or hope is gone."""
        attempt = tries = 0
        waiting_time = 0.0
        while True:
            try:
                return accept(self._answer(request, client, attempt))
            except (Nonsense, Failed) as error:
                problem = error
            except Refused as error:
                raise PlauditError(f"{self.name} {error}") from error
            except Unfit as error:
                raise Undecided(f"{self.name} {error}") from error
            attempt += 1
            if isinstance(problem, Busy):
                chance = generator("pause", request.wish.seed, request.index, attempt).random()
                pause = self.patience.before(attempt, chance, problem.after)
                waiting_time += pause
                exhausted = waiting_time > self.patience.busy
            else:
                tries += 1
                pause = self.patience.before(tries)
                exhausted = tries >= self.patience.tries
            if exhausted:
                raise self._hopeless(problem, attempt) from problem
            if request.stop.wait(pause):
                raise PlauditError(f"{self.name} was asked no more: another request failed")

    def _hopeless(self, problem: Exception, attempts: int) -> PlauditError:
        times = f"asked {attempts} time{'s' * (attempts > 1)}"
        if isinstance(problem, Nonsense):
            return Undecided(f"{self.name} {problem} ({times})")
        after = problem.after if isinstance(problem, Busy) else None
        wish = "" if after is None else f", asks to wait {after:.0f} s"
        return PlauditError(
            f"{self.name} {problem} ({times}{wish}): see that this server and model work, and go on; what was "
            "judged is kept"
        )

    def _answer(self, request: _Request, client: Any, attempt: int) -> Reply:
        wish = request.wish
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        }
        more: dict[str, Any] = {"max_tokens": wish.tokens, "seed": (wish.seed + attempt) % 2**31}
        # asked again at temperature 0, it would say the same nonsense again
        more["temperature"] = max(wish.temperature, TEMPERATURE) if attempt else wish.temperature
        if wish.log_probs:
            more |= {"logprobs": True, "top_logprobs": 5}
        status, data, after = self._post(client, request.stop, body if self._plain else body | more)
        if status in (400, 422) and not self._plain:  # some refuse what they do not know: once more, with the least
            unknown = _unknown(data, more)  # else it was this prompt: with less to be written it may fit, say
            status, data, after = self._post(client, request.stop, body)
            self._plain = unknown and status == 200
        if status == 200:
            return _parse_reply(data)
        if status in (401, 403):
            raise Refused(f"refuses the key: set {KEY} to one that it takes")
        problem = f"answers {status} {_phrase(status)}{_reason(data)}"
        if status in BUSY:
            raise Busy(problem, after)
        if status in UNFIT:
            raise Unfit(problem)
        if status < 500 and status not in RETRYABLE:
            raise Refused(f"{problem}: check address and model")
        raise Failed(problem)

    def _post(self, client: Any, stop: threading.Event, body: Mapping[str, Any]) -> tuple[int, bytes, float | None]:
        """Status, body, and for how many seconds the server asks to wait."""
        httpx = _httpx()
        late = f"takes more than {self.patience.answer:g} s to answer"
        latest = time.monotonic() + self.patience.answer
        data = b""
        try:
            headers = {"Authorization": f"Bearer {_key()}"} if _key() else {}
            with client.stream("POST", f"{self.address}/chat/completions", json=body, headers=headers) as answer:
                for chunk in answer.iter_bytes():
                    data += chunk
                    if len(data) > LONGEST:
                        raise Failed("answers without an end")
                    if time.monotonic() > latest or stop.is_set():
                        raise Failed(late)
                return answer.status_code, data, retry_after(answer.headers.get("Retry-After"))
        except httpx.ConnectTimeout:
            raise Failed("cannot be reached in time") from None
        except httpx.TimeoutException:
            raise Failed(late) from None
        except httpx.ConnectError:
            raise Failed("cannot be reached") from None
        except httpx.HTTPError as error:
            raise Failed(f"breaks the connection ({type(error).__name__})") from None

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()  # takes long enough to be made once


@dataclass(frozen=True)
class _Request:
    """One conversation that is to be answered."""

    messages: Sequence[Message]
    wish: Wish
    index: int  # among those that are asked together
    stop: threading.Event  # set when nobody wants the answer any more


def _key() -> str:
    key = os.environ.get(KEY, "").strip()
    if not key.isascii() or not key.isprintable():
        raise PlauditError(f"{KEY} holds what no key holds: set it to printable ASCII characters")
    return key


def _unknown(data: bytes, fields: Collection[str]) -> bool:
    """Whether a refusal is about a field that the server does not know or take, and not about a prompt."""
    text = data.decode("utf-8", "replace")
    return REFUSED.search(text) is not None and any(re.search(rf"\b{name}\b", text) for name in fields)


def _reason(data: bytes) -> str:
    """What the other side says is wrong, in brackets, one short line without the key."""
    try:
        body = json.loads(data)
    except ValueError:
        return ""
    error = body.get("error", body.get("detail")) if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    if not isinstance(message, str) or not message.strip():
        return ""
    line = " ".join(message.split())
    return f" ({(line.replace(_key(), '***') if _key() else line)[:200]})"


def _httpx() -> Any:
    try:
        import httpx
    except ImportError as error:
        raise PlauditError("a model at an address needs httpx: pip install 'plaudit[serve]'") from error
    return httpx


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "an unknown status"


def _parse_reply(data: bytes) -> Reply:
    """The text of an answer, and its tokens where they came with log-probabilities."""
    try:
        choice = json.loads(data)["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, LookupError, TypeError):
        raise Failed("answers in another shape than a chat's") from None
    if not isinstance(text, str):
        raise Nonsense("answers with something that is no text")
    try:
        tokens = tuple(
            (str(entry["token"]), {str(rival["token"]): float(rival["logprob"]) for rival in entry["top_logprobs"]})
            for entry in choice["logprobs"]["content"]
        )
    except (LookupError, TypeError, ValueError):
        tokens = ()  # not every server has them
    return Reply(text, tokens)


def _text(reply: Reply) -> str:
    text = storable(THOUGHTS.sub("", reply.text)).strip()
    if not text:
        raise Nonsense("answers with nothing")
    return text


def storable(text: str) -> str:
    """The text without what UTF-8 and databases have no spelling for."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def preference(reply: Reply, position: int, first: str = "A", second: str = "B") -> float | None:
    """P[first] by the log-probabilities of the token at character ``place``; None where they do not tell."""
    begin = 0
    for token, rivals in reply.tokens:
        if begin <= position < begin + len(token):
            weights = [
                sum(math.exp(value) for rival, value in rivals.items() if rival.strip() == option)
                for option in (first, second)
            ]
            total = sum(weights)
            return weights[0] / total if total > 0 and token.strip() in (first, second) else None
        begin += len(token)
    return None
