"""`plaudit chat RUN --browser`: the models of a run on the page, bad input, and Ctrl-C."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from plaudit import load_reward
from plaudit.cli import chat_page, main
from plaudit.cli.chat_page import Request, load_models
from plaudit.language.sampling import SamplingConfig
from plaudit.language.speaker import Speaker
from plaudit.run.language.config import ChatRun
from plaudit.server.chat.models import Response, Sampling
from plaudit.types import Message

SAMPLING = SamplingConfig(6, 0.0)
CONVERSATION = [Message("system", "Be brief."), Message("user", "Hello")]


def test_a_run_brings_both_models_and_its_reward(finished: ChatRun) -> None:
    models = load_models(Request(str(finished.folder), False, "cpu", 0), SAMPLING, None)
    assert models.title == finished.folder.name and models.system == ""
    assert [model.name for model in models.models] == ["Trained", "Before RL"]
    for model, folder in zip(models.models, (finished.policy, finished.sft), strict=True):
        *_, response = model.write(CONVERSATION, Sampling(6, 0.0, 0))
        speaker = Speaker(str(folder), "cpu")
        reply = speaker.respond(CONVERSATION, SAMPLING, speaker.generator(0), 1)
        assert isinstance(response, Response) and vars(response) == vars(reply)
    assert models.score is not None
    prompt = [{"role": message.role, "content": message.content} for message in CONVERSATION]
    expected = load_reward(finished.folder, device="cpu").score([prompt], ["Yes"])[0]
    assert models.score(CONVERSATION, "Yes") == pytest.approx(expected)
    (before,) = load_models(Request(str(finished.folder), True, "cpu", 0), SAMPLING, None).models
    assert before.name == "Before RL"


def test_any_model_and_a_tuned_one_whose_base_is_gone(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = load_models(Request(str(base), False, "cpu", 0), SAMPLING, "Be brief.")
    assert [model.name for model in models.models] == [base.name] and models.score is None
    assert (models.system, models.window) == ("Be brief.", 256)
    run = tmp_path / "sft"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copytree(base, run / "model")
    settings = {"format": 2, "kind": "sft", "model": {"model": str(base)}, "template": "own"}
    (run / "config.json").write_text(json.dumps(settings))
    request = Request(str(run), False, "cpu", 0)
    assert [model.name for model in load_models(request, SAMPLING, None).models] == ["Trained", "Base model"]
    settings["model"] = {"model": str(tmp_path / "gone")}
    (run / "config.json").write_text(json.dumps(settings))
    assert [model.name for model in load_models(request, SAMPLING, None).models] == ["Trained"]
    assert "there is no comparison with the base model" in capsys.readouterr().err


def test_a_damaged_model_and_a_port_in_use_are_one_line_each(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = shutil.copytree(base, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"no weights")
    assert main(["chat", str(damaged), "--browser"]) == 2
    assert str(damaged) in capsys.readouterr().err.splitlines()[-1]
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["chat", str(damaged), "--browser", "--port", str(port)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"cannot listen at 127.0.0.1 port {port}" in line and line.endswith("--port (0 takes any)")
    assert main(["chat", str(base), "--browser", "--port", "99999"]) == 2


def test_the_page_is_served_and_ends(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    links: list[str] = []
    shown, stop = threading.Event(), threading.Event()
    monkeypatch.setattr(chat_page, "has_screen", lambda: True)
    monkeypatch.setattr("webbrowser.open", lambda link: (links.append(link), shown.set()))
    arguments = (Request(str(base), False, "cpu", 0), SAMPLING, None, stop)
    thread = threading.Thread(target=chat_page.serve, args=arguments, daemon=True)
    thread.start()
    assert shown.wait(60)
    with httpx.Client(follow_redirects=True) as browser:
        page = browser.get(links[0])
        assert page.status_code == 200 and base.name in page.text
        body = {"parts": [{"model": 0}], "say": "Hello", "tokens": 4, "temperature": 1}
        answer = browser.post(f"{page.url}api/turn", json=body, headers={"Origin": str(page.url).rstrip("/")})
        assert (
            answer.status_code == 200
            and "event: response" in answer.text
            and answer.text.endswith("event: end\ndata: {}\n\n")
        )
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert capsys.readouterr().out == f"talk at {links[0]}\n"


@pytest.mark.thorough  # a process of its own imports torch
def test_ctrl_c_ends_the_page_while_a_model_writes(base: Path) -> None:
    command = [sys.executable, "-m", "plaudit", "chat", str(base), "--browser", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        link = process.stdout.readline().removeprefix("talk at ").strip()
        with httpx.Client(follow_redirects=True, timeout=60) as browser:
            page = browser.get(link)
            body = {"parts": [{"model": 0}], "say": "Hello", "tokens": 240, "temperature": 2}
            headers = {"Origin": str(page.url).rstrip("/")}
            with browser.stream("POST", f"{page.url}api/turn", json=body, headers=headers) as answer:
                texts = answer.iter_text()
                next(texts)
                process.send_signal(signal.SIGINT)
                rest = "".join(texts)
        assert process.wait(30) == 130
        assert "event: end" in rest
        assert "Traceback" not in (faults := process.stderr.read()) and "ERROR" not in faults
