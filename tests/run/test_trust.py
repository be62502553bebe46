"""A run folder from a stranger sends nothing away, runs nothing and reads nothing outside of itself."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import typing
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import plaudit
from plaudit import layout
from plaudit.cli import main
from plaudit.control.make import EnvironmentConfig
from plaudit.language.pretrain import PretrainConfig
from plaudit.reward.ensemble import RewardConfig
from plaudit.run.control.config import Run, RunConfig
from plaudit.run.language.config import ChatConfig, ChatRun, DataConfig
from plaudit.run.language.pretrain import PretrainRun
from plaudit.run.language.tune.methods import METHODS
from plaudit.run.trust import FILES, JUDGES, find_mentions, sign
from plaudit.types import PlauditError

PLAIN = {  # settings that are text and name nothing outside of the folder
    *("environment.id", "feedback.wording", "data.system", "context", "files.format", "files.columns", "files.split"),
    *("chat_template.kwargs", "chat_template.date", "chat_template.text", "heads.objectives", "spans.categories"),
    "reward.aim",
}
PROGRAM = """
from pathlib import Path
Path({path!r}).touch()
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of the user; another one is another user."""
    monkeypatch.setenv("PLAUDIT_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def requests() -> Iterator[tuple[str, list[Any]]]:
    """The address of a server, and the headers of what it was sent."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.headers)
            self.send_error(400)

        def log_message(self, format: str, *arguments: object) -> None:
            received.append(arguments)

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1#m", received
        server.shutdown()


def make_strange(folder: Path) -> None:
    """As if somebody else had made the run."""
    for path in folder.rglob(layout.ORIGIN):
        path.unlink()


