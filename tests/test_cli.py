"""The command line: small runs of everything, and for whatever is wrong one clear line and exit code 2."""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plaudit.api import control
from plaudit.cli import main
from plaudit.cli import train as training
from plaudit.feedback.store import Store
from plaudit.run.control import look
from plaudit.run.control.config import Run
from plaudit.run.control.look import clip_of
from plaudit.run.stored import annotator_name
from plaudit.types import PlauditError

from .lake import lake
from .processes import Forked, ProgramChild

__all__ = ["lake"]

SMALL = ["--rounds", "2", "--labels", "8", "--reward.first-epochs", "2", "--reward.epochs", "1", "--length", "10"]
SHORT = ["--environment.kwargs", "horizon=100"]  # a fourth of Duel's episodes


pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture(autouse=True, scope="module")
def short() -> Iterator[None]:
    """What a report shows, shorter."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("EVALUATION_EPISODES", 16),
            ("ATARI_EPISODES", 2),
            ("CLIP_STEPS", 24),
            ("SCATTER_STEPS", 512),
            ("SCATTER_PIXEL_STEPS", 64),
        ):
            patch.setattr(look, name, value)
        yield


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that end without a report."""
    monkeypatch.setattr(training, "write_and_print_report", lambda run: None)


@pytest.fixture
def forked_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The baseline beside a run is forked; a thorough test starts a real one."""
    monkeypatch.setattr(control, "subprocess", SimpleNamespace(Popen=ProgramChild))


def train(environment: str, out: Path, *options: str, steps: int = 2000, envs: int = 4) -> Run:
    arguments = ["train", environment, "--out", str(out), "--steps", str(steps), "--envs", str(envs), *SMALL, *options]
    assert main(arguments) == 0
    return Run.open(out)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def fault(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """The one line that a fault is."""
    assert main(arguments) == 2
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("plaudit: ") and output.out == "", output
    return lines[0]


# What works


@pytest.mark.filterwarnings("default:no clips in the report")
@pytest.mark.parametrize(
    ("environment", "options"),
    [
        ("CartPole-v1", ["--method", "k-center"]),
        ("Pendulum-v1", ["--method", "uniform"]),
        ("Pendulum-v1", ["--a2c", "--method", "disagreement"]),
        ("Rally", ["--method", "entropy", "--preference", "end-value"]),
        ("Delivery", ["--method", "disagreement", "--preference", "regret"]),
        ("MovingDot", ["--offline", "--annotator", "noisy"]),
        ("Duel", [*SHORT, "--observations", "pixels", "--annotator", "mistake"]),
    ],
)
def test_train_and_report(
    environment: str,
    options: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if environment == "Duel":  # every figure of a report, from a run's own numbers
        request.getfixturevalue("drawn_figures")
    run = train(environment, tmp_path / "run", *options, steps=480 if environment == "Duel" else 2000)
    output = capsys.readouterr()
    assert f"report: {run.folder / 'report.html'}" in output.out and "Traceback" not in output.err
    rows = run.metrics()
    assert [row["round"] for row in rows] == [0, 1]
    assert rows[-1]["asked"] == rows[-1]["labels"] == 8
    upfront = max(1, round(8 * run.config.feedback.upfront))  # 2 at the paper's quarter, 1 at the courts' tenth
    assert rows[0]["asked"] == (8 if "--offline" in options else upfront)
    assert "<html" in (run.folder / "report.html").read_text(encoding="utf-8")
    card = (run.folder / "README.md").read_text(encoding="utf-8")
    assert "In force: 8 judgements on 8 questions" in card and "(n = 16 fresh episodes)" in card
    with Store.open(run.folder / "feedback.sqlite", create=False) as store:
        assert store.counts().effective == 8


@pytest.mark.parametrize("report", [False, pytest.param(True, marks=pytest.mark.thorough)])
@pytest.mark.filterwarnings("default:no clips in the report")
def test_pong(report: bool, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A report plays whole games of Pong, half a minute of them."""
    pytest.importorskip("ale_py")
    if not report:
        request.getfixturevalue("unreported")
    run = train("ALE/Pong-v5", tmp_path / "run", steps=128, envs=2)
    assert len(run.metrics()) == 2
    assert run.config.reward.std == 0.2
    assert (run.folder / "report.html").exists() == report


