"""A small OpenAI-compatible server on loopback, with faults on demand: real HTTP, no model."""

from __future__ import annotations

import gzip
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeModel:
    """Answers each request as ``mode`` says. ``requests`` holds their bodies and headers."""

    def __init__(self) -> None:
        self.mode = "good"
        self.texts: list[str] = []  # what to say next; else something that tells the request's seed
        self.pause = 0.0  # seconds between pieces
        self.complaint = "out of memory"  # what it says when it fails midway
        self.first = 1.0  # seconds until a slow one begins
        self.listing = 200  # the status of the list of models
        self.listed = "listed-model"
        self.location = ""  # where a redirect leads
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                model.keys.append(self.headers.get("Authorization"))
                self.whole(model.listing, "application/json", json.dumps({"data": [{"id": model.listed}]}))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                model.requests.append(body)
                model.keys.append(self.headers.get("Authorization"))
                getattr(self, f"be_{model.mode}")(body)

            def whole(self, status: int, type: str, text: str) -> None:
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", type)
                if model.location:
                    self.send_header("Location", model.location)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def begin(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream; charset=utf-8")
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True

            def event(self, content: str | None, finish: str | None = None) -> None:
                delta = {"role": "assistant"} if content is None else {"content": content}
                chunk = {"model": "secret", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                self.wfile.flush()

            def text(self, body: dict[str, Any]) -> str:
                if model.texts:
                    return model.texts.pop(0)
                return f"Herons are **tall**, {body['seed'] % 1000} of them."

            def be_good(self, body: dict[str, Any]) -> None:
                self.begin()
                self.event(None)
                text = self.text(body)
                for start in range(0, len(text), 7):
                    self.event(text[start : start + 7])
                    time.sleep(model.pause)
                self.event("", "stop")
                self.wfile.write(b'data: {"choices": [], "usage": {"total_tokens": 5}}\n\ndata: [DONE]\n\n')

            def be_picky(self, body: dict[str, Any]) -> None:
                if "seed" in body:
                    self.whole(422, "application/json", json.dumps({"detail": "unknown field seed"}))
                else:
                    body["seed"] = 1
                    self.be_good(body)

            def be_unstreamed(self, body: dict[str, Any]) -> None:
                answer = {"choices": [{"message": {"content": "all at once"}, "finish_reason": "stop"}]}
                self.whole(model.listing, "application/json", json.dumps(answer))

            def be_cut(self, body: dict[str, Any]) -> None:
                self.begin()
                self.event("half of")

            def be_web_page(self, body: dict[str, Any]) -> None:
                self.whole(200, "text/html", "<html>login</html>")

            def be_nonsense(self, body: dict[str, Any]) -> None:
                self.begin()
                self.wfile.write(b"data: hello\n\n")

            def be_misshapen(self, body: dict[str, Any]) -> None:
                self.begin()
                self.wfile.write(b'data: {"choices": [{"delta": {"content": 7}}]}\n\n')

            def be_shapeless(self, body: dict[str, Any]) -> None:
                self.begin()
                self.wfile.write(b'data: {"answer": "hi"}\n\n')

            def be_failing(self, body: dict[str, Any]) -> None:
                key = self.headers.get("Authorization")
                self.whole(
                    500, "application/json", json.dumps({"error": {"message": f"{body['model']} is\nout, {key}"}})
                )

            def be_forbidding(self, body: dict[str, Any]) -> None:
                self.whole(401, "application/json", json.dumps({"error": {"message": "bad key sk-123"}}))

            def be_missing(self, body: dict[str, Any]) -> None:
                self.whole(404, "text/html", "<html>not here</html>")

            def be_busy(self, body: dict[str, Any]) -> None:
                self.whole(429, "application/json", "{}")

            def be_failing_midway(self, body: dict[str, Any]) -> None:
                self.begin()
                self.event("so far")
                self.wfile.write(f"data: {json.dumps({'error': {'message': model.complaint}})}\n\n".encode())

            def be_redirecting(self, body: dict[str, Any]) -> None:
                self.whole(307, "text/plain", "elsewhere")

            def be_without_line_ends(self, body: dict[str, Any]) -> None:
                self.begin()
                for _ in range(48):
                    self.wfile.write(b"x" * 2**16)

            def be_deep(self, body: dict[str, Any]) -> None:
                self.begin()
                self.wfile.write(b"data: " + b"[" * 200_000 + b"\n\n")

            def be_without_event_ends(self, body: dict[str, Any]) -> None:
                self.begin()
                for _ in range(4800):
                    self.wfile.write(b"data: " + b"x" * 1000 + b"\n")

            def be_packed(self, body: dict[str, Any]) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Content-Encoding", "gzip")
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(gzip.compress(b": still here\n\n" * 2**20))

            def be_empty(self, body: dict[str, Any]) -> None:
                self.begin()
                self.event("", "stop")
                self.wfile.write(b"data: [DONE]\n\n")

            def be_silent(self, body: dict[str, Any]) -> None:
                self.begin()
                for _ in range(100):  # signs of life are no answer
                    self.wfile.write(b": still here\n\n")
                    self.wfile.flush()
                    time.sleep(0.05)

            def be_slow(self, body: dict[str, Any]) -> None:
                time.sleep(model.first)
                self.be_good(body)

            def be_stuck(self, body: dict[str, Any]) -> None:
                self.begin()
                self.event("so far")
                time.sleep(2)

            def be_endless(self, body: dict[str, Any]) -> None:
                self.begin()
                for _ in range(2000):
                    self.event("and so on, " * 20)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda request, address: None  # type: ignore[method-assign]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        """Stop."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
