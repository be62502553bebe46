"""A server of chat completions on loopback that answers as a test says: real HTTP, no model."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = str | tuple[int, str] | dict[str, Any] | bytes


class FakeJudge:
    """``reply`` makes of each request's last message a text, a status with a message, a body, or raw bytes."""

    def __init__(self) -> None:
        self.reply: Callable[[str], Reply] = lambda prompt: "Both are fine.\nAnswer: tie"
        self.failures: list[Reply] = []  # what comes first, one a request
        self.picky = False  # refuses what not every server knows
        self.wait = 0.0  # seconds before every piece of an answer
        self.after: list[str] = []  # what Retry-After says, one a request that fails
        self.location = ""  # where a redirect leads
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.paths: list[str] = []
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # otherwise each answer's second piece waits 40 ms for an acknowledgement

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with model.lock:
                    model.bodies.append(body)
                    model.keys.append(self.headers.get("Authorization"))
                    model.paths.append(self.path)
                    reply = model.failures.pop(0) if model.failures else model.reply(body["messages"][-1]["content"])
                if model.picky and set(body) != {"model", "messages"}:
                    reply = (400, "unknown field seed")
                self.send(*as_bytes(reply))

            def send(self, status: int, data: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                if status != 200 and model.after:
                    self.send_header("Retry-After", model.after.pop(0))
                if model.location:
                    self.send_header("Location", model.location)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                half = len(data) // 2
                for piece in (data[:half], data[half:]) if model.wait else (data,):
                    time.sleep(model.wait)
                    self.wfile.write(piece)
                    self.wfile.flush()

        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda request, address: None  # type: ignore[method-assign]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def name(self) -> str:
        """What an annotator that is this model is called."""
        return f"ai:http://127.0.0.1:{self.server.server_address[1]}/v1#fake"

    def close(self) -> None:
        """Stop; nothing listens there afterwards."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def as_bytes(reply: Reply) -> tuple[int, bytes]:
    """Status and body."""
    if isinstance(reply, bytes):
        return 200, reply
    if isinstance(reply, tuple):
        return reply[0], json.dumps({"error": {"message": reply[1]}}).encode()
    if isinstance(reply, dict):
        return 200, json.dumps(reply).encode()
    return 200, json.dumps({"choices": [{"message": {"content": reply}, "finish_reason": "stop"}]}).encode()


def part(prompt: str, name: str) -> str:
    """What stands under that name between marks."""
    found = re.search(rf"^(\[[0-9a-f]{{8}}\]) {name}\n(.*?)\n\n\1 ", prompt, re.MULTILINE | re.DOTALL)
    assert found
    return found[2]


def shown(prompt: str) -> tuple[str, str]:
    """The responses A and B in a judging prompt."""
    return part(prompt, "response A"), part(prompt, "response B")


def with_log_probs(text: str, tokens: list[str], at: int, rivals: dict[str, float]) -> dict[str, Any]:
    """A body in which the token at ``at`` has these log-probabilities, and the others only their own."""
    assert "".join(tokens) == text
    content = [
        {
            "token": token,
            "logprob": -0.1,
            "top_logprobs": [
                {"token": name, "logprob": value} for name, value in (rivals if i == at else {token: -0.1}).items()
            ],
        }
        for i, token in enumerate(tokens)
    ]
    return {"choices": [{"message": {"content": text}, "logprobs": {"content": content}}]}
