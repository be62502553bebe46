"""The documentation's pictures of the web app, light and dark, into docs/pictures.

    python docs/pictures.py                      # all of them
    python docs/pictures.py --only work spans
    python docs/pictures.py --only run --run runs/Duel    # of a run that has clips and curves; it is left as it is

It fills a store that it throws away, starts a server and a model that says what is written here, and opens each page in
Chromium (Playwright). Clips stand still, for reduced motion is asked for, so the same code takes the same pictures.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import plaudit.control.environments  # noqa: F401  (registers plaudit/*)
from plaudit.feedback.kinds import KINDS, kind
from plaudit.server.security import COOKIE
from plaudit.server.serve import serve_beside
from plaudit.server.services import Services, build_services
from plaudit.server.settings import ServerConfig
from plaudit.types import Dialogue, Item, Message, Question, Segment, Source

OUT = Path(__file__).parent / "pictures"
WIDTH, SCALE, QUALITY = 1000, 1.25, 80  # of a window in CSS pixels; device pixels to each; of WebP
TALLEST = 900  # CSS pixels of a page that is longer
FRAME = "24"  # of the clips
ASKED = "How do herons catch fish?"
GOOD = (
    "They **stand still** in shallow water until a fish comes near. Then the neck, folded like a spring, "
    "shoots forward and the bill closes on it."
)
LONG = f"{GOOD}\n\nSome species also shade the water with their wings, or drop bait."
WRONG = "Herons sing until the fish fall asleep, and then they dive down to ten metres to collect them."
SHORT = "With their bill."
RANKS = (("drop bait", "1", "7"), ("shoots forward", "1", "6"), ("With their bill", "2", "3"), ("sing", "3", "1"))
OPTIONS: dict[str, dict[str, Any]] = {
    "conversation": {"turns": 2},
    "ranking": {"ratings": True, "flags": ["fails the task", "hallucination"]},
    "rating": {"scales": {"helpfulness": [0, 4], "correctness": [0, 4], "coherence": [0, 4]}},
}
TITLES = {"comparison": "Duel"}
RESPONSES = "responses"  # the project whose comparison is of two responses
ADDRESSES = {"run": "run", "quality": "admin/projects/sums/quality"}  # pages that show what a folder holds


def duels(length: int = 50, pairs: int = 40) -> list[Segment]:
    """Clips of two players each, one after the other: one who follows the ball, and one who seldom does."""
    envs: Any = gymnasium.make_vec("plaudit/Duel-v0", 2 * pairs, vectorization_mode="vector_entry_point").unwrapped
    observations, _ = envs.reset(seed=4)
    rng = np.random.default_rng(4)
    care = np.tile([0.95, 0.25], pairs)
    seen, acted, states = [], [], []
    for _ in range(length):
        state = envs.states()
        away = np.sign(state[:, 1] - state[:, 4] - 1)  # the ball's row less that of the paddle's middle
        follow = np.where(away < 0, 1, np.where(away > 0, 2, 0))
        action = np.where(rng.random(2 * pairs) < care, follow, rng.integers(0, 3, 2 * pairs))
        seen.append(observations)
        states.append(state)
        acted.append(action)
        observations, *_ = envs.step(action)
    along = (np.stack(each, axis=1) for each in (seen, acted, states))
    return [Segment(*each, source=Source(0, row, 0)) for row, each in enumerate(zip(*along, strict=True))]


def items_of(name: str) -> list[Item]:
    """The items of the one question that is shown; of comparisons there are more, so that the page has some waiting."""
    if name == "comparison":
        return list(duels())
    if name in ("conversation", "chat"):
        return [Dialogue((Message("system", "You are a helpful assistant."), Message("user", ASKED)))]
    if name == "demonstration":
        return [Dialogue((Message("user", ASKED),))]
    texts = {
        "ranking": [GOOD, WRONG, SHORT, LONG],
        "regeneration": [SHORT, GOOD],
        "side-by-side": [SHORT, LONG],
        RESPONSES: [GOOD, SHORT],
    }
    return [dialogue(each) for each in texts.get(name, [WRONG])]


def dialogue(response: str) -> Dialogue:
    """The question about herons, answered."""
    return Dialogue((Message("user", ASKED), Message("assistant", response)), "a-model")


def seed(served: Services) -> str:
    """A project for each kind, and one of responses; a session's token of the annotator."""
    for name in (*KINDS, RESPONSES):
        of, options = kind("comparison" if name == RESPONSES else name), OPTIONS.get(name, {})
        settings: dict[str, Any] = {"repeats": 0.0, "gold": 0.0}
        settings |= {"environment": "Duel"} if name == "comparison" else {}
        given = {"name": name, "title": TITLES.get(name, "Herons"), "kind": of.name}
        served.projects.create("pictures", given | {"options": options, "settings": settings})
        wording = of.text_wording if name == RESPONSES else of.wording
        items = items_of(name)
        size = 2 if name == "comparison" else len(items)
        groups = [items[start : start + size] for start in range(0, len(items), size)]
        asked = [
            Question(of.name, tuple(each.id for each in group), wording, project=name, options=options)
            for group in groups
        ]
        served.store.ask(asked, items)
    return judge(served, "annotator")


