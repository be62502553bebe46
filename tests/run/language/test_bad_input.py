"""Whatever is wrong with a model, a file or an annotator is one line of a message, and nothing is lost."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from transformers import AutoTokenizer

from plaudit.annotators.patience import Patience
from plaudit.annotators.text import text_annotator
from plaudit.cli import main
from plaudit.feedback.store import Store
from plaudit.language.models import ModelConfig, load
from plaudit.language.tune import TuneConfig
from plaudit.run.language import assemble as chat_hands
from plaudit.run.language.config import ChatConfig, ChatRun, DataConfig
from plaudit.run.stored import CHAT, to_dict

Settings = Callable[..., ChatConfig]
pytestmark = pytest.mark.usefixtures("blank_figures")
LOADING = """
import sys, time
from plaudit.cli import main
from plaudit.language.models import ModelConfig, load
begun = time.monotonic()
load(ModelConfig(sys.argv[1]))
print(time.monotonic() - begun, flush=True)
sys.exit(main(sys.argv[2:]))
"""
NOWHERE = "http://127.0.0.1:9"  # the port of a service that nobody runs any more


class Command:
    """`plaudit train chat` on settings, and the line that it says when it cannot."""

    def __init__(self, settings: Settings, folder: Path, output: pytest.CaptureFixture[str]) -> None:
        self.settings, self.folder, self.output = settings, folder, output
        self.run = folder / "run"

    def __call__(self, changes: dict[str, Any], *options: str) -> str:
        path = self.folder / "settings.json"
        path.write_text(json.dumps(to_dict(self.settings(**changes), CHAT)))
        return self.fault("train", "chat", "--config", str(path), "--trust", "--out", str(self.run), *options)

    def fault(self, *arguments: str) -> str:
        assert main(list(arguments)) == 2
        said = [line for line in self.output.readouterr().err.splitlines() if line.startswith("plaudit: ")]
        assert len(said) == 1
        return said[0]


@pytest.fixture
def command(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(settings, tmp_path, capsys)


@pytest.fixture
def copied(base: Path, tmp_path: Path) -> Path:
    """A copy of the model, to break."""
    return Path(shutil.copytree(base, tmp_path / "model"))


def model(folder: Path | str) -> dict[str, Any]:
    return {"model": ModelConfig(str(folder), "upper", layers=1, precision="fp32")}


# The model


@pytest.mark.parametrize("weights", [False, True])
def test_a_model_that_is_not_there(command: Command, tmp_path: Path, weights: bool) -> None:
    (tmp_path / "empty").mkdir()
    name = tmp_path / ("empty" if weights else "nothing")
    assert f"model {name}: " in command(model(name)) and not command.run.exists()


@pytest.fixture
def cached(base: Path, tmp_path: Path) -> str:
    """The hub's name of a model in the cache, which is in ``hub``."""
    home = tmp_path / "hub" / "models--somebody--tiny"
    shutil.copytree(base, home / "snapshots" / "1")
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("1")
    return "somebody/tiny"


