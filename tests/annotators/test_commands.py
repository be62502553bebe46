"""`plaudit judge` and `plaudit critique`: what is answered, what is left to others, and that nothing is lost."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plaudit.annotators.choosing import SelectiveStore, can_judge
from plaudit.annotators.rules import rules
from plaudit.annotators.worker import drain
from plaudit.cli import main
from plaudit.feedback.assistance import load_critiques
from plaudit.feedback.projects import ProjectRow, adopt_projects
from plaudit.feedback.store import Store
from plaudit.language.prompts import load_prompts
from plaudit.types import Dialogue, Message, Question, Segment, Source

from ..run.language.conftest import base
from ..run.language.tune.conftest import fault
from .fake_judge import FakeJudge
from .test_rules import answers, ask

__all__ = ["base", "fault"]


def fill(path: Path, count: int) -> None:
    """So many comparisons of texts, each behind a demonstration that is wanted, and one comparison of clips."""
    with Store.open(path) as store:
        for number in range(count):
            items = answers(f"Tea {number}.", "tea " * (30 + number))
            prompt = Dialogue((Message("user", f"What is {number}?"),))
            store.ask([ask("demonstration", [prompt]), ask("comparison", items)], [prompt, *items])
        clips = [Segment(np.full((2, 1), at), np.zeros(2), source=Source(0, 0, at)) for at in (0, 1)]
        store.ask([Question("comparison", (clips[0].id, clips[1].id), "Which?")], clips)


def test_a_program_answers_what_it_can(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "feedback.sqlite"
    fill(path, 40)  # more than are claimed at once, of either kind
    assert main(["judge", str(path), "--annotator", "rule:brief"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "40 judged by rule:brief, 41 skipped (not for this annotator)\n"
    assert "judging" in printed.err
    with Store.open(path) as store:
        judgements = store.judgements()
        assert len(judgements) == 40 and {each.annotator for each in judgements} == {"rule:brief"}
        assert all(each.value["strength"] > 0 for each in judgements)
        assert store.counts().open == 41 and store.counts().leased == 0  # nobody is kept from the others
    assert main(["judge", str(path), "--annotator", "rule:brief"]) == 0
    assert capsys.readouterr().out.startswith("0 judged by rule:brief, 41 skipped")


def test_a_queue_without_anything_for_it_comes_to_an_end(text_store: Store) -> None:
    prompts = [Dialogue((Message("user", f"What is {number}?"),)) for number in range(30)]
    text_store.ask([ask("demonstration", [each]) for each in prompts], prompts)
    chosen = SelectiveStore(text_store, lambda question, items: False)
    assert chosen.claim("me", 7) == [] and len(chosen.rejected) == 30
    assert chosen.claim("me", 7) == [] and text_store.counts().leased == 0


def test_what_is_not_wanted_is_met_once(text_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once on the way and once at the end, however often is claimed; so work does not grow as its square."""
    prompts = [Dialogue((Message("user", f"What is {number}?"),)) for number in range(60)]
    pairs = [answers(f"Tea {number}.", f"Sea {number}.") for number in range(60)]
    for prompt, pair in zip(prompts, pairs, strict=True):
        text_store.ask([ask("demonstration", [prompt]), ask("comparison", pair)], [prompt, *pair])
    claimed: list[int] = []
    claim = Store.claim

    def counted(self, *arguments, **named):
        found = claim(self, *arguments, **named)
        claimed.append(len(found))
        return found

    monkeypatch.setattr(Store, "claim", counted)
    held = text_store.claim("somebody else", 6)
    chosen = SelectiveStore(text_store, functools.partial(can_judge, "rule:brief"))
    assert drain(chosen, rules("rule:brief"), batch=4, wait=False) == 57
    assert sum(claimed) <= 3 * 120
    text_store.answer([], [each.token for each in held])
    assert drain(chosen, rules("rule:brief"), batch=4, wait=False) == 3  # what comes back is found again


