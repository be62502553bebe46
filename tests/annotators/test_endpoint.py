"""A model at an address, and everything that can go wrong there; the server is real."""

from __future__ import annotations

import builtins
import json
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from queue import SimpleQueue
from typing import Any

import pytest

from plaudit.annotators import endpoint, jobs
from plaudit.annotators.endpoint import KEY, Endpoint, Wish
from plaudit.annotators.patience import Patience, retry_after
from plaudit.annotators.undecided import UndecidedQuestion
from plaudit.types import Message, PlauditError

from ..processes import Forked
from .fake_judge import FakeJudge

HI = [Message("user", "Hi")]
QUICK = Patience(tries=3, pause=0.01, connect=1.0, answer=0.5)


def at(fake: FakeJudge, patience: Patience = QUICK) -> Endpoint:
    found = Endpoint.from_name(fake.name.removeprefix("ai:"))
    found.patience = patience
    return found


def write(fake: FakeJudge) -> list[str]:
    return at(fake).write([HI], seed=5)


@pytest.mark.parametrize(
    "failure",
    [
        (500, "out of memory"),
        (408, "late"),
        b"<html>login</html>",
        b"[]",
        b"{}",
        b"\xff",
        {"choices": []},
        {"error": {"message": "out of memory"}},
        {"choices": [{"message": {"content": None}}]},
        {"choices": [{"message": {"content": 7}}]},
        "",
        "  \n",
        "<think>hm",
    ],
)
def test_what_may_pass_is_asked_again(fake: FakeJudge, failure) -> None:
    fake.failures, fake.reply = [failure, failure], lambda prompt: " Fine. "
    assert write(fake) == ["Fine."]
    assert len(fake.bodies) == 3
    assert len({body["seed"] for body in fake.bodies}) == 3  # asked with the same seed, it might say the same again
    fake.failures = [failure] * 3
    with pytest.raises(PlauditError, match=r"^http://127\.0\.0\.1:\d+/v1#fake .*\(asked 3 times\)") as raised:
        write(fake)
    assert "\n" not in str(raised.value)


