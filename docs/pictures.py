"""The documentation's pictures of the web app, light and dark, into docs/pictures.

    python docs/pictures.py                      # all of them
    python docs/pictures.py --only work spans
    python docs/pictures.py --only run --run runs/Duel    # of a run that has clips and curves; it is left as it is
    python docs/pictures.py --only dialogue      # the page of plaudit chat --browser

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
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

import plaudit.control.environments  # noqa: F401  (registers plaudit/*)
from plaudit.feedback.kinds import KINDS, kind
from plaudit.server.chat.app import Local, create_chat_app
from plaudit.server.chat.app import Services as ChatServices
from plaudit.server.chat.models import Models, Response, Sampling, Worker
from plaudit.server.security import COOKIE
from plaudit.server.serve import listen, serve_app, serve_beside
from plaudit.server.services import Services, build_services
from plaudit.server.settings import ServerConfig
from plaudit.types import Dialogue, Item, Message, Question, Segment, Source

PICTURES = Path(__file__).parent / "pictures"
WIDTH, SCALE, QUALITY = 1000, 1.25, 80  # of a window in CSS pixels; device pixels to each; of WebP
TALLEST = 900  # CSS pixels of a page that is longer
FRAME = "24"  # of the clips
PROMPT = "How do herons catch fish?"
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
DIALOGUE = "dialogue"  # the page of plaudit chat --browser, which has a server of its own
RESPONSES = "responses"  # the project whose comparison is of two responses
ADDRESSES = {"run": "run", "quality": "admin/projects/sums/quality"}  # pages that show what a folder holds


def duels(length: int = 50, pairs: int = 40) -> list[Segment]:
    """Clips of two players each, one after the other: one who follows the ball, and one who seldom does."""
    envs: Any = gymnasium.make_vec("plaudit/Duel-v0", 2 * pairs, vectorization_mode="vector_entry_point").unwrapped
    observations, _ = envs.reset(seed=4)
    rng = np.random.default_rng(4)
    care = np.tile([0.95, 0.25], pairs)
    all_observations, all_actions, states = [], [], []
    for _ in range(length):
        state = envs.states()
        offset = np.sign(state[:, 1] - state[:, 4] - 1)  # the ball's row less that of the paddle's middle
        follow = np.where(offset < 0, 1, np.where(offset > 0, 2, 0))
        action = np.where(rng.random(2 * pairs) < care, follow, rng.integers(0, 3, 2 * pairs))
        all_observations.append(observations)
        states.append(state)
        all_actions.append(action)
        observations, *_ = envs.step(action)
    arrays = (np.stack(steps, axis=1) for steps in (all_observations, all_actions, states))
    return [Segment(*player, source=Source(0, row, 0)) for row, player in enumerate(zip(*arrays, strict=True))]


def items_of(name: str) -> list[Item]:
    """The items of the one question that is shown; of comparisons there are more, so that the page has some waiting."""
    if name == "comparison":
        return list(duels())
    if name in ("conversation", "chat"):
        return [Dialogue((Message("system", "You are a helpful assistant."), Message("user", PROMPT)))]
    if name == "demonstration":
        return [Dialogue((Message("user", PROMPT),))]
    texts = {
        "ranking": [GOOD, WRONG, SHORT, LONG],
        "regeneration": [SHORT, GOOD],
        "side-by-side": [SHORT, LONG],
        RESPONSES: [GOOD, SHORT],
    }
    return [dialogue(text) for text in texts.get(name, [WRONG])]


def dialogue(response: str) -> Dialogue:
    """The question about herons, answered."""
    return Dialogue((Message("user", PROMPT), Message("assistant", response)), "a-model")


def seed(services: Services) -> str:
    """A project for each kind, and one of responses; a session's token of the annotator."""
    for name in (*KINDS, RESPONSES):
        question_kind, options = kind("comparison" if name == RESPONSES else name), OPTIONS.get(name, {})
        settings: dict[str, Any] = {"repeats": 0.0, "gold": 0.0}
        settings |= {"environment": "Duel"} if name == "comparison" else {}
        project = {"name": name, "title": TITLES.get(name, "Herons"), "kind": question_kind.name}
        services.projects.create("pictures", project | {"options": options, "settings": settings})
        wording = (question_kind.text_wording if name == RESPONSES else None) or question_kind.wording
        items = items_of(name)
        size = 2 if name == "comparison" else len(items)
        groups = [items[start : start + size] for start in range(0, len(items), size)]
        questions = [
            Question(question_kind.name, tuple(item.id for item in group), wording, project=name, options=options)
            for group in groups
        ]
        services.store.ask(questions, items)
    return judge(services, "annotator")


def judge(services: Services, role: str, name: str = "Ada") -> str:
    """A person joins; the token of their session."""
    invite = services.accounts.invites.make("pictures", role)
    return services.accounts.join(invite, name, "correct horse battery", "127.0.0.1", "pictures")


