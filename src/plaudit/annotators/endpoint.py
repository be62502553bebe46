"""A language model at an address: any server that speaks OpenAI's chat completions over HTTP.

After a failure the request is sent again, after a pause that doubles. A busy server (429, 503) is asked for minutes, or
as long as its Retry-After says. In the end, one line names the address. If the server works but gives no usable answer
to a prompt, that prompt is undecided. The key comes from the environment.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from plaudit.annotators.draws import generator
from plaudit.annotators.jobs import run_jobs
from plaudit.annotators.patience import (
    Nonsense,
    Patience,
    ServerBusy,
    ServerFailure,
    ServerRefusal,
    UnfitPrompt,
    retry_after,
)
from plaudit.annotators.undecided import UndecidedQuestion
from plaudit.chat_completions import (
    LONGEST,
    REJECTING,
    MalformedReply,
    ModelServer,
    Reply,
    read_key,
    rejects_fields,
    request_body,
)
from plaudit.types import Message, PlauditError

KEY = "PLAUDIT_JUDGE_KEY"
LONGEST_TEXT = 400_000  # characters of a response or a verdict; no model that keeps to its tokens writes more
TEMPERATURE = 0.7  # of responses, and of verdicts after the first attempt
BUSY = (429, 503)
RETRYABLE = (408, 409, 425)  # other statuses below 500 that are worth another attempt
UNFIT = (400, 413, 422)  # the server rejects the prompt, for example because it is too long
THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)  # the reasoning that some models write first
Result = TypeVar("Result")


@dataclass(frozen=True)
class Wish:
    """Sampling settings of an answer."""

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
    _plain: bool = field(default=False, init=False)  # the server rejects the optional fields

    @classmethod
    def from_name(cls, name: str) -> Endpoint:
        """The endpoint that ``http://host:port/v1#model`` means.

        Raises:
            PlauditError: the address is malformed, holds a password or names no model, or httpx is not installed.
        """
        address, _, model = name.partition("#")
        if "@" in address:  # every judgement would store it
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
        _httpx()
        return cls(ModelServer(address).address, model)

    @property
    def name(self) -> str:
        """Address and model."""
        return f"{self.address}#{self.model}"

    def ask_all(
        self,
        conversations: Sequence[Sequence[Message]],
        wish: Wish,
        accept: Callable[[Reply], Result],
        on_undecided: Callable[[UndecidedQuestion], Result] | None = None,
    ) -> list[Result]:
        """The value of ``accept`` for the answer to each conversation; it raises :class:`Nonsense` to ask again.

        on_undecided: gives the value of a conversation that the model has no acceptable answer to.

        Raises:
            UndecidedQuestion: there is such a conversation, and no ``on_undecided``.
            PlauditError: the server gave no answer in any attempt.
        """
        stop = threading.Event()
        wait = self.patience
        timeout = _httpx().Timeout(wait.answer, connect=wait.connect)
        server = ModelServer(self.address, read_key(KEY))
        open_client = partial(_httpx().Client, timeout=timeout, **server.client_options)
        requests = [_Request(messages, wish, index, stop, server) for index, messages in enumerate(conversations)]
        jobs = [partial(self._resolve, request, accept, on_undecided) for request in requests]
        return run_jobs(jobs, open_client, stop, wait.workers)

    def write(self, conversations: Sequence[Sequence[Message]], seed: int, tokens: int = 512) -> list[str]:
        """One sampled response to each conversation, never empty; PlauditError as :meth:`ask_all`."""
        return self.ask_all(conversations, Wish(TEMPERATURE, tokens, seed), _text)

    def _resolve(
        self,
        request: _Request,
        accept: Callable[[Reply], Result],
        on_undecided: Callable[[UndecidedQuestion], Result] | None,
        client: Any,
    ) -> Result:
        try:
            return self._ask(request, accept, client)
        except UndecidedQuestion as error:
            if on_undecided is None:
                raise
            return on_undecided(error)

    def _ask(self, request: _Request, accept: Callable[[Reply], Result], client: Any) -> Result:
        """Ask until the answer is acceptable or the attempts are used up."""
        attempt = tries = 0
        waiting_time = 0.0
        while True:
            try:
                return accept(self._answer(request, client, attempt))
            except (Nonsense, ServerFailure) as error:
                problem = error
            except ServerRefusal as error:
                raise PlauditError(f"{self.name} {error}") from error
            except UnfitPrompt as error:
                raise UndecidedQuestion(f"{self.name} {error}") from error
            attempt += 1
            if isinstance(problem, ServerBusy):
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
            return UndecidedQuestion(f"{self.name} {problem} ({times})")
        after = problem.after if isinstance(problem, ServerBusy) else None
        wish = "" if after is None else f", asks to wait {after:.0f} s"
        return PlauditError(
            f"{self.name} {problem} ({times}{wish}): see that this server and model work, and go on; what was "
            "judged is kept"
        )

    def _answer(self, request: _Request, client: Any, attempt: int) -> Reply:
        wish = request.wish
        body = request_body(self.model, request.messages)
        more: dict[str, Any] = {"max_tokens": wish.tokens, "seed": (wish.seed + attempt) % 2**31}
        # at temperature 0, another attempt would give the same nonsense
        more["temperature"] = max(wish.temperature, TEMPERATURE) if attempt else wish.temperature
        if wish.log_probs:
            more |= {"logprobs": True, "top_logprobs": 5}
        status, data, after = self._post(client, request.stop, body if self._plain else body | more)
        if status in REJECTING and not self._plain:  # some reject unknown fields: try once without them
            unknown = rejects_fields(data, more)  # if not, the prompt was the cause; a shorter request may still fit
            status, data, after = self._post(client, request.stop, body)
            self._plain = unknown and status == 200
        if status == 200:
            try:
                reply = request.server.parse_reply(data, "message")
                if len(reply.text) > LONGEST_TEXT:
                    raise Nonsense("answers with more text than it was asked for")
                return reply
            except MalformedReply as error:
                raise (Nonsense if error.kind == "text" else ServerFailure)(str(error)) from None
        if status in (401, 403):
            raise ServerRefusal(f"refuses the key: set {KEY} to one that it takes")
        problem = f"answers {request.server.describe(status, data)}"
        if status in BUSY:
            raise ServerBusy(problem, after)
        if status in UNFIT:
            raise UnfitPrompt(problem)
        if status < 500 and status not in RETRYABLE:
            raise ServerRefusal(f"{problem}: check address and model")
        raise ServerFailure(problem)

    def _post(self, client: Any, stop: threading.Event, body: Mapping[str, Any]) -> tuple[int, bytes, float | None]:
        """Status, body, and the seconds that the server asks to wait."""
        httpx = _httpx()
        late = f"takes more than {self.patience.answer:g} s to answer"
        latest = time.monotonic() + self.patience.answer
        data = bytearray()
        try:
            with client.stream("POST", f"{self.address}/chat/completions", json=body) as answer:
                for chunk in answer.iter_raw():
                    data += chunk
                    if len(data) > LONGEST:
                        raise ServerFailure("answers without an end")
                    if time.monotonic() > latest or stop.is_set():
                        raise ServerFailure(late)
                return answer.status_code, bytes(data), retry_after(answer.headers.get("Retry-After"))
        except httpx.ConnectTimeout:
            raise ServerFailure("cannot be reached in time") from None
        except httpx.TimeoutException:
            raise ServerFailure(late) from None
        except httpx.ConnectError:
            raise ServerFailure("cannot be reached") from None
        except httpx.HTTPError as error:
            raise ServerFailure(f"breaks the connection ({type(error).__name__})") from None


@dataclass(frozen=True)
class _Request:
    """One conversation to answer."""

    messages: Sequence[Message]
    wish: Wish
    index: int  # position among the conversations of one call
    stop: threading.Event  # set when the answer is not needed any more
    server: ModelServer


def _httpx() -> Any:
    try:
        import httpx
    except ImportError as error:
        raise PlauditError("a model at an address needs httpx: pip install -e '.[serve]'") from error
    return httpx


def _text(reply: Reply) -> str:
    text = storable(THOUGHTS.sub("", reply.text)).strip()
    if not text:
        raise Nonsense("answers with nothing")
    return text


def storable(text: str) -> str:
    """The text without characters that UTF-8 or databases cannot store."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def preference(reply: Reply, position: int, first: str = "A", second: str = "B") -> float | None:
    """P[first] by the log-probabilities of the token at character ``position``.

    None if they are missing, or if the token is neither option.
    """
    begin = 0
    for token, rivals in reply.tokens:
        if begin <= position < begin + len(token):
            weights = [
                sum(math.exp(min(value, 0.0)) for rival, value in rivals.items() if rival.strip() == option)
                for option in (first, second)
            ]
            total = sum(weights)
            return weights[0] / total if total > 0 and token.strip() in (first, second) else None
        begin += len(token)
    return None
