"""plaudit.train and plaudit.resume: the command line's runs from a program, with annotators of one's own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import plaudit
from plaudit.annotators.own import load_annotator
from plaudit.feedback.store import Store
from plaudit.reward.ensemble import RewardConfig
from plaudit.run.control import look
from plaudit.run.control.config import Run
from plaudit.types import PlauditError

from ..lake import lake
from .own_annotators import Counting, Nameless, Upright, Wordless

__all__ = ["lake"]
MODULE = Upright.__module__
library: Any = plaudit  # for calls that type checkers refuse
SMALL: dict[str, Any] = {
    "steps": 1000,
    "rounds": 2,
    "labels": 6,
    "feedback": {"length": 10},
    "environment": {"num_envs": 2},
    "reward": {"first_epochs": 2, "epochs": 1},
}
pytestmark = [
    pytest.mark.usefixtures("blank_figures"),
    pytest.mark.filterwarnings("default:no clips in the report"),
]


@pytest.fixture(autouse=True, scope="module")
def short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("EVALUATION_EPISODES", 4), ("CLIP_STEPS", 8), ("SCATTER_STEPS", 512)):
            patch.setattr(look, name, value)
        yield


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that end without a report."""
    monkeypatch.setattr("plaudit.api.training.write_agent_report", lambda run, console: None)


def annotators(run: Run) -> set[str]:
    with Store.open(run.folder / "feedback.sqlite", create=False) as store:
        return {judgement.annotator for judgement in store.judgements()}


def test_an_object_judges_a_run_and_continues_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    annotator = Counting()
    folder = tmp_path / "mine"
    run = plaudit.train("CartPole-v1", annotator=annotator, out=folder, seed=3, **SMALL)
    assert (run.folder, run.config.seed, run.config.feedback.labels) == (folder, 3, 6)
    assert run.config.reward.first_epochs == 2 and run.config.reward.members == 3  # the others as they were
    assert [row["round"] for row in run.metrics()] == [0, 1] and (folder / "report.html").exists()
    assert annotator.asked == 6 and annotators(run) == {"upright"}
    shown = capsys.readouterr()
    assert shown.out == "" and "labels" in shown.err
    run.checkpoints()[-1].unlink()  # as if it had been killed in the last round
    with pytest.raises(PlauditError, match=r"an object of the program.*plaudit.resume\(folder, annotator=...\)"):
        plaudit.resume(folder)
    with pytest.raises(PlauditError, match="judged by 'program:upright', not by 'program:wordless'"):
        plaudit.resume(folder, annotator=Wordless())
    monkeypatch.setattr("plaudit.api.training.write_agent_report", lambda run, console: None)
    again = plaudit.resume(folder, annotator=annotator, progress=False)
    assert again.metrics()[-1]["true_return"] == run.metrics()[-1]["true_return"]
    assert annotator.asked == 6 and capsys.readouterr().err == ""
    with pytest.raises(PlauditError, match="already holds a run"):
        plaudit.train("CartPole-v1", out=folder, **SMALL)


def test_a_name_and_an_object_give_the_same_numbers(tmp_path: Path, unreported: None) -> None:
    """A name of a module's annotator is stored, so that any process continues the run."""
    by_name = plaudit.train(
        "CartPole-v1", annotator=f"{MODULE}:Upright", out=tmp_path / "name", progress=False, **SMALL
    )
    by_object = plaudit.train("CartPole-v1", annotator=Upright(), out=tmp_path / "object", progress=False, **SMALL)
    rows = [
        [{k: v for k, v in row.items() if "second" not in k} for row in run.metrics()] for run in (by_name, by_object)
    ]
    assert rows[0] == rows[1] and by_name.config.annotator == f"{MODULE}:Upright"


