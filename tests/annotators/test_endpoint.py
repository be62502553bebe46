"""A model at an address, and everything that can go wrong there; the server is real."""

from __future__ import annotations

import builtins
import json
from typing import Any

import pytest

from plaudit.annotators import endpoint
from plaudit.annotators.endpoint import KEY, Endpoint, Patience, Wish
from plaudit.types import Message, PlauditError

from .fake_judge import FakeJudge

HI = [Message("user", "Hi")]
QUICK = Patience(tries=3, pause=0.01, connect=1.0, answer=0.5)


def at(fake: FakeJudge, patience: Patience = QUICK) -> Endpoint:
    found = Endpoint.named(fake.name.removeprefix("ai:"))
    found.patience = patience
    return found


def write(fake: FakeJudge) -> list[str]:
    return at(fake).write([HI], seed=5)


@pytest.mark.parametrize(
    "failure",
    [
        (500, "out of memory"),
        (503, "loading"),
        (429, "slow down"),
        (408, "late"),
        b"<html>login</html>",
        b"[]",
        b"{}",
        b"\xff",
        {"choices": []},
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


def test_pauses_double(fake: FakeJudge, monkeypatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(endpoint.time, "sleep", slept.append)
    fake.reply = lambda prompt: (500, "no")
    with pytest.raises(PlauditError, match="asked 4 times"):
        at(fake, Patience()).write([HI], 0)
    assert [each for each in slept if each] == [1.0, 2.0, 4.0]  # the server sleeps, too: for no time


@pytest.mark.parametrize(
    ("failure", "complaint"),
    [
        ((401, "bad key sk-123"), f"refuses the key: set {KEY}"),
        ((403, "no"), f"refuses the key: set {KEY}"),
        ((404, "no model sk-123"), r"answers 404 Not Found \(no model \*\*\*\): check address and model"),
        ((302, "elsewhere"), "answers 302 Found"),
    ],
)
def test_what_will_not_pass_is_said_at_once(fake: FakeJudge, failure, complaint, monkeypatch) -> None:
    monkeypatch.setenv(KEY, "sk-123")
    fake.reply = lambda prompt: failure
    with pytest.raises(PlauditError, match=complaint) as raised:
        write(fake)
    assert len(fake.bodies) == 1 and "sk-123" not in str(raised.value)


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
    with pytest.raises(PlauditError, match=KEY) as raised:
        write(fake)
    assert "123" not in str(raised.value).replace("127", "")


def test_a_server_that_knows_little(fake: FakeJudge) -> None:
    fake.picky = True
    found = at(fake)
    assert found.write([HI], 0) == found.write([HI], 0)
    assert [len(body) for body in fake.bodies] == [5, 2, 2]  # it is not tried twice


def test_many_are_asked_at_once_and_answered_in_order(fake: FakeJudge) -> None:
    fake.reply = lambda prompt: f"re: {prompt}"
    conversations = [[Message("user", str(number))] for number in range(20)]
    assert at(fake).write(conversations, 0) == [f"re: {number}" for number in range(20)]
    assert at(fake).each([], Wish(), lambda said: said) == []


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
        Endpoint.named(name)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("written", ["http://h:1", "http://h:1/v1", "http://h:1/v1/", "http://h:1/v1/chat/completions"])
def test_addresses_as_people_write_them(written: str) -> None:
    assert Endpoint.named(f"{written}#org/model").name == "http://h:1/v1#org/model"


def test_without_httpx(monkeypatch) -> None:
    real = builtins.__import__

    def importing(name: str, *more: Any) -> Any:
        if name == "httpx":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(PlauditError, match=r"needs httpx: pip install 'plaudit\[serve\]'"):
        Endpoint.named("http://h/v1#m")
