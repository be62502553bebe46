"""Simulated annotators take an invitation and judge sums in place of people: a rehearsal of a study.

    python docs/stand_ins.py http://127.0.0.1:8777/join/TOKEN sums 20

Each is wrong about one question in ten. The last two give the Quality page something to show: one of them answers at
random, the other one hastily. Standard library only.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import CookieJar
from typing import Any
from urllib.request import HTTPCookieProcessor, Request, build_opener


class Annotator:
    """One simulated person with a session of their own."""

    def __init__(self, server: str, name: str, mistakes: float, seconds: float) -> None:
        self.server, self.name, self.mistakes, self.seconds = server, name, mistakes, seconds
        self.random = random.Random(name)
        self.browser = build_opener(HTTPCookieProcessor(CookieJar()))

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the API as a page makes it, with its cookie and its origin."""
        headers = {"Content-Type": "application/json", "Origin": self.server}
        data = None if body is None else json.dumps(body).encode()
        with self.browser.open(Request(f"{self.server}/api{path}", data, headers, method=method)) as response:
            return json.loads(response.read() or "null")

    def judge(self, invitation: str, project: str) -> int:
        """Join, consent, and judge until nothing waits; the number of judgements."""
        self.call("POST", "/join", {"token": invitation, "name": self.name, "password": f"{self.random.random()}"})
        consent = self.call("GET", "/consent")
        if consent["needed"]:
            self.call("POST", "/consent", {"version": consent["version"]})
        judgements = 0
        while assignments := self.call("POST", "/work/claim", {"project": project}):
            began = time.monotonic()
            time.sleep(self.seconds * self.random.uniform(0.5, 1.5))
            self.answer(assignments[0], 1000 * (time.monotonic() - began))
            judgements += 1
        return judgements

    def answer(self, assignment: dict[str, Any], milliseconds: float) -> None:
        """Prefer the response with the right sum, but for mistakes."""
        items = sorted(assignment["items"], key=lambda item: item["index"])
        first, second = (is_right(item["prompt"][-1]["html"], item["response"]["text"]) for item in items)
        strength = 4 * (first - second)
        if self.random.random() < self.mistakes:
            strength = self.random.choice([strength for strength in (-4, 0, 4) if strength != 4 * (first - second)])
        body = {"judgement": str(uuid.uuid4()), "question": assignment["question"], "lease": assignment["lease"]}
        self.call(
            "POST", "/work/answer", body | {"value": {"strength": strength}, "elapsed": {"shown_ms": milliseconds}}
        )


def is_right(prompt: str, response: str) -> bool:
    """Whether the response to "What is 2 plus 2?" is the sum."""
    return sum(map(int, re.findall(r"\d+", prompt))) == int(re.findall(r"\d+", response)[0])


def main(link: str, project: str, people: str = "20", seconds: str = "2") -> None:
    """Let them judge, all at the same time, and print the number of judgements."""
    server, _, invitation = link.partition("/join/")
    count = int(people)
    mistakes = [0.1] * (count - 2) + [2 / 3, 0.1]  # of three answers, two are wrong
    pauses = [float(seconds)] * (count - 1) + [float(seconds) / 10]
    annotators = [
        Annotator(server, f"stand-in {number + 1}", mistakes[number], pauses[number]) for number in range(count)
    ]
    with ThreadPoolExecutor(count) as pool:
        judgements = list(pool.map(lambda annotator: annotator.judge(invitation, project), annotators))
    print(f"{len(annotators)} stand-ins gave {sum(judgements)} judgements, {min(judgements)} to {max(judgements)} each")


if __name__ == "__main__":
    main(*sys.argv[1:])