class Model(BaseHTTPRequestHandler):
    """A live model that has two things to say, by turns."""

    request_count = 0

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Stream one response."""
        self.rfile.read(int(self.headers["Content-Length"]))
        Model.request_count += 1
        text = (GOOD, SHORT)[Model.request_count % 2]
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
    for position, letter in enumerate("ABCD"):
        response = page.locator(".item .response").nth(position).inner_text()
        rank_number, quality = next(numbers for words, *numbers in RANKS if words in response)
        page.get_by_role("group", name=f"Rank of {letter}").get_by_role("radio", name=rank_number).check()
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
        "Math.max(...[...document.querySelectorAll(last)].map((element) => element.getBoundingClientRect().bottom))]",
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
    Model.request_count = 0
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


@dataclass(frozen=True)
class Script:
    """A model of the page of `plaudit chat --browser` that says its lines, and the reward of each line."""

    name: str
    lines: dict[str, float]

    def write(self, conversation: Sequence[Message], sampling: Sampling) -> Generator[str | Response]:
        """The line of this turn of the conversation."""
        turn = sum(message.role == "user" for message in conversation)
        line = list(self.lines)[turn - 1]
        yield Response(line, len(line) // 4, True, 0)


@contextmanager
def dialogue_page() -> Iterator[str]:
    """The link to a page on two models with a reward."""
    at_night = "Night herons do. The others rest on one leg, and feed at dawn and dusk."
    trained = Script("Trained", {GOOD: 1.24, at_night: 0.87})
    before = Script("Before RL", {WRONG: -0.61, f"Herons hunt at night, too. {WRONG}": -0.35})
    rewards = trained.lines | before.lines
    with listen("127.0.0.1", 0, "") as listener:
        models = Models("herons", (trained, before), lambda _, text: rewards[text], 2048, 256, 0.7, "")
        services = ChatServices(Local.create(listener.getsockname()[1]), models, Worker())
        ready, stop = threading.Event(), threading.Event()
        arguments = (create_chat_app(services), listener, ready.set, services.worker.stop, stop)
        thread = threading.Thread(target=serve_app, args=arguments, daemon=True)
        thread.start()
        if not ready.wait(20):
            sys.exit("the page of plaudit chat was not served within 20 seconds")
        yield services.address.link
        stop.set()
        thread.join(20)
        services.worker.close()


def take_dialogue(browser: Browser, link: str, scheme: Any) -> bytes:
    """Two turns with two models side by side."""
    context = browser.new_context(
        color_scheme=scheme, device_scale_factor=SCALE, viewport={"width": WIDTH, "height": 930}
    )
    page = context.new_page()
    page.goto(link)
    for count, text in enumerate((PROMPT, "And at night?"), 1):
        page.get_by_role("textbox", name="Your message").fill(text)
        page.keyboard.press("Enter")
        page.locator(".exchange").nth(count - 1).get_by_role("button", name="Retry").wait_for()
    page.wait_for_timeout(400)
    page.evaluate("document.activeElement?.blur()")
    shot = page.screenshot()
    context.close()
    return shot


def photograph_dialogue() -> None:
    """Take the picture of the page of `plaudit chat --browser`, light and dark."""
    with sync_playwright() as playwright, dialogue_page() as link:
        browser = launch(playwright)
        for scheme in ("light", "dark"):
            save(take_dialogue(browser, link, scheme), f"{DIALOGUE}-{scheme}")
        browser.close()


def save(shot: bytes, name: str) -> None:
    """Write a picture into the documentation."""
    path = PICTURES / f"{name}.webp"
    Image.open(io.BytesIO(shot)).convert("RGB").save(path, quality=QUALITY, method=6)
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")


def launch(playwright: Playwright) -> Browser:
    """The Chromium of this machine; as root it runs without its sandbox."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    return playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"] if root else [])


def photograph(folder: Path, config: ServerConfig, token: str, names: list[str]) -> None:
    """Take pictures of the pages called ``names`` from a server of ``config``, light and dark."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for scheme in ("light", "dark"):  # a copy of the store each, for it remembers drafts
            copy = folder / scheme
            copy.mkdir()
            shutil.copyfile(config.store, copy / "feedback.sqlite")
            with serve_beside(replace(config, store=str(copy / "feedback.sqlite"), folder=copy), copy / "log") as on:
                for name in names:
                    save(take(browser, on.links.url.rstrip("/"), token, name, scheme), f"{name}-{scheme}")
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
    parser.add_argument(
        "--only",
        nargs="+",
        choices=["work", *PAGES, *ADDRESSES, DIALOGUE],
        default=["work", *PAGES, DIALOGUE],
    )
    parser.add_argument("--run", type=Path, help="a run folder, for the picture called run")
    parser.add_argument(
        "--study", type=Path, help="the folder of docs/tutorial-study.md, for the picture called quality"
    )
    arguments = parser.parse_args()
    original: Path | None = arguments.run or arguments.study
    expected = {"run": arguments.run, "quality": arguments.study}
    if any((name in arguments.only) != (path is not None) for name, path in expected.items()):
        sys.exit("the picture called run needs --run FOLDER, quality --study FOLDER, and the others neither")
    PICTURES.mkdir(exist_ok=True)
    if DIALOGUE in arguments.only:
        photograph_dialogue()
        arguments.only.remove(DIALOGUE)
    if not arguments.only:
        return
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
    print(f"all: {sum(path.stat().st_size for path in PICTURES.glob('*.webp')) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