@pytest.mark.parametrize(
    ("annotator", "message"),
    [
        (Nameless(), "is not an annotator: it needs a name"),
        (object(), "is not an annotator"),
        (Upright, r"Upright is a class: give an object of it, Upright\(...\)"),
        ("strict", "unknown annotator 'strict': choose one of oracle, .*people, or name your own as MODULE:FACTORY"),
        ("nowhere.at_all:Upright", "there is no module 'nowhere.at_all' here"),
        (f"{MODULE}:Downright", "has no 'Downright'"),
        (f"{MODULE}:", "write MODULE:NAME"),
        (f"{MODULE}:NUMBER", "is not callable"),
        (f"{MODULE}:fail", "fails: OSError: no such scale"),
        (f"{MODULE}:Nameless", "is not an annotator"),
    ],
)
def test_what_is_no_annotator_is_refused(annotator: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(PlauditError, match=message) as fault:
        plaudit.train("CartPole-v1", annotator=annotator, out=tmp_path / "run", **SMALL)
    assert "\n" not in str(fault.value) and not (tmp_path / "run").exists()


def test_an_answer_is_an_answer(tmp_path: Path) -> None:
    with pytest.raises(PlauditError, match=r"'wordless' returned .'strength': 4. for question .*: return a plaudit"):
        plaudit.train("CartPole-v1", annotator=Wordless(), out=tmp_path / "run", progress=False, **SMALL)


def test_a_module_that_fails_or_needs_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules are found in the current folder, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "broken_judges.py").write_text("1 / 0\n")
    (tmp_path / "needy_judges.py").write_text("import nothing_of_the_kind\n")
    with pytest.raises(PlauditError, match="'broken_judges' fails when it is imported: ZeroDivisionError"):
        load_annotator("broken_judges:A")
    with pytest.raises(PlauditError, match="'needy_judges' needs nothing_of_the_kind, which is not installed"):
        load_annotator("needy_judges:A")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stpes": 100}, "there is no setting 'stpes': did you mean steps?"),
        ({"members": 5}, "'members' is a setting of reward: write reward={'members': ...}"),
        ({"membres": 5}, "did you mean reward.members?"),
        ({"qqq": 5}, "there is no setting 'qqq': choose from algorithm, annotator, "),
        ({"reward": {"membres": 5}}, "there is no setting 'reward.membres': did you mean reward.members?"),
        ({"reward": 5}, "reward must be a mapping or RewardConfig(...), got 5"),
        ({"reward": {"std": -1.0}}, "RewardConfig.std must be positive"),
        ({"steps": "many"}, "steps must be int, got 'many'"),
        ({"labels": 1.5}, "labels must be int, got 1.5"),
        ({"steps": 100}, "100 steps are too few for two rounds of clips of 50 steps in 40 environments: use at least"),
        ({"lr": 0.1}, "'lr' is a setting of improve: write improve={'learning_rate': ...}"),
        ({"envs": 4}, "'envs' is a setting of environment: write environment={'num_envs': ...}"),
        ({"total_timesteps": 4}, "there is no setting 'total_timesteps': did you mean steps?"),
        ({"teacher": "oracle"}, "there is no setting 'teacher': did you mean annotator?"),
        ({"output": "a"}, "there is no setting 'output': did you mean out?"),
        ({"algo": "ppo"}, "there is no setting 'algo': did you mean algorithm?"),
        ({"n_steps": 4}, "there is no setting 'n_steps': did you mean rollout_steps?"),
        ({"ent_coef": 0.0}, "'ent_coef' is a setting of improve: write improve={'entropy': ...}"),
        ({"hidden": 64}, "of network and reward: write network={'hidden': ...} or reward={'hidden': ...}"),
        ({"callback": 1}, "there is no setting 'callback': choose from"),
        ({"reward": {3: 5}}, "there is no setting 'reward.3': choose from"),
        ({"environment": {"imports": 3}}, "environment.imports must be a text or a list of texts, got 3"),
        ({"device": "tpu"}, "device must be one of auto, cpu, cuda"),
        (
            {"parallel": True, "annotator": Upright()},
            "cannot use an object of this one: name the annotator as MODULE:FACTORY",
        ),
    ],
)
def test_a_wrong_setting_is_one_line(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(PlauditError, match=re.escape(message)) as fault:
        plaudit.train("CartPole-v1", out=tmp_path / "run", **settings)
    assert "\n" not in str(fault.value) and not (tmp_path / "run").exists() and "restore" not in str(fault.value)
    with pytest.raises(PlauditError, match="algorithm and baseline are for environments"):
        plaudit.train("chat", baseline=True, **settings)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *((lambda name=name: library.train(name), "environment must be a Gymnasium id") for name in (None, 3)),
        (
            lambda: library.train(gymnasium.make("CartPole-v1")),
            r"itself, so write plaudit\.train\('CartPole-v1', \.\.\.\)",
        ),
        (
            lambda: library.train(lambda: None),
            r"so write gymnasium\.register\('MyEnv-v0', MyEnv\), then plaudit\.train\('My",
        ),
        (lambda: library.train(env="Duel"), r"comes first, without a keyword: plaudit\.train\('Duel', \.\.\.\)"),
        (lambda: library.train("chat", reward_model=1), r"reward_model must be str \| None, got 1"),
        (lambda: library.train("Duel", algorithm="PPO"), "did you mean 'ppo'"),
        (lambda: library.audit("a", measure="x"), r"audit has no setting 'measure': did you mean measures\?"),
        (lambda: library.audit("a", annotator="oracle"), r"audit has no setting 'annotator': did you mean eyes\?"),
        (lambda: library.audit("a", pairs="4"), "pairs must be a whole number, got '4'"),
        *((lambda out=out: library.train("Duel", out=out), "out must be a path") for out in ("", 3)),
        (lambda: library.resume(None), "run must be a path, such as 'runs/mine', got None"),
        (lambda: library.train("Duel", algorithm="dqn"), "algorithm must be one of a2c, ppo"),
    ],
)
def test_a_wrong_argument_is_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(PlauditError, match=message):
        call()