def test_who_can_judge_what() -> None:
    one, other = answers("Tea.", "A hot drink.")
    elsewhere = Dialogue((Message("user", "Why?"), Message("assistant", "So.")))
    compared, ranked = ask("comparison", [one, other]), ask("ranking", [one, other])
    rated = ask("ranking", [one, other], ratings=True)
    assert all(
        can_judge(name, each, [one, other]) for name in ("rule:brief", "ai:local") for each in (compared, ranked)
    )
    assert can_judge("rule:brief", rated, [one, other]) and not can_judge("ai:local", rated, [one, other])
    assert can_judge("rule:brief", compared, [one, elsewhere]) and not can_judge("ai:local", compared, [one, elsewhere])
    assert can_judge("rule:brief", ask("thumbs", [one]), [one]) and not can_judge(
        "ai:local", ask("thumbs", [one]), [one]
    )
    assert not can_judge("rule:brief", ask("critique", [one]), [one])


def test_a_stopped_judge_goes_on(tmp_path: Path, fake: FakeJudge, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "feedback.sqlite"
    fill(path, 12)
    asked = 0

    def reply(prompt: str) -> str:
        nonlocal asked
        asked += 1
        if asked == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return "It is better.\nAnswer: A"

    fake.reply = reply
    command = ["judge", str(path), "--annotator", fake.name]
    assert main(command) == 130
    assert "stopped after 4 judgements, which are kept" in capsys.readouterr().err  # no answer was waited for
    with Store.open(path) as store:
        assert len(store.judgements()) == 4 and store.counts().leased == 0
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("8 judged by ai:")
    assert 2 * 12 < asked <= 2 * 13  # each question in both orders, and once more the one that was under way


def test_a_local_model_judges(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "feedback.sqlite"
    with Store.open(path) as store:
        items = answers("Tea.", "No.")
        store.ask([ask("comparison", items)], items, judgements_wanted=2)
    principles = tmp_path / "principles.txt"
    principles.write_text("Be brief.\n")
    name = f"ai:local?constitution={principles}"
    another = shutil.copytree(base, tmp_path / "another")
    for model in (base, another):  # who is somebody else
        assert main(["judge", str(path), "--annotator", name, "--base", str(model), "--device", "cpu"]) == 0
        assert f"1 judged by {name}&model={model}" in capsys.readouterr().out


def written(prompt: str) -> str:
    if "Write it anew" in prompt:
        return "Tea, please."
    return "It is not polite." if "falls short" in prompt else "Tea."


def test_critiques_become_demonstrations(
    tmp_path: Path, fake: FakeJudge, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts, out = tmp_path / "prompts.txt", tmp_path / "revised.jsonl"
    prompts.write_text("".join(f"What is {number}?\n" for number in range(20)))
    fake.reply = written
    command = ["critique", str(prompts), "--annotator", fake.name, "--out", str(out)]
    assert main([*command, "--revisions", "2"]) == 0
    assert capsys.readouterr().out.startswith("20 responses revised by ai:")
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert found[3] == {
        "prompt": [{"role": "user", "content": "What is 3?"}],
        "completion": [{"role": "assistant", "content": "Tea, please."}],
    }
    assert len(found) == 20 and [each.prompt for each in map(_dialogue, found)] == load_prompts(str(prompts))
    with Store.open(tmp_path / "revised.critiques.sqlite") as store:
        kinds = [each.kind for each in store.questions([each.question for each in store.judgements()])]
        assert kinds.count("critique") == kinds.count("correction") == 40
    tuned = ["tune", "sft", str(out), "--base", str(base), "--device", "cpu", "--steps", "1"]
    assert main([*tuned, "--out", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run" / "data.json").read_text())["used"] == 20


def _dialogue(row: dict) -> Dialogue:
    return Dialogue(tuple(Message(each["role"], each["content"]) for each in [*row["prompt"], *row["completion"]]))


def test_stopped_critiques_go_on(tmp_path: Path, fake: FakeJudge, capsys: pytest.CaptureFixture[str]) -> None:
    prompts, out = tmp_path / "prompts.txt", tmp_path / "revised.jsonl"
    prompts.write_text("".join(f"What is {number}?\n" for number in range(20)))
    asked: list[str] = []

    def reply(prompt: str) -> str:
        asked.append(prompt)
        if len(asked) == 10:
            os.kill(os.getpid(), signal.SIGINT)
        return written(prompt)

    fake.reply = reply
    command = ["critique", str(prompts), "--annotator", fake.name, "--out", str(out)]
    assert main(command) == 130
    assert f"continue with: plaudit critique {prompts}" in capsys.readouterr().err
    assert len(out.read_text().splitlines()) == 16  # a batch is ended first
    assert main(command) == 0 and len(out.read_text().splitlines()) == 20
    assert len(asked) == 3 * 20
    assert main(command) == 0 and len(asked) == 3 * 20


def test_bad_input_is_one_line(fault: Callable[..., str], tmp_path: Path) -> None:
    path, out = tmp_path / "feedback.sqlite", tmp_path / "revised.jsonl"
    assert f"there is no feedback store at {path}" in fault("judge", path, "--annotator", "rule:brief")
    fill(path, 1)
    assert "there is no rule 'short'" in fault("judge", path, "--annotator", "rule:short")
    assert "no annotator of texts called 'people'" in fault("judge", path, "--annotator", "people")
    assert "--annotator" in fault("judge", path)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("What is tea?\n")
    assert "rule:brief cannot write responses" in fault("critique", prompts, "--annotator", "rule:brief", "--out", out)
    assert "there is no" in fault("critique", tmp_path / "none.txt", "--annotator", "ai:local", "--out", out)
    assert "must end in .jsonl" in fault("critique", prompts, "--annotator", "ai:local", "--out", tmp_path / "x")
    nobody = ("--annotator", "ai:local", "--base", tmp_path / "nowhere")
    assert f"model {tmp_path / 'nowhere'}" in fault("critique", prompts, *nobody, "--out", out)
    assert not out.with_suffix(".critiques.sqlite").exists()  # nothing is written before a model is there
    out.write_text("mine\n")
    assert "already exists without its critiques" in fault("critique", prompts, *nobody, "--out", out)
    assert out.read_text() == "mine\n"


@pytest.mark.parametrize("command", ["judge", "critique"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert not stopped.value.code and f"plaudit {command} " in capsys.readouterr().out


def test_a_model_criticises_what_a_project_shows_critiques_of(
    fake: FakeJudge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "feedback.sqlite"
    items = answers("Tea is a drink.", "tea tea tea")
    with Store.open(path) as store:
        for name, share in (("talks", 1.0), ("alone", 0.0)):
            row = ProjectRow(name, name, "comparison", "Which?", {}, {"assistance": share}, 0.0)
            adopt_projects(store, [row])
            store.ask([replace(ask("comparison", items), project=name)], items)
    command = ["assist", str(path), "--annotator", fake.name, "--project"]
    assert main([*command, "talks"]) == 0
    assert f"2 critiques written by {fake.name}" in capsys.readouterr().out
    assert main([*command, "talks"]) == 0
    assert "0 critiques written" in capsys.readouterr().out
    with Store.open(path) as store:
        assert set(load_critiques(store, "talks", [item.id for item in items])) == {item.id for item in items}
        assert load_critiques(store, "alone", [item.id for item in items]) == {}
    for name, reason in (("alone", "project alone shows no critiques"), ("none", "there is no project called 'none'")):
        assert main([*command, name]) == 2
        assert reason in capsys.readouterr().err
    assert main(["assist", str(path), "--annotator", "rule:brief", "--project", "talks"]) == 2
    assert "rule:brief cannot write critiques" in capsys.readouterr().err