def fault(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


def test_a_strangers_run_sends_no_key_and_no_file(
    state: Path, tmp_path: Path, requests: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address, received = requests
    secrets, folder = tmp_path / "secrets.txt", tmp_path / "run"
    secrets.write_text("password\n" * 8)
    monkeypatch.setenv("PLAUDIT_JUDGE_KEY", "sk-mine")
    config = ChatConfig(annotator=f"ai:{address}", data=DataConfig(prompts=str(secrets)), passages="/dev")
    ChatRun.create(folder, config)
    make_strange(folder)
    for command in ("resume", "report", "iterate"):
        line = fault(capsys, command, str(folder))
        assert f"annotator 'ai:{address}' (an address" in line and f"data.prompts '{secrets}' (not in" in line
        assert "passages '/dev'" in line and "--trust" in line and "sk-mine" not in line
    line = fault(capsys, "iterate", str(folder), "--annotator", "rule:brief")
    assert address not in line and str(secrets) in line  # what the command names again is the user's
    line = fault(capsys, "train", "chat", "--config", str(folder / "config.json"), "--annotator", "rule:brief")
    assert address not in line and str(secrets) in line
    assert not received and not (folder / layout.ORIGIN).exists()


def test_a_strangers_run_imports_nothing(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("strange_module.py").write_text(PROGRAM.format(path=str(tmp_path / "imported")))
    environment = EnvironmentConfig("CartPole-v1", imports=("strange_module",))
    run = Run.create(Path("run"), RunConfig(environment, annotator="strange_module:Judge"))
    Run.create(run.folder / layout.BASELINE, run.config)
    make_strange(run.folder)
    for command in ("resume", "report", "watch", "replay", "baseline"):
        line = fault(capsys, command, "run")
        assert "'strange_module' (a program" in line and "'strange_module:Judge' (a program" in line
    for load in (plaudit.load_policy, plaudit.resume):
        with pytest.raises(PlauditError, match="strange_module"):
            load("run")
    (run.folder / layout.CONFIG).write_text(
        (run.folder / layout.CONFIG).read_text().replace("strange_module:Judge", "oracle").replace("strange_module", "")
    )
    sign(run.folder, Run.open(run.folder).config)
    with pytest.raises(PlauditError, match=r"baseline was not made here.*strange_module"):
        Run.open(run.folder).check_trust()
    assert not (tmp_path / "imported").exists()


def test_ones_own_run_needs_no_confirmation(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ChatConfig(annotator="ai:http://judge:8000/v1#m", data=DataConfig(prompts=str(tmp_path / "prompts.txt")))
    run = ChatRun.create(tmp_path / "run", config)
    run.check_trust()
    assert state.stat().st_mode & 0o777 == 0o700 and (state / "secret").stat().st_mode & 0o777 == 0o600
    moved = run.folder.rename(tmp_path / "moved")
    text = (moved / layout.CONFIG).read_text()
    (moved / layout.CONFIG).write_text(text.replace('"rounds": 2', '"rounds": 5'))
    ChatRun.open(moved).check_trust()
    (moved / layout.CONFIG).write_text(text.replace("judge:8000", "elsewhere:8000"))
    with pytest.raises(PlauditError, match="elsewhere"):
        ChatRun.open(moved).check_trust()
    (moved / layout.CONFIG).write_text(text.replace("ai:http://judge:8000/v1#m", "rule:brief"))
    ChatRun.open(moved).check_trust()  # fewer names need no confirmation
    (moved / layout.CONFIG).write_text(text.replace("judge:8000", "elsewhere:8000"))
    ChatRun.open(moved).check_trust(trust=True)
    ChatRun.open(moved).check_trust()  # once is enough
    (moved / layout.TRACKERS).write_text('{"id": "1", "trackers": ["tensorboard", "wandb"]}')
    with pytest.raises(PlauditError, match=r"'wandb' \(a service"):
        ChatRun.open(moved).check_trust()
    ChatRun.open(moved).check_trust(trust=True)
    monkeypatch.setenv("PLAUDIT_STATE", str(tmp_path / "another user's"))
    with pytest.raises(PlauditError, match="elsewhere"):
        ChatRun.open(moved).check_trust()


def test_names_that_were_signed_in_two_runs_are_not_combined(state: Path, tmp_path: Path) -> None:
    address, prompts = "ai:http://colleague/v1#m", str(tmp_path / "private.txt")
    shared = ChatRun.create(tmp_path / "shared", ChatConfig(annotator=address)).folder
    private = ChatRun.create(tmp_path / "private", ChatConfig(data=DataConfig(prompts=prompts))).folder
    both = ChatRun.create(tmp_path / "both", ChatConfig(annotator=address, data=DataConfig(prompts=prompts))).folder
    origins = [json.loads((folder / layout.ORIGIN).read_text()) for folder in (shared, private)]
    signatures = [signature for origin in origins for signature in origin["signatures"]]
    (both / layout.ORIGIN).write_text(json.dumps({"id": origins[0]["id"], "signatures": signatures}))
    with pytest.raises(PlauditError, match=r"private\.txt") as error:
        ChatRun.open(both).check_trust()
    assert "colleague" not in str(error.value)


def test_a_secret_that_others_can_read_signs_nothing(state: Path, tmp_path: Path) -> None:
    config = RunConfig(EnvironmentConfig("Duel"), annotator="my_judge:Judge")
    Run.create(tmp_path / "run", config).check_trust()
    (state / "secret").chmod(0o644)
    with pytest.raises(PlauditError, match="my_judge"):
        Run.open(tmp_path / "run").check_trust()
    (state / "secret").unlink()
    (state / "secret").symlink_to(os.devnull)
    Run.create(tmp_path / "other", config)
    assert not (tmp_path / "other" / layout.ORIGIN).exists()


def test_a_program_is_not_imported_from_inside_of_a_run(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that a user shares keeps their signature, and the receiver can add a module of the same name to it."""
    run = Run.create(tmp_path / "run", RunConfig(EnvironmentConfig("Duel"), annotator="my_judge:Judge"))
    monkeypatch.chdir(run.folder / "checkpoints")
    with pytest.raises(PlauditError, match="my_judge"):
        run.check_trust()


def test_files_in_the_folder_and_ids_of_the_hub_need_no_confirmation(state: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    data = DataConfig(prompts=str(folder / "prompts.txt"), comparisons="Anthropic/hh-rlhf")
    run = ChatRun.create(folder, ChatConfig(data=data, judge="rule:polite"))
    make_strange(folder)
    run.check_trust()
    for prompts in ("builtin", "explanations"):  # lists that come with Plaudit
        words = ChatConfig(data=DataConfig(prompts=prompts))
        assert not [mention for mention in find_mentions(words) if mention.setting == "data.prompts"]
    names = dataclasses.replace(run.config, judge="rule:mine.py:f", annotator="ai:local?constitution=own.txt")
    assert [mention.value for mention in find_mentions(names)][-2:] == ["constitution=own.txt", "rule:mine.py:f"]
    PretrainRun.create(tmp_path / "pretrain", PretrainConfig(data=("../secrets",)))
    make_strange(tmp_path / "pretrain")
    assert main(["pretrain", "--resume", str(tmp_path / "pretrain")]) == 2
    assert main(["resume", str(tmp_path / "pretrain")]) == 2


def test_a_file_of_groups_outside_of_the_folder_is_not_read(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = tmp_path / "groups.csv", tmp_path / "run"
    path.write_text("annotator,group\nada,few\n")
    reward = RewardConfig(objective="heads", groups=(str(path), "bob=many"))
    Run.create(folder, RunConfig(EnvironmentConfig("Duel"), reward=reward)).check_trust()
    make_strange(folder)
    for command in ("resume", "report", "watch"):
        line = fault(capsys, command, str(folder))
        assert f"reward.groups '{path}' (not in" in line and "bob" not in line
    path.unlink()
    Run.open(folder).check_trust(trust=True)
    assert f"cannot read {path}" in fault(capsys, "resume", str(folder))


def test_every_setting_with_text_is_classified() -> None:
    """A new setting that names a file or an address must be added to :mod:`plaudit.run.trust`."""

    def texts(cls: type, prefix: str = "") -> Iterator[str]:
        for name, hint in typing.get_type_hints(cls).items():
            if dataclasses.is_dataclass(hint):
                yield from texts(typing.cast(type, hint), f"{prefix}{name}.")
            elif "str" in str(hint) and typing.get_origin(hint) is not typing.ClassVar:
                yield prefix + name

    known = {*FILES, *JUDGES, *PLAIN, "environment.imports", "environment.kwargs", "reward.groups"}
    classes = [RunConfig, ChatConfig, PretrainConfig, *(method.settings for method in METHODS.values())]
    assert {name for cls in classes for name in texts(cls)} <= known


@pytest.mark.parametrize("name", ["metrics.jsonl.partial", "metrics.jsonl", "config.json", "checkpoints", "lock"])
def test_a_run_folder_with_links_is_refused(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    bait = tmp_path / ".bashrc"
    bait.write_text("mine")
    folder = Run.create(tmp_path / "run", RunConfig(EnvironmentConfig("Duel"))).folder
    path = folder / name
    if name == "config.json":
        bait = path.rename(tmp_path / "config.json")
    elif path.is_dir():
        path.rmdir()
    path.symlink_to(bait)
    before = bait.read_bytes()
    for command in ("resume", "report", "watch", "replay", "baseline"):
        assert f"{path} is a link" in fault(capsys, command, str(folder))
    assert bait.read_bytes() == before


def test_a_collect_folder_with_links_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "collect"
    folder.mkdir()
    (folder / "serving.lock").symlink_to(tmp_path / "made")
    for options in (["--backup"], ["--admin-link"], ["--restore", __file__], []):
        line = fault(capsys, "collect", "--folder", str(folder), *options)
        assert f"{folder / 'serving.lock'} is a link" in line
    assert not (tmp_path / "made").exists()
    (folder / "serving.lock").unlink()
    assert json.dumps(os.listdir(folder)) == "[]"