@pytest.mark.filterwarnings("default:no clips in the report")
def test_mujoco_where_it_is_installed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], unreported: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a display or without one; what MuJoCo warns of stands there once, and its log is not written."""
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)
    run = train("HalfCheetah-v5", tmp_path / "run")
    rows = run.metrics()
    assert [row["round"] for row in rows] == [0, 1] and rows[-1]["labels"] == 8
    assert rows[-1]["step"] == 2000  # two rollouts of 250 steps in four environments
    lines = [line for line in capfd.readouterr().err.splitlines() if "deprecated" in line]
    assert len(lines) == len(set(lines)) and all(line.startswith("MuJoCo: ") for line in lines)
    assert not (tmp_path / "MUJOCO_LOG.TXT").exists()
    try:
        video = clip_of(run, run.load(), steps=3)
    except PlauditError as error:  # no driver at all
        assert "MUJOCO_GL=egl" in str(error) and "\n" not in str(error)
    else:
        assert video.frames == 3 and video.width == 480
    gc.collect()  # a context that is freed twice fails here


def test_an_environment_of_ones_own(
    lake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], unreported: None
) -> None:
    run = train("FlatLake-v0", tmp_path / "run", "--environment.import", lake, "--environment.kwargs", "size=3")
    environment = run.config.environment
    assert (environment.id, environment.imports, environment.kwargs) == ("FlatLake-v0", (lake,), ("size=3",))
    again = ["train", "--config", str(run.folder / "config.json"), "--out", str(tmp_path / "again")]
    assert main([*again, "--environment.import", "json"]) == 0
    assert Run.open(tmp_path / "again").config.environment.imports == (lake, "json")
    capsys.readouterr()
    line = fault(capsys, ["train", "FlatLake-v0", "--environment.import", "--steps", "5"])
    assert "--environment.import needs a module" in line


@pytest.mark.thorough
@pytest.mark.filterwarnings("default:no clips in the report")
def test_every_process_of_a_run_imports_the_environment(lake: str, tmp_path: Path) -> None:
    run = train(f"{lake}:FlatLake-v0", tmp_path / "run", "--baseline", "--parallel", steps=1000)
    assert Run.open(run.folder / "baseline").metrics() and run.metrics()
    command = [sys.executable, "-m", "plaudit"]  # other processes, which have registered nothing yet
    for arguments in (["report", "run"], ["resume", "run"], ["replay", "run"], ["watch", "run", "--steps", "2"]):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_baseline_beside_a_run_watch_and_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unreported: None, forked_baseline: None
) -> None:
    run = train("Duel", tmp_path / "run", "--baseline", *SHORT, steps=480)
    assert len(Run.open(run.folder / "baseline").metrics()) == 2
    capsys.readouterr()
    assert main(["watch", str(run.folder), "--steps", "5", "--checkpoint", "first"]) == 0
    assert capsys.readouterr().out == f"{run.folder / 'clips' / 'first.webm'}\n"
    assert (run.folder / "clips" / "first.webm").read_bytes()[:4] == b"\x1aE\xdf\xa3"  # EBML
    assert main(["report", str(run.folder)]) == 0
    assert "baseline" in (run.folder / "report.html").read_text(encoding="utf-8")
    again = tmp_path / "again"
    assert main(["train", "--config", str(run.folder / "config.json"), "--out", str(again)]) == 0
    finished = Run.open(again).metrics()
    assert [row["true_return"] for row in run.metrics()] == [row["true_return"] for row in finished]
    assert main(["resume", str(again)]) == 0  # nothing is left to do
    assert Run.open(again).metrics() == finished


@pytest.mark.filterwarnings("default:no clips in the report", "default:episode ends are visible")
def test_visible_ends_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str], unreported: None) -> None:
    train("CartPole-v1", tmp_path / "run", "--ends", "visible", "--length", "5")
    assert "warning: episode ends are visible" in capsys.readouterr().err


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == main(["--version"]) == 0
    assert "plaudit train ENV" in capsys.readouterr().out
    for command in ("train", "resume", "watch", "report", "preference-model"):
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0 and "usage: plaudit" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train Duel", "train chat", "pretrain", "collect", "tune sft", "tune distill"])
def test_help_is_short_and_help_all_is_whole(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings that people touch, two or three commands as examples, and no line wider than the terminal."""

    def help_of(option: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main([*command.split(), option])
        assert stop.value.code == 0
        return capsys.readouterr().out

    monkeypatch.setenv("COLUMNS", "60")
    brief, whole = help_of("--help"), help_of("--help-all")
    flags = re.findall(r"^[│ ] (--[a-z][a-z.-]*)", brief, re.MULTILINE)
    assert 9 <= len(flags) <= 20 and not any("." in flag for flag in flags if not flag.startswith("--spans."))
    for flag in flags:  # a short flag is an alias of the setting's own
        assert re.search(rf"^[│ ] .*{re.escape(flag)}\b", whole, re.MULTILINE), flag
    assert len(re.findall(r"^[│ ] --[a-z]", whole, re.MULTILINE)) > len(flags)
    assert "-all shows every setting" in " ".join(brief.split()) and "-all shows" not in whole
    examples = [line for line in brief.splitlines() if line.startswith("  plaudit ")]
    assert len(examples) >= 2 and all(line in whole for line in examples)
    assert all(len(line) <= 60 for line in brief.splitlines() if line not in examples)
    assert "{None}" not in brief and "(default: None)" not in brief
    assert "--teacher" not in whole and "--environment.import " not in whole  # one flag for one concept


def test_a_short_flag_is_an_alias(tmp_path: Path, unreported: None, recorder: list[Any]) -> None:
    """Short flags, those with =, their long forms, and the former name of --annotator."""
    options = [
        "--teacher=mistake",
        "--feedback.labels",
        "8",
        "--envs=4",
        *("--steps", "400", "--rounds", "2", "--reward.first-epochs", "2"),
        "--offline",
        "--track=recorder",
    ]
    assert main(["train", "Duel", *SHORT, *options, "--length", "10", "--out", str(tmp_path / "run")]) == 0
    config = Run.open(tmp_path / "run").config
    assert [entry.step for entry in recorder] == [row["step"] for row in Run.open(tmp_path / "run").metrics()]
    assert config.annotator == "mistake" and config.feedback.offline
    assert (config.environment.num_envs, config.feedback.labels, config.feedback.length) == (4, 8, 10)


def test_annotators_are_people_by_any_of_their_names() -> None:
    names = ("people", "human", "Human", "humans", "person", "me")
    assert {annotator_name(name) for name in names} == {"people"} and annotator_name("oracle") == "oracle"


def test_help_feedback_and_the_store_do_not_load_torch() -> None:
    modules = "plaudit.feedback.store, plaudit.cli, plaudit.cli.feedback, plaudit.server.command"
    look = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0


# What does not


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frob"], "unknown command 'frob': use one of train"),
        (["trian", "Duel"], "unknown command 'trian': did you mean train?"),
        (["DPO", "pairs.jsonl"], "unknown command 'DPO': did you mean tune dpo?"),
        (["evaluate", "runs/Duel"], "unknown command 'evaluate': did you mean report?"),
        (["tune", "grpo", "pairs.jsonl"], "plaudit train chat, with --advantage gae (PPO), rloo or grpo"),
        (["tune", "rewards", "pairs.jsonl"], "there is no method 'rewards': did you mean reward?"),
        (["train", "gpt2"], "a language model is trained by: plaudit train chat --base MODEL"),
        (["train", "--env", "Duel"], "name an environment before the options: plaudit train Duel"),
        (["train", "Duel", "--annotator", "orcale"], "unknown annotator 'orcale': did you mean oracle? Choose one of"),
        (
            ["train", "Duel", "--algo", "ppo"],
            "unknown option --algo: did you mean --ppo or --a2c? See plaudit train ENV",
        ),
        (["train", "Duel", "--port", "70000"], "--port must be in 0..65535, got 70000"),
        (["train", "chat", "--port", "-1"], "--port must be in 0..65535, got -1"),
        (["audit", "runs/Duel", "--port", "70000"], "--port must be in 0..65535, got 70000"),
        (["train", "Duel", "--LR", "3"], "unknown option --LR: did you mean --learning-rate? See plaudit train ENV"),
        (["train", "Duel", "-lr=3"], "unknown option -lr=3: did you mean --learning-rate? See plaudit train ENV"),
        (["train", "Duel", "labels=3"], "unknown option labels=3: did you mean --labels? See plaudit train ENV"),
        (["train", "Duel", "--num_envs", "3"], "unknown option --num_envs: did you mean --envs? See plaudit train ENV"),
        (["train", "Duel", "--judge", "x"], "unknown option --judge: did you mean --annotator? See plaudit train ENV"),
        (["train", "Duel", "--report-to", "wandb"], "unknown option --report-to: did you mean --track? See plaudit"),
        (["train", "Duel", "--zzzz", "3"], "unknown option --zzzz; see plaudit train ENV --help"),
        (["train"], "name an environment"),
        (["train", "Deul"], "unknown environment 'Deul': nearest names are Duel"),
        (["train", "ALE/Nothing-v5"], "unknown environment 'ALE/Nothing-v5'"),
        (["train", "Duel", "--labels", "0"], "labels must be at least 1, got 0"),
        (["train", "Duel", "--length", "401"], "clips of 401 steps are longer than an episode of plaudit/Duel-v0"),
        (["train", "Duel", "--steps", "4k"], "--steps must be a whole number, got '4k'; see plaudit train ENV --help"),
        (["train", "Duel", "--learning-rate", "a"], "--learning-rate must be a number, got 'a'"),
        (["train", "Duel", "--out"], "--out needs a value"),
        (["train", "CartPole-v1", "--length", "501"], "(500 steps): use shorter clips (--length)"),
        (["train", "Duel", "--steps", "-5"], "got -5"),
        (["train", "Duel", "--threads", "0"], "threads must be at least 1, got 0"),
        (["train", "Duel", "--feedback.pool", "0"], "pool must be at least 1"),
        (["train", "Duel", "--feedback.scale", "0"], "scale is a number of steps above 0"),
        (["train", "Duel", "--improve.learning-rate", "0"], "learning_rate must be positive"),
        (["train", "Duel", "--steps", "many"], "--steps"),
        (["train", "Duel", "--seed", "-1"], "seed must not be negative"),
        (["train", "Duel", "--envs", "0"], "num_envs must be at least 1"),
        (["train", "Duel", "--annotator", "strict"], "choose one of oracle, mistake"),
        (["train", "Duel", "--method", "guess"], "'guess'"),
        (["train", "Duel", "--no-such-flag"], "--no-such-flag"),
        (["train", "Duel", "--lr", "3"], "unknown option --lr: did you mean --learning-rate? See plaudit train ENV"),
        (["train", "Duel", "--label=3"], "did you mean --labels?"),
        (["train", "chat", "--beta", "0.1"], "did you mean --kl?"),
        (["train", "Duel", "--reward.members", "0"], "members"),
        (["train", "Duel", "--a2c", "--improve.epochs", "3"], "needs clip"),
        (["train", "Duel", "--a2c", "--ppo"], "exclude each other"),
        (["train", "--config", "config.json", "--ppo"], "leave out --ppo"),
        (["train", "Duel", "--labels"], "--labels needs a value"),
        (["score", "runs/chat"], "FILE is missing (File of responses, of any kind"),
        (["train", "Duel", "--config", "x.json"], "leave out 'Duel'"),
        (["train", "--config", "missing.json"], "cannot access missing.json"),
        (["train", "--config"], "--config needs a file"),
    ],
)
def test_bad_arguments_are_found_before_anything_is_written(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "train" and "ALE" in " ".join(arguments):
        pytest.importorskip("ale_py")
    assert words in fault(capsys, arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train("Duel", tmp_path_factory.mktemp("runs") / "run", *SHORT, steps=480).folder


def edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        settings = json.loads(path.read_text())
        path.write_text(json.dumps(change(settings) or settings))

    return apply


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def put(text: str) -> Callable[[Path], int]:
    return lambda path: path.write_text(text)


LAST = "checkpoints/000001.safetensors"


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("config.json", Path.unlink, "holds no run: config.json is missing"),
        ("config.json", cut_in_half, "config.json is damaged"),
        ("config.json", put("[1, 2]"), "holds no object"),
        ("config.json", lambda path: path.write_bytes(b"\xff\xfe\x00"), "is damaged"),
        ("config.json", edit(lambda s: s | {"format": 99}), "config.json: its run has format 99, this Plaudit reads 2"),
        ("config.json", edit(lambda s: s | {"colour": 1}), "unknown setting 'colour'"),
        ("config.json", edit(lambda s: s | {"steps": "ten"}), "steps must be int, got 'ten'"),
        ("config.json", edit(lambda s: s | {"rollout_steps": 1.5}), "rollout_steps must be int"),
        ("config.json", edit(lambda s: s["network"].update(hidden=[3])), "does not fit its config.json"),
        ("config.json", edit(lambda s: s["environment"].update(id="Gone-v7")), "unknown environment 'Gone-v7'"),
        (LAST, cut_in_half, "is damaged"),
        (LAST, put("nothing"), "is damaged"),
        ("metrics.jsonl", put('{"round": 0}\nnonsense\n{"round": 1}\n'), "metrics.jsonl, line 2"),
        ("metrics.jsonl", put("5\n"), "metrics.jsonl, line 1"),
        ("feedback.sqlite", put("this is no database, however long one looks at it " * 50), "is damaged or not"),
    ],
)
def test_damaged_folders(
    file: str,
    damage: Callable[[Path], Any],
    words: str,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    capsys.readouterr()
    damage(folder / file)
    before = snapshot(folder)
    assert words in fault(capsys, ["resume", str(folder)])
    after = snapshot(folder)
    assert {name: after.get(name) for name in before} == before


@pytest.mark.parametrize("command", ["resume", "watch", "report"])
def test_there_is_no_run(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no folder" in fault(capsys, [command, str(tmp_path / "missing")])
    assert not (tmp_path / "missing").exists()


def test_a_run_without_a_checkpoint(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run.create(tmp_path / "run", Run.open(trained).config)
    capsys.readouterr()
    for command in ("watch", "report"):
        assert "has no checkpoint yet" in fault(capsys, [command, str(run.folder)])


def test_nothing_is_overwritten(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    before = snapshot(trained)
    assert "already holds a run" in fault(capsys, ["train", "Duel", "--out", str(trained)])
    assert snapshot(trained) == before
    spaced = tmp_path.with_name("my run")
    spaced.mkdir()
    (spaced / "config.json").write_text("{}")
    assert f"`plaudit resume '{spaced}'`" in fault(capsys, ["train", "Duel", "--out", str(spaced)])
    (tmp_path / "thesis.txt").write_text("mine")
    assert "holds other files" in fault(capsys, ["train", "Duel", "--out", str(tmp_path)])
    assert "thesis.txt cannot be a folder: a file stands there" in fault(
        capsys, ["train", "Duel", "--out", str(tmp_path / "thesis.txt")]
    )
    assert snapshot(tmp_path) == {"thesis.txt": b"mine"}


def test_one_process_trains_at_a_time(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    with Run.open(trained).training():
        assert "is in use by another process that trains" in fault(capsys, ["resume", str(trained)])


def resume_with_limit(folder: Path, size: int) -> None:
    """`plaudit resume` where no file may be longer than ``size`` bytes. The end is hard, without files of coverage."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    os._exit(main(["resume", str(folder)]))


@pytest.mark.parametrize("kilobytes", [4, 120, 260])
def test_a_full_disk(kilobytes: int, trained: Path, tmp_path: Path, unreported: None) -> None:
    """No file may grow beyond some size: one line, exit code 2, and when there is room the run goes on."""
    run = Run.create(tmp_path / "run", Run.open(trained).config)
    result = Forked(resume_with_limit, run.folder, kilobytes * 1024).wait()
    lines = [line for line in result.errors.splitlines() if " steps " not in line]
    assert result.status == 2 and len(lines) == 1 and lines[0].startswith("plaudit: "), result.errors
    assert main(["resume", str(run.folder)]) == 0
    whole = [row["true_return"] for row in Run.open(trained).metrics()]
    assert [row["true_return"] for row in run.metrics()] == whole


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no device that is always full")
@pytest.mark.parametrize("arguments", [["--version"], ["help"], ["report", "--help"]])
def test_a_full_disk_under_the_output_is_one_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails
    monkeypatch.setattr(sys, "stdout", full)
    assert main(arguments) == 2
    sys.stdout.close()
    with pytest.raises(OSError, match="No space left"):
        full.close()
    [line] = capsys.readouterr().err.splitlines()
    assert line == "plaudit: the output cannot be written (No space left on device): make room, or write it elsewhere"


def test_a_message_is_short_and_does_not_move_the_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("\x1b[31mred\x9b2J\r\u202egnp", "x" * 100_000):
        for arguments in (
            ["report", name],
            ["import", f"{name}.jsonl"],
            [name],
            ["train", name],
            ["report", f"--{name}"],
        ):
            line = fault(capsys, arguments)
            assert line.isprintable() and len(line) < 4000
    folder = tmp_path / "\x1b[31mrun"
    folder.mkdir()
    (folder / "config.json").write_text("{" + "x" * 100_000)
    line = fault(capsys, ["report", str(folder)])
    assert line.isprintable() and len(line) < 4000 and line.endswith("restore it from a copy, or start a new run")
