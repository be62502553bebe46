"""What both clients of a model's server share: addresses, keys, replies, error messages and events."""

from __future__ import annotations

import json
import ssl
import time
import tracemalloc
from typing import Any

import pytest

from plaudit.chat_completions import Events, MalformedReply, ModelServer, Reply, read_key, rejects_fields, request_body
from plaudit.types import Message, PlauditError

SERVER = ModelServer("http://h:1", "sk-123")


def test_an_address_may_be_written_in_any_usual_form() -> None:
    for end in ("", "/", "/v1", "/v1/", "/v1/chat/completions", "/v1/chat/completions/"):
        assert ModelServer(f"http://h:1{end}").address == "http://h:1/v1", end
    assert ModelServer("https://h/api").address == "https://h/api/v1"


def test_the_key_goes_to_its_address_and_into_no_message() -> None:
    options = SERVER.client_options
    assert options["headers"] == {"Accept-Encoding": "identity", "Authorization": "Bearer sk-123"}
    assert options["follow_redirects"] is False
    assert options["verify"].verify_mode == ssl.CERT_REQUIRED and options["verify"].check_hostname
    assert ModelServer("http://h:1").client_options["headers"] == {"Accept-Encoding": "identity"}
    assert "sk-123" not in repr(SERVER)
    assert SERVER.describe(404, b'{"error": "sk-123 is\\n bad"}') == "404 Not Found (*** is bad)"


def test_a_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, key in ((" sk-123\n", "sk-123"), ("  ", ""), (None, "")):
        monkeypatch.delenv("SOME_KEY", raising=False)
        if text is not None:
            monkeypatch.setenv("SOME_KEY", text)
        assert read_key("SOME_KEY") == key
    for text in ("sk\u2013123", "sk\n123"):
        monkeypatch.setenv("SOME_KEY", text)
        with pytest.raises(PlauditError, match=r"^SOME_KEY holds what no key holds") as caught:
            read_key("SOME_KEY")
        assert "123" not in str(caught.value)


def test_a_body_holds_what_every_server_knows() -> None:
    messages = [Message("system", "Be brief."), Message("user", "Hello")]
    expected = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert request_body("m", messages) == {"model": "m", "messages": expected}


def test_the_servers_reason_is_one_short_line() -> None:
    reasons = {
        '{"error": {"message": "out of\\n  memory"}}': " (out of memory)",
        '{"error": "no"}': " (no)",
        '{"detail": "unknown field seed"}': " (unknown field seed)",
        json.dumps({"detail": "x" * 500}): f" ({'x' * 200})",
        "": "",
        "<html>": "",
        "[1]": "",
        "{}": "",
        '{"error": {"message": " "}}': "",
        '{"error": {"message": 7}}': "",
        "[" * 100_000: "",
    }
    assert {text: SERVER.reason(text.encode()) for text in reasons} == reasons
    assert SERVER.reason(b"\xff") == ""
    assert SERVER.describe(599, b"") == "599 an unknown status"


def test_a_rejected_field_is_told_from_a_rejected_prompt() -> None:
    assert rejects_fields(b"Unrecognized request argument supplied: seed", ["seed"])
    assert rejects_fields(b"Unsupported value: 'temperature' does not support 0", ["seed", "temperature"])
    assert not rejects_fields(b"max_tokens is too large", ["max_tokens"])
    assert not rejects_fields(b"unknown role \xff", ["seed"])


def choice(**fields: Any) -> str:
    return json.dumps({"choices": [fields]})


def test_replies_by_hand() -> None:
    assert SERVER.parse_reply(choice(message={"content": "Hi"}), "message") == Reply("Hi")
    assert SERVER.parse_reply(choice(message={"content": None}), "message") == Reply("")
    assert SERVER.parse_reply(choice(delta={"content": "H"}), "delta") == Reply("H")
    assert SERVER.parse_reply(choice(delta=None, finish_reason="stop"), "delta") == Reply("", is_last=True)
    assert SERVER.parse_reply('{"choices": [], "usage": {}}', "delta") == Reply("")
    tokens = [{"token": "A", "top_logprobs": [{"token": "A", "logprob": -1}, {"token": "B", "logprob": -2.5}]}]
    answer = choice(message={"content": "A"}, logprobs={"content": tokens})
    assert SERVER.parse_reply(answer, "message").tokens == (("A", {"A": -1.0, "B": -2.5}),)
    incomplete = choice(message={"content": "A"}, logprobs={"content": [{"token": "A"}]})
    assert SERVER.parse_reply(incomplete, "message").tokens == ()


@pytest.mark.parametrize("field", ["message", "delta"])
def test_what_is_no_reply(field: Any) -> None:
    faults = {
        "hello": "json",
        "[" * 100_000: "json",
        "[]": "shape",
        '{"answer": "hi"}': "shape",
        '{"choices": {}}': "shape",
        '{"choices": [7]}': "shape",
        choice(**{field: "Hi"}): "shape",
        choice(**{field: {"content": 7}}): "text",
        '{"error": {"message": "bad sk-123"}, "choices": []}': "error",
    }
    kinds = {}
    for text in faults:
        with pytest.raises(MalformedReply) as caught:
            SERVER.parse_reply(text, field)
        kinds[text] = caught.value.kind
        assert "sk-123" not in str(caught.value)
    assert kinds == faults
    if field == "message":
        for text in ('{"choices": []}', choice(), choice(message={})):
            with pytest.raises(MalformedReply, match="another shape"):
                SERVER.parse_reply(text, field)


WHOLE = "\ufeffdata: {\u00e9}\r\n\r\n: note\nevent: x\ndata:one\ndata: two\n\nid: 7\n\ndata: last".encode()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_read_however_they_are_cut(size: int) -> None:
    events, payloads = Events(), []
    for start in range(0, len(WHOLE), size):
        payloads += events.feed(WHOLE[start : start + size])
    payloads += events.feed(b"", end=True)
    assert payloads == ["{\u00e9}", "one\ntwo", "last"]


def test_a_line_without_end_is_refused() -> None:
    events = Events()
    with pytest.raises(MalformedReply, match="without end"):
        for _ in range(30):
            events.feed(b"x" * 50_000)


def test_an_event_without_end_is_refused_and_little_is_held() -> None:
    events, line = Events(), b"data: " + b"x" * 50_000 + b"\n"
    tracemalloc.start()
    with pytest.raises(MalformedReply, match="sends an event without end"):
        for _ in range(30):
            assert events.feed(line) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_a_line_that_comes_byte_by_byte_is_read_once() -> None:
    """Joining what has come so far for each byte would take minutes."""
    events = Events()
    start = time.process_time()
    for _ in range(200_000):
        events.feed(b"x")
    assert events.feed(b"\n\n") == [] and time.process_time() - start < 5


def test_absurd_numbers_in_a_reply_are_no_fault() -> None:
    rivals = [{"token": "A", "logprob": 10**400}]
    answer = choice(message={"content": "A"}, logprobs={"content": [{"token": "A", "top_logprobs": rivals}]})
    assert SERVER.parse_reply(answer, "message") == Reply("A")