def judge(served: Services, role: str, name: str = "Ada") -> str:
    """A person joins; the token of their session."""
    invite = served.accounts.invites.make("pictures", role)
    return served.accounts.join(invite, name, "correct horse battery", "127.0.0.1", "pictures")


class Model(BaseHTTPRequestHandler):
    """A live model that has two things to say, by turns."""

    said = 0

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Stream one response."""
        self.rfile.read(int(self.headers["Content-Length"]))
        Model.said += 1
        text = (GOOD, SHORT)[Model.said % 2]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for delta, finish in (({"content": text}, None), ({}, "stop")):
            chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())


@contextmanager
def model() -> Iterator[str]:
    """Its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


# What is done on each page before its picture is taken


def frame(page: Page) -> None:
    page.get_by_role("slider", name="Frame").fill(FRAME)


def rank(page: Page) -> None:
    for place, letter in enumerate("ABCD"):
        response = page.locator(".item .response").nth(place).inner_text()
        given, quality = next(each[1:] for each in RANKS if each[0] in response)
        page.get_by_role("group", name=f"Rank of {letter}").get_by_role("radio", name=given).check()
        page.get_by_role("group", name=f"Overall quality of {letter}").get_by_role("radio", name=quality).check()


def rate(page: Page) -> None:
    for scale, point in (("helpfulness", "1"), ("correctness", "0"), ("coherence", "3")):
        page.get_by_role("group", name=scale).get_by_role("radio", name=point).check()


def write(text: str) -> Callable[[Page], None]:
    return lambda page: page.get_by_role("textbox").first.fill(text)


def mark(page: Page) -> None:
    page.evaluate(
        """([words]) => {
          const text = document.querySelector(".markable").firstChild, range = document.createRange();
          const start = text.data.indexOf(words);
          range.setStart(text, start); range.setEnd(text, start + words.length);
          getSelection().removeAllRanges(); getSelection().addRange(range);
        }""",
        ["sing until the fish fall asleep"],
    )
    page.get_by_role("button", name="wrong").click()
    page.get_by_role("textbox", name="Note on wrong").fill("herons croak")


def thumb(page: Page) -> None:
    page.get_by_role("button", name="Bad").click()
    page.get_by_role("checkbox", name="isn't true").check()


def converse(page: Page) -> None:
    page.get_by_role("button", name="Say it").click()
    page.get_by_role("button", name="Choose").wait_for()
    good = "stand still" in page.locator("[data-response='0']").inner_text()
    page.get_by_role("radio", name="2: A is better" if good else "7: B is better").check()


def chat(page: Page) -> None:
    page.get_by_role("button", name="Say it").click()
    page.get_by_role("button", name="Regenerate").wait_for()


PAGES: dict[str, Callable[[Page], None]] = {
    "chat": chat,
    "comparison": frame,
    "conversation": converse,
    "correction": write(WRONG.replace("sing until the fish fall asleep", "wait until a fish comes near")),
    "critique": write("It is fluent, and it is wrong: herons neither sing nor dive."),
    "demonstration": write("They wait in shallow water, without moving, until a fish is near enough to strike."),
    "ranking": rank,
    "rating": rate,
    "regeneration": lambda page: None,
    RESPONSES: lambda page: None,
    "side-by-side": lambda page: None,
    "spans": mark,
    "thumbs": thumb,
}


def part_of(page: Page, last: str) -> Any:
    """From the top of what is below the menu to the end of the element ``last``."""
    top, bottom = page.evaluate(
        "(last) => [document.querySelector('main').getBoundingClientRect().top, "
        "Math.max(...[...document.querySelectorAll(last)].map((each) => each.getBoundingClientRect().bottom))]",
        last,
    )
    return {"x": 0, "y": top, "width": WIDTH, "height": bottom - top + 24}


