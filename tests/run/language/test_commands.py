"""`plaudit report`, `iterate` and `train chat --annotator people` through the command line."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.run.language.test_chat import Killed, train

from plaudit.api import serving
from plaudit.cli import main
from plaudit.feedback.kinds.comparison import RESPONSES
from plaudit.feedback.store import Store
from plaudit.run.language import assemble as chat_hands
from plaudit.run.language.assemble import session_of
from plaudit.run.language.config import ChatConfig, ChatRun
from plaudit.run.stored import CHAT, to_dict
from plaudit.types import Dialogue, Message, Question

Settings = Callable[..., ChatConfig]
pytestmark = pytest.mark.usefixtures("blank_figures")


def fault(output: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a command that fails."""
    assert main(list(arguments)) == 2
    (said,) = [line for line in output.readouterr().err.splitlines() if line.startswith("plaudit: ")]
    return said


# report


def test_report_reads_a_finished_run_and_one_that_is_under_way(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ChatRun.create(tmp_path / "run", settings())
    assert "has nothing to report yet" in fault(capsys, "report", str(run.folder))
    assert not run.sft.exists()  # and nothing was trained for it
    with pytest.raises(Killed):
        train(run, ("improving", 3))
    assert not (run.folder / "report.html").exists()
    with Store.open(run.folder / "feedback.sqlite") as store:
        _ask(store)
        (lease,) = store.claim("rule:length", 1)  # the run's own annotator is at work
        files = {each: each.stat().st_mtime_ns for each in run.folder.rglob("*.safetensors")}
        with run.training():
            assert main(["report", str(run.folder)]) == 0
        assert store.renew(lease.token) is not None and store.release(lease.token)
    assert {each: each.stat().st_mtime_ns for each in run.folder.rglob("*.safetensors")} == files
    assert "has not been evaluated" in capsys.readouterr().out
    train(ChatRun.open(run.folder))
    (run.folder / "report.html").unlink()
    assert main(["report", str(run.folder)]) == 0
    assert "report.html" in capsys.readouterr().out and (run.folder / "report.html").exists()
    policy, reward = ((run.folder / part / "README.md").read_text("utf-8") for part in ("policy", "reward"))
    assert "- Method: rlhf" in policy and "- KL divergence in nats per response: " in policy
    assert " held-out prompts, with " in policy
    assert 'tags: ["plaudit", "reward", "reward-model"]' in reward and str(tmp_path) not in policy + reward
    assert (run.folder / "sft" / "README.md").exists()


def _ask(store: Store) -> None:
    """One more question, that nobody has answered."""
    pair = [Dialogue((Message("user", "a"), Message("assistant", text))) for text in ("b", "c")]
    store.ask([Question("comparison", (pair[0].id, pair[1].id), RESPONSES, project="responses")], pair)


# iterate


def test_iterate_goes_on_with_other_settings(finished: ChatRun, capsys: pytest.CaptureFixture[str]) -> None:
    run = finished
    options = ["--rounds", "1", "--labels", "6", "--kl", "0.4", "--learning-rate", "1e-4", "--annotator", "rule:other"]
    assert main(["iterate", str(run.folder), *options]) == 0
    config = ChatRun.open(run.folder).config
    assert (config.rounds, config.feedback.labels, config.annotator) == (3, 18, "rule:other")
    assert (config.penalty.kl_coefficient, config.improve.learning_rate) == (0.4, 1e-4)
    assert [row["kl_coefficient"] for row in run.metrics("updates.jsonl")] == [0.05] * 4 + [0.4] * 2
    assert run.metrics()[-1]["asked"] == 18
    assert main(["iterate", str(run.folder)]) == 0  # by itself as many a round as the three that went before
    config, asked = ChatRun.open(run.folder).config, run.metrics()[0]["asked"]
    assert (config.rounds, config.feedback.labels) == (5, 18 + 2 * round((18 - asked) / 3))
    kept = (run.folder / "config.json").read_text()
    assert "must not be negative" in fault(capsys, "iterate", str(run.folder), "--kl", "-1")
    assert (run.folder / "config.json").read_text() == kept


def test_people_who_take_over_are_waited_for(finished: ChatRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve answers of a program are none of theirs: what counts is the four that they are asked."""
    run = finished
    asked: list[int] = []
    monkeypatch.setattr(chat_hands, "_wait", lambda store, told, count: asked.append(count))
    ask = dataclasses.replace(run.config.feedback, labels=16)
    run = run.extend(dataclasses.replace(run.config, annotator="people", rounds=4, feedback=ask))
    session, close = session_of(run, lambda *told: None)
    list(session.rounds())
    close()
    assert len(asked) == 2 and asked[-1] == 4 and asked[0] > 0


def test_people_who_take_over_an_interrupted_round_are_waited_for(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program died over the questions of a round: these are what people are asked, and then those of the next."""
    run = ChatRun.create(tmp_path / "run", settings(best_of=0))
    session, close = session_of(run, lambda *told: None)
    rounds = session.rounds()
    next(rounds)

    def dead(asked: int) -> None:
        raise Killed

    session.domain.context = dataclasses.replace(session.domain.context, settle=dead)
    with pytest.raises(Killed):
        next(rounds)
    left = session.domain.context.store.waiting()
    close()
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(chat_hands, "_wait", lambda store, told, count: asked.append((count, store.waiting())))
    session, close = session_of(run.extend(dataclasses.replace(run.config, annotator="people")), lambda *told: None)
    list(session.rounds())
    close()
    assert len(asked) == 2 and asked[0] == (left, left) and left > 0
    assert asked[1][0] == asked[1][1] >= left  # of whom nobody has answered yet


def test_nobody_is_waited_for_who_was_asked_nothing(tmp_path: Path) -> None:
    waited: list[tuple[Any, ...]] = []
    with Store.open(tmp_path / "feedback.sqlite") as store:
        chat_hands._wait(store, lambda *told: waited.append(told), 0)
        _ask(store)  # of an imported file, that nobody ever answered
        chat_hands._wait(store, lambda *told: waited.append(told), 0)
    assert [each[1:3] for each in waited] == [(0, 0)] * 2  # said to be over at once, and nothing else


# people


@pytest.mark.usefixtures("forked_servers")
def test_people_judge_in_the_web_app_beside_the_run(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    recorder: list[Any],
) -> None:
    pytest.importorskip("fastapi")
    people = JudgeSummary()
    monkeypatch.setattr(serving, "say", people.heard)
    monkeypatch.setattr(chat_hands, "LOOK_SECONDS", 0.05)
    path, folder = tmp_path / "settings.json", tmp_path / "run"
    # nothing held out: which prompts get two different responses, three at most, is a matter of the machine's rounding
    ask = dataclasses.replace(settings().feedback, labels=6, held_out=0.0)
    path.write_text(json.dumps(to_dict(settings(annotator="people", feedback=ask), CHAT)))
    options = ["--config", str(path), "--out", str(folder), "--port", "0", "--track", "recorder", "--trust"]
    with people.stopping():
        assert main(["train", "chat", *options]) == 0
    assert not people.faults and people.given >= 3
    run = ChatRun.open(folder)
    for file, most in (("metrics", 1), ("updates", 1), ("reward", 0)):  # one step of fitting may be all
        assert sum(entry.file == file for entry in recorder) == len(run.metrics(f"{file}.jsonl")) > most
    assert run.metrics()[-1]["asked"] == 6 and run.metrics()[-1]["labels"] >= 3
    assert "note: Step 1 is skipped" in capsys.readouterr().err
    assert "Step 1 is skipped" in (folder / "report.html").read_text("utf-8")
    with Store.open(folder / "feedback.sqlite") as store:
        assert {each.annotator for each in store.judgements()} == {"Ada"}


class JudgeSummary:
    """Somebody who joins by the link that is printed, and always prefers the first response."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.faults: list[str] = []
        self.given = 0
        self.thread: threading.Thread | None = None

    def heard(self, line: str) -> None:
        """The run says where to judge."""
        if line.startswith("judge here"):
            link = line.rsplit(" ", 1)[1]
            self.thread = threading.Thread(target=self._judge, args=(link,), daemon=True)
            self.thread.start()

    @contextlib.contextmanager
    def stopping(self) -> Iterator[None]:
        """Until the run is over."""
        try:
            yield
        finally:
            self.over.set()
            if self.thread is not None:
                self.thread.join(10)

    def _judge(self, link: str) -> None:
        import httpx

        url, token = link.split("/join/")
        with httpx.Client(base_url=url, headers={"Origin": url}, timeout=10) as browser:
            joined = browser.post("/api/join", json={"token": token, "name": "Ada", "password": "correct horse"})
            if joined.status_code != 204:
                self.faults.append(joined.text)
                return
            while not self.over.wait(0.05):
                try:
                    found = browser.post("/api/work/claim", json={"project": "responses", "count": 3})
                    if found.status_code == 404:  # the run has asked nothing yet
                        continue
                    if found.status_code != 200:
                        self.faults.append(found.text)
                        return
                    for each in found.json():
                        self._answer(browser, each)
                except httpx.HTTPError:  # the app ends with the run
                    return

    def _answer(self, browser: Any, assignment: dict[str, Any]) -> None:
        body = {
            "judgement": str(uuid.uuid4()),
            "question": assignment["question"],
            "lease": assignment["lease"],
            "value": {"strength": 4},
            "elapsed": {"shown_ms": 3000, "first_input_ms": 1000},
        }
        done = browser.post("/api/work/answer", json=body)
        if done.status_code >= 300:
            self.faults.append(done.text)
        self.given += 1