def test_a_hub_that_cannot_be_reached(
    command: Command, cached: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked once for each model. One in the cache loads; for another the command says what it needs."""
    addresses: list[str] = []
    look_up = socket.getaddrinfo

    def count(host: str, *arguments: Any, **options: Any) -> Any:
        addresses.append(host)
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(constants, "ENDPOINT", NOWHERE)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket, "getaddrinfo", count)
    load(ModelConfig(cached))
    attempts = len(addresses)
    assert 0 < attempts <= 3  # one, and what the hub's library adds; transformers would ask for each of its files
    line = command(model("nobody/nothing"))
    assert line.startswith("plaudit: model nobody/nothing: ") and line.endswith("can be reached, or smollm2")
    assert attempts < len(addresses) <= 2 * attempts and set(addresses) == {"127.0.0.1"}
    assert not command.run.exists()


@pytest.mark.thorough
def test_variables_that_name_a_hub_that_cannot_be_reached(settings: Settings, cached: str, tmp_path: Path) -> None:
    """The same in a process that reads them when it starts, with a clock beside it."""
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(to_dict(settings(**model("nobody/nothing")), CHAT)))
    arguments = ["train", "chat", "--config", str(path), "--trust", "--out", str(tmp_path / "run")]
    environment = os.environ | {"HF_ENDPOINT": NOWHERE, "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", LOADING, cached, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and not (tmp_path / "run").exists(), done.stderr
    assert float(done.stdout) < 10  # where transformers asks the hub itself, 23 s
    (line,) = done.stderr.splitlines()
    assert line.startswith("plaudit: model nobody/nothing: ") and line.endswith("can be reached, or smollm2")


def test_a_model_without_a_chat_template(command: Command, copied: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(copied)
    tokenizer.chat_template = None
    shutil.rmtree(copied / "chat_template.jinja", ignore_errors=True)
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        (copied / name).unlink(missing_ok=True)
    tokenizer.save_pretrained(copied)
    assert "has no chat template" in command(model(copied)) and not command.run.exists()
    data = dataclasses.replace(command.settings().data, template="transcript")
    run = ChatRun.create(command.run, command.settings(**model(copied), data=data))
    assert main(["resume", str(run.folder)]) == 0
    assert "Human: " in AutoTokenizer.from_pretrained(run.policy).chat_template


def test_a_tokenizer_without_a_token_that_ends(command: Command, copied: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(copied)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(copied)
    for name in ("config.json", "generation_config.json"):
        stored = json.loads((copied / name).read_text())
        (copied / name).write_text(json.dumps(stored | {"eos_token_id": None}))
    assert "no token that ends a text (eos_token)" in command(model(copied))


def test_a_tokenizer_without_a_token_to_pad_with_needs_none(base: Path) -> None:
    assert AutoTokenizer.from_pretrained(base).pad_token is None  # and every other test here trains on it


def test_a_window_that_is_too_small(command: Command) -> None:
    said = command({}, "--prompt-tokens", "250")
    assert "prompts of up to 250 tokens and 8 new tokens do not fit the model's window of 256" in said
    assert not command.run.exists()


def test_a_sliding_window_does_not_limit_texts(copied: Path) -> None:
    stored = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(stored | {"sliding_window": 48}))
    assert load(ModelConfig(str(copied))).window == 256  # the layers of this type of model look back over everything


# Files


def test_prompts_that_are_all_too_long(command: Command) -> None:
    assert "every prompt is longer than 3 tokens: raise --prompt-tokens" in command({}, "--prompt-tokens", "3")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"prompt": "b", "chosen": "yes"}', "line 2: field 'rejected' is missing"),
        ('{"prompt": "b", "cho', "line 2"),
    ],
)
def test_a_line_that_is_none(command: Command, tmp_path: Path, line: str, words: str) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(f'{{"prompt": "a", "chosen": "yes", "rejected": "no"}}\n{line}\n')
    data = dataclasses.replace(command.settings().data, comparisons=str(pairs))
    said = command({"data": data}, "--strict")
    assert "pairs.jsonl" in said and words in said


def test_empty_completions_are_left_out_and_counted(command: Command, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"prompt": prompt, "chosen": "yes", "rejected": empty} for prompt, empty in (("a", ""), ("b", " "))]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = dataclasses.replace(command.settings().data, comparisons=str(pairs))
    run = ChatRun.create(command.run, command.settings(data=data))
    assert main(["resume", str(run.folder)]) == 0
    said = command.output.readouterr().err
    assert "2 refused, the first: question " in said and "a response is empty: leave it out" in said
    assert run.metrics()[0]["labels"] == run.metrics()[0]["asked"] + 4  # and the rankings of the first step


def test_files_that_are_not_there(command: Command, tmp_path: Path) -> None:
    missing = str(tmp_path / "nothing.jsonl")
    for field in ("prompts", "demonstrations", "comparisons", "template"):
        data: DataConfig = dataclasses.replace(command.settings().data, **{field: missing})
        said = command({"data": data})
        assert "nothing.jsonl" in said, field
        assert not command.run.exists(), field


@pytest.mark.parametrize(
    ("field", "content", "words"),
    [
        ("prompts", b'{"prompt": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}', "must be a text"),
        ("prompts", b'{"prompt": [{"role": "user", "content": null}]}', "content must be a text, got null"),
        ("prompts", b'{"prompt": "\\ud83d hi"}', "half of a surrogate pair"),
        ("template", b"caf\xe9 {{ messages }}", "is not UTF-8 (byte 4)"),
        ("template", b"{% for %}", "chat template refuses a conversation"),
        ("template", b"", "has no chat template"),
    ],
)
def test_files_that_say_nothing(command: Command, tmp_path: Path, field: str, content: bytes, words: str) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_bytes(content + b"\n" if content else content)
    said = command({"data": dataclasses.replace(command.settings().data, **{field: str(path)})})
    assert words in said and not command.run.exists()


def test_a_folder_in_place_of_a_file(command: Command, tmp_path: Path) -> None:
    (tmp_path / "prompts.d.txt").mkdir()
    data = dataclasses.replace(command.settings().data, prompts=str(tmp_path / "prompts.d.txt"))
    assert "prompts.d.txt cannot be read (Is a directory)" in command({"data": data})


# Numbers


def test_losses_that_are_no_numbers_any_more_and_going_on(command: Command) -> None:
    """In each stage of one run, which goes on with the stage's former rate."""
    path, settings = command.run / "config.json", command.settings()

    def set_rate(stage: str, rate: float) -> None:
        stored = json.loads(path.read_text())
        stored[stage]["learning_rate"] = rate
        path.write_text(json.dumps(stored))

    ChatRun.create(command.run, settings)
    for stage in ("sft", "reward", "improve"):
        set_rate(stage, 1e30)
        line = command.fault("resume", str(command.run))
        assert "is not a number: lower" in line and f"it is {stage}.learning_rate in {path}: change it there" in line
        set_rate(stage, getattr(settings, stage).learning_rate)
    assert main(["resume", str(command.run)]) == 0
    assert (command.run / "policy" / "model.safetensors").exists()


# Annotators


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_hands, "text_annotator", text_annotator)


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("name", ["nobody", "rule:nothing", "ai:", "ai:local?constitution=nothing.txt"])
def test_an_annotator_that_is_none(command: Command, name: str) -> None:
    assert command({"annotator": name}) and not command.run.exists()


@pytest.mark.usefixtures("real")
def test_a_judge_that_cannot_be_reached_and_going_on(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience, "before", lambda *arguments: 0.01)
    said = command({"annotator": f"ai:{NOWHERE}/v1#judge", "judge": "rule:brief"})
    assert f"{NOWHERE}/v1" in said
    with Store.open(command.run / "feedback.sqlite") as store:
        assert store.counts().questions > 0 and store.counts().judgements == 0 and store.open_count() > 0
    path = command.run / "config.json"
    path.write_text(path.read_text().replace(f"ai:{NOWHERE}/v1#judge", "rule:brief"))
    assert main(["resume", str(command.run)]) == 0
    assert (command.run / "policy" / "model.safetensors").exists()


def test_steps_of_no_size() -> None:
    with pytest.raises(Exception, match="learning"):
        TuneConfig(learning_rate=-1.0)
