"""`--template-kwargs`: variables of a saved model's chat template, and the date that it was saved with."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from tests.language.conftest import TEMPLATE
from transformers import AutoTokenizer

from plaudit import load_reward
from plaudit.annotators.ai_judge import Judge
from plaudit.annotators.local import LocalReader
from plaudit.annotators.text import text_annotator
from plaudit.cli import main
from plaudit.feedback.store import Store
from plaudit.language.speaker import Speaker
from plaudit.language.template import TemplateConfig
from plaudit.run.language.config import ChatRun
from plaudit.types import Message

HELLO = [Message("user", "Hello")]
TIMED = "{{ mood | default('calm') }} {{ strftime_now('%Y') }}" + TEMPLATE


def pin(folder: Path) -> None:
    """Give a saved model a template that reads the date and a variable, as a run pins them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TIMED
    settings = TemplateConfig(("mood=glad",), "2024-05-06").pin(tokenizer, "own")
    settings.apply(tokenizer, "own")
    tokenizer.save_pretrained(folder)


def test_what_a_model_was_saved_with_is_used_and_can_be_overridden(
    finished: ChatRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (finished.policy, finished.reward):
        pin(folder)
    assert "glad 2024<|user|>Hello" in read_prompt(Speaker(str(finished.policy), "cpu"))
    sad = TemplateConfig(("mood=sad",))
    assert "sad 2024<|user|>Hello" in read_prompt(Speaker(str(finished.policy), "cpu", config=sad))
    judge = text_annotator(f"ai:local?model={finished.policy}", template=sad)
    assert isinstance(judge, Judge) and isinstance(judge.reader, LocalReader)
    assert "sad 2024<|user|>Hello" in read_prompt(judge.reader.model)
    file, out = tmp_path / "rows.csv", tmp_path / "scores.jsonl"
    file.write_text("question,reply\nHello,Yes\n")
    command = ["score", str(finished.folder), str(file), "--out", str(out), "--columns", "prompt=question"]
    scores = []
    for options in ([], ["--template-kwargs", "mood=sad"]):
        assert main([*command, "response=reply", *options]) == 0
        scores.append(json.loads(out.read_text())["reward"])
        expected = load_reward(finished.folder, template_kwargs=options[1:]).score(["Hello"], ["Yes"])[0]
        assert scores[-1] == pytest.approx(float(expected), abs=1e-5)
    assert scores[0] != scores[1]
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n"))
    assert main(["chat", str(finished.folder), "--template-kwargs", "mood=sad", "--tokens", "4"]) == 0
    with Store.open(tmp_path / "store.sqlite"):
        pass
    capsys.readouterr()
    for arguments, words in (
        (["chat", str(finished.folder), "--template-kwargs", "mod=sad"], "does not read the variable mod. Its variabl"),
        ([*command, "response=reply", "--template-kwargs", "mod=sad"], "does not read the variable mod"),
        (["judge", "store.sqlite", "--annotator", "rule:brief", "--template-kwargs", "mood=sad"], "is for ai:local"),
        (["judge", "store.sqlite", "--annotator", f"ai:local?model={finished.policy}", "--template-kwargs", "x=1"],
         "does not read the variable x"),
    ):  # fmt: skip
        assert main([str(tmp_path / name) if name == "store.sqlite" else name for name in arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line


def read_prompt(model: Any) -> str:
    """What a model sees of a conversation."""
    chat = model._chat
    return chat.tokenizer.decode(chat.prompt(HELLO))