def test_config_objects_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plaudit.api.training._continue", lambda run, *_: run)
    run = plaudit.train("Duel", reward=RewardConfig(members=2), algorithm="a2c", baseline=True, out=tmp_path / "run")
    assert run.config.reward == RewardConfig(members=2) and run.config.improve.clip is None
    assert Run.open(run.folder / "baseline").config == run.config
    monkeypatch.chdir(tmp_path)
    assert [plaudit.train("Duel").folder for _ in range(2)] == [Path("runs/Duel"), Path("runs/Duel-2")]


def test_import_is_fast_and_complete() -> None:
    """`import plaudit` loads no other package; every name is there for type checkers, for dir() and when used."""
    look_around = (
        "import sys; before = set(sys.modules); import plaudit; new = set(sys.modules) - before\n"
        "third = {name.partition('.')[0] for name in new} - set(sys.stdlib_module_names)\n"
        "assert third == {'plaudit'}, third\n"
        "assert [name for name in new if name.startswith('plaudit.')] == []\n"
        "assert set(plaudit.__all__) <= set(dir(plaudit)) and not hasattr(plaudit, 'nothing')\n"
        "assert plaudit.Answer.__name__ == 'Answer' and 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", look_around], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    source = Path(plaudit.__file__).read_text("utf-8")
    block = source.partition("if TYPE_CHECKING:\n")[2].partition("\n\n")[0]
    typed = {
        (module, name.strip())
        for module, names in re.findall(r"from (\S+) import (.*)", block)
        for name in names.split(",")
    }
    assert {(module, name) for name, module in plaudit._MODULES.items()} == typed
    assert sorted(plaudit.__all__) == sorted(plaudit._MODULES) == plaudit.__all__
    for name in plaudit.__all__:
        value = getattr(plaudit, name)
        assert value.__module__ == plaudit._MODULES[name] and value.__doc__, name


def test_an_environment_of_ones_own_and_a_tracker(
    lake: str, tmp_path: Path, unreported: None, recorder: list[Any]
) -> None:
    settings: dict[str, Any] = SMALL | {"environment": {"num_envs": 2, "kwargs": {"size": 3}}}
    run = plaudit.train(f"{lake}:FlatLake-v0", track="recorder", progress=False, **settings)
    assert run.folder == Path("runs/FlatLake") and [entry.file for entry in recorder] == ["metrics"] * 2
    assert run.config.environment.imports == (lake,) and run.config.environment.kwargs == ("size=3",)
    gymnasium.registry.pop("FlatLake-v0")  # as in another process, which has to import the module again
    sys.modules.pop(lake)
    resumed = plaudit.resume(run.folder, track="none", progress=False)
    assert resumed.config == run.config and len(recorder) == 2
    observation = np.zeros(9, np.int64)
    assert plaudit.load_policy(run.folder).predict(observation)[0] in range(4)
    env = plaudit.LearnedReward(gymnasium.make("FlatLake-v0", size=3), run)
    env.reset(seed=0)
    assert isinstance(env.step(1)[1], float)
    with pytest.raises(PlauditError, match="there is no tracker 'chalk'"):
        plaudit.train("Duel", track=["chalk"], out=tmp_path / "never")
    assert not (tmp_path / "never").exists()