def take(browser: Browser, url: str, token: str, name: str, scheme: Any) -> bytes:
    """One picture: the part of the page that somebody judges in, or the whole window for the README's ``work``."""
    whole, project = name == "work", "comparison" if name == "work" else name
    context = browser.new_context(
        color_scheme=scheme,
        reduced_motion="reduce",
        device_scale_factor=SCALE,
        viewport={"width": WIDTH, "height": 752 if whole else 1600},
    )
    context.add_cookies([{"name": COOKIE, "value": token, "url": url}])
    page = context.new_page()
    Model.said = 0
    if name in ADDRESSES:
        page.goto(f"{url}/{ADDRESSES[name]}")
        page.wait_for_timeout(4000)  # two rounds of news
        clip = part_of(page, ".card:last-of-type")
        shot = page.screenshot(clip=clip | {"height": min(clip["height"], TALLEST)})
        context.close()
        return shot
    page.goto(f"{url}/work/{project}")
    ready = "() => document.body?.dataset.question && !document.querySelector('.ask button:disabled[data-vote]')"
    deadline = time.monotonic() + 20
    while not page.evaluate(ready):  # Playwright's own wait evaluates a string, which the pages forbid
        if time.monotonic() > deadline:
            sys.exit(f"the page of {project} shows no question: look at it in a browser")
        page.wait_for_timeout(50)
    PAGES[project](page)
    page.wait_for_timeout(400)
    page.evaluate("document.activeElement?.blur()")
    shot = page.screenshot() if whole else page.screenshot(clip=part_of(page, "#question"))
    page.goto("about:blank")  # as somebody who leaves: the question goes back
    page.wait_for_timeout(100)
    context.close()
    return shot


def photograph(folder: Path, config: ServerConfig, token: str, names: list[str]) -> None:
    """Take pictures of the pages called ``names`` from a server of ``config``, light and dark."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0  # as root, Chromium runs without its sandbox
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"] if root else [])
        for scheme in ("light", "dark"):  # a copy of the store each, for it remembers drafts
            copy = folder / scheme
            copy.mkdir()
            shutil.copyfile(config.store, copy / "feedback.sqlite")
            with serve_beside(replace(config, store=str(copy / "feedback.sqlite"), folder=copy), copy / "log") as on:
                for name in names:
                    shot = take(browser, on.links.url.rstrip("/"), token, name, scheme)
                    path = OUT / f"{name}-{scheme}.webp"
                    Image.open(io.BytesIO(shot)).convert("RGB").save(path, quality=QUALITY, method=6)
                    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")
        browser.close()


def copy_of(original: Path, folder: Path) -> ServerConfig:
    """A server of a copy of a folder: a run, which looks as if it continued, or the folder of a study."""
    folder.mkdir()
    for path in (original / name for name in ("config.json", "metrics.jsonl", "latest.clip", "feedback.sqlite")):
        if path.exists():
            shutil.copyfile(path, folder / path.name)
    run = folder if (folder / "config.json").exists() else None
    return ServerConfig(str(folder / "feedback.sqlite"), folder, port=0, run=run)


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description="Take the documentation's pictures of the web app.")
    parser.add_argument("--only", nargs="+", choices=["work", *PAGES, *ADDRESSES], default=["work", *PAGES])
    parser.add_argument("--run", type=Path, help="a run folder, for the picture called run")
    parser.add_argument(
        "--study", type=Path, help="the folder of docs/tutorial-study.md, for the picture called quality"
    )
    arguments = parser.parse_args()
    original: Path | None = arguments.run or arguments.study
    expected = {"run": arguments.run, "quality": arguments.study}
    if any((name in arguments.only) != (path is not None) for name, path in expected.items()):
        sys.exit("the picture called run needs --run FOLDER, quality --study FOLDER, and the others neither")
    OUT.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="plaudit-pictures-"))
    try:
        with model() as endpoint:
            config = ServerConfig(
                str(folder / "feedback.sqlite"), folder, port=0, endpoint=endpoint, endpoint_model="m"
            )
            if original is not None:
                config = copy_of(original, folder / "copy")
            services = build_services(config)
            token = seed(services) if original is None else judge(services, "reviewer", "Grace")
            services.store.close()
            photograph(folder, config, token, arguments.only)
    finally:
        shutil.rmtree(folder)
    print(f"all: {sum(each.stat().st_size for each in OUT.glob('*.webp')) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