def test_pauses_by_hand(fake: FakeJudge) -> None:
    assert [Patience().before(attempt) for attempt in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert [Patience().before(3, chance) for chance in (0.5, 1.0)] == [5, 6]
    assert Patience().before(1, 0.0, 20.0) == 20 and Patience().before(1, 1.0, 20.0) == 30
    assert Patience().before(2, 0.0, 0.0) == 2  # "at once" would be without an end
    fake.reply = lambda prompt: (500, "no")
    begun = time.monotonic()
    with pytest.raises(PlauditError, match="asked 4 times"):
        at(fake, Patience(pause=0.05)).write([HI], 0)
    assert 0.35 <= time.monotonic() - begun < 6  # pauses of the usual length take 7 s


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_waited_for_beyond_all_tries(fake: FakeJudge, status: int) -> None:
    fake.failures, fake.reply = [(status, "slow down")] * 6, lambda prompt: "Fine."
    assert at(fake, Patience(tries=1, pause=0.01, longest=0.02)).write([HI], 5) == ["Fine."]
    assert len(fake.bodies) == 7
    fake.reply = lambda prompt: (status, "slow down")
    with pytest.raises(PlauditError, match=r"slow down\) \(asked \d+ times\): see") as raised:
        at(fake, Patience(pause=0.01, longest=0.02, busy=0.2)).write([HI], 5)
    assert not isinstance(raised.value, UndecidedQuestion)  # it is the server, and not the question
    assert 8 < len(fake.bodies) < 30


def test_a_server_says_for_how_long_to_wait(fake: FakeJudge) -> None:
    fake.failures, fake.after = [(429, "slow down")], ["1"]
    begun = time.monotonic()
    write(fake)
    assert time.monotonic() - begun > 1
    fake.failures, fake.after = [(429, "no more today")], ["86400"]
    with pytest.raises(PlauditError, match=r"no more today\) \(asked 1 time, asks to wait 86400 s\)"):
        write(fake)


def test_what_a_server_asks_for_by_hand() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert retry_after("17") == 17 and 85 < (retry_after(date) or 0) <= 90
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert [retry_after(each) for each in (None, "", "soon", "-3")] == [None] * 4


@pytest.mark.parametrize("failure", [(400, "the context has 4096 tokens"), (413, "too large"), "<think>hm"])
def test_an_answer_that_one_prompt_does_not_get_is_told_from_a_server_that_fails(fake: FakeJudge, failure) -> None:
    fake.reply = lambda prompt: failure if prompt == "long" else "Fine."
    asked = [HI, [Message("user", "long")], HI]
    found = at(fake).ask_all(asked, Wish(), endpoint._text, lambda error: f"none: {error}")
    assert found[::2] == ["Fine.", "Fine."] and found[1].startswith("none: http://127.0.0.1:")
    with pytest.raises(UndecidedQuestion):
        at(fake).write(asked, 0)
    assert at(fake).write([HI], 0) == ["Fine."]


def ask_twenty_times(address: str) -> None:
    print("asking", flush=True)
    Endpoint.from_name(address).write([[Message("user", str(number))] for number in range(20)], 0)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process there")
@pytest.mark.parametrize("dead", [False, True])
def test_ctrl_c_does_not_wait_for_a_server(fake: FakeJudge, dead: bool) -> None:
    """It answers after 50 s, or has just died and is asked again after pauses."""
    fake.wait = 50.0
    if dead:
        fake.server.server_close()
    worker = Forked(ask_twenty_times, fake.name.removeprefix("ai:"))
    deadline = time.monotonic() + 20
    while ("asking" not in worker.output or (not dead and len(fake.bodies) < 8)) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    begun = time.monotonic()
    worker.signal(signal.SIGINT)
    errors = worker.wait(40).errors
    assert time.monotonic() - begun < 10 and "KeyboardInterrupt" in errors and "Exception in thread" not in errors


@pytest.mark.parametrize(
    ("failure", "complaint"),
    [
        ((401, "bad key sk-123"), f"refuses the key: set {KEY}"),
        ((403, "no"), f"refuses the key: set {KEY}"),
        ((404, "no model sk-123"), r"answers 404 Not Found \(no model \*\*\*\): check address and model"),
    ],
)
def test_what_will_not_pass_is_said_at_once(fake: FakeJudge, failure, complaint, monkeypatch) -> None:
    monkeypatch.setenv(KEY, "sk-123")
    fake.reply = lambda prompt: failure
    with pytest.raises(PlauditError, match=complaint) as raised:
        write(fake)
    assert len(fake.bodies) == 1 and "sk-123" not in str(raised.value)


def test_a_redirect_is_not_followed(fake: FakeJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another server would get the prompt, and at the same host the key as well."""
    monkeypatch.setenv(KEY, "sk-123")
    second = FakeJudge()
    fake.location = second.name.removeprefix("ai:").replace("#fake", "/chat/completions")
    for status in (302, 307):
        fake.reply = lambda prompt, status=status: (status, "elsewhere")
        with pytest.raises(PlauditError, match=rf"answers {status} [A-Z].*: check address and model"):
            write(fake)
    second.close()
    assert fake.keys == ["Bearer sk-123"] * 2 and second.keys == []


def test_nobody_listens(fake: FakeJudge) -> None:
    address = fake.name.removeprefix("ai:")
    fake.server.server_close()
    with pytest.raises(PlauditError, match=rf"^{address} cannot be reached \(asked 3 times\): see that"):
        write(fake)


def test_slow_servers(fake: FakeJudge) -> None:
    fake.wait = 0.2
    assert len(write(fake)) == 1
    for wait in (0.35, 0.8):  # two pieces, each in time and not both; none in time
        fake.wait = wait
        found = at(fake, Patience(tries=2, pause=0.01, answer=0.5))
        with pytest.raises(PlauditError, match=r"takes more than 0.5 s to answer \(asked 2 times\)"):
            found.write([HI], 0)


def test_an_answer_without_end(fake: FakeJudge, monkeypatch) -> None:
    monkeypatch.setattr(endpoint, "LONGEST", 1000)
    fake.reply = lambda prompt: "and so on " * 1000
    with pytest.raises(PlauditError, match="answers without an end"):
        write(fake)


def test_the_key_stands_in_the_header_and_nowhere_else(fake: FakeJudge, monkeypatch) -> None:
    write(fake)
    monkeypatch.setenv(KEY, " sk-123\n")
    write(fake)
    assert fake.keys == [None, "Bearer sk-123"]
    assert "sk-123" not in json.dumps(fake.bodies) and fake.paths == ["/v1/chat/completions"] * 2
    monkeypatch.setenv(KEY, "sk\u2013123")
    with pytest.raises(PlauditError, match=KEY):
        write(fake)
    assert len(fake.bodies) == 2


def test_a_server_that_knows_little(fake: FakeJudge) -> None:
    fake.picky = True
    found = at(fake)
    assert found.write([HI], 0) == found.write([HI], 0)
    assert [len(body) for body in fake.bodies] == [5, 2, 2]  # it is not tried twice


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ("the context has 4096 tokens", 5),
        ("max_tokens is too large: 512. This model's maximum context length is 4096 tokens", 5),
        ("Unrecognized request argument supplied: seed", 2),
        ("Unsupported value: 'temperature' does not support 0", 2),
    ],
)
def test_a_prompt_that_is_too_long_changes_nothing_for_the_others(fake: FakeJudge, said: str, fields: int) -> None:
    fake.failures = [(400, said)]
    found = at(fake)
    found.write([HI], 0)
    found.write([HI], 0)
    assert [len(body) for body in fake.bodies] == [5, 2, fields]


def test_nothing_is_waited_for_without_an_end(fake: FakeJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows Ctrl-C would not be heard until it came."""

    class Waited(SimpleQueue):
        def get(self, block: bool = True, timeout: float | None = None):
            assert timeout is not None and timeout < 1
            return super().get(block, timeout)

    monkeypatch.setattr(jobs, "SimpleQueue", Waited)
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.01)
    fake.wait = 0.05
    assert at(fake).write([HI], 0) == ["Both are fine.\nAnswer: tie"]


def test_many_are_asked_at_once_and_answered_in_order(fake: FakeJudge) -> None:
    fake.reply = lambda prompt: f"re: {prompt}"
    conversations = [[Message("user", str(number))] for number in range(20)]
    assert at(fake).write(conversations, 0) == [f"re: {number}" for number in range(20)]
    assert at(fake).ask_all([], Wish(), lambda said: said) == []


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("http://user:secret@host/v1#m", "leave them out"),
        ("http://host:port/v1#m", "is no address"),
        ("http://[::1/v1#m", "is no address"),
        ("http://host/v1?key=1#m", "is no address"),
        ("ftp://host/v1#m", "is no address"),
        ("http:///v1#m", "is no address"),
        ("gpt", "is no address"),
        ("http://host/v1", "says no model: write http://host/v1#model"),
    ],
)
def test_addresses_that_are_none(name: str, complaint: str) -> None:
    with pytest.raises(PlauditError, match=complaint) as raised:
        Endpoint.from_name(name)
    assert "secret" not in str(raised.value)


def test_an_address_and_a_model_with_a_slash() -> None:
    assert Endpoint.from_name("http://h:1/v1/chat/completions#org/model").name == "http://h:1/v1#org/model"


def test_without_httpx(monkeypatch) -> None:
    real = builtins.__import__

    def importing(name: str, *more: Any) -> Any:
        if name == "httpx":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(PlauditError, match=r"needs httpx: pip install -e '\.\[serve\]'"):
        Endpoint.from_name("http://h/v1#m")
