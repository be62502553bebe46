"""Audits of agents: what needs no answers, fresh answers that stay apart, eyes that are the run's, checkpoints."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

import plaudit
from plaudit import layout
from plaudit.audits.audit import Audit, run_audit
from plaudit.audits.control import preference_statistic
from plaudit.audits.control._fresh import FreshPairs
from plaudit.audits.control.safe_stop import spread
from plaudit.audits.finding import Finding
from plaudit.audits.subject import AuditConfig, open_subject
from plaudit.cli import audit as command
from plaudit.cli import main
from plaudit.control.make import EnvironmentConfig
from plaudit.feedback.store import Store
from plaudit.policy.improve import ImproveConfig
from plaudit.questions import FeedbackConfig
from plaudit.reward.ensemble import PreferenceModel, RewardConfig, RewardEnsemble
from plaudit.reward.fit import Comparisons
from plaudit.run.control.assemble import preference_session
from plaudit.run.control.config import Run, RunConfig
from plaudit.types import PlauditError

TEST_ROWS = ("progress-gap", "best-of-16", "agreement", "learned-reward", "safe-stop")


def train(folder: Path, id: str = "Duel", kwargs: tuple[str, ...] = ("horizon=100",), **changes: Any) -> Run:
    """A run of a second."""
    config = RunConfig(
        EnvironmentConfig(id, num_envs=8, kwargs=kwargs),
        improve=ImproveConfig(learning_rate=2e-3),
        reward=RewardConfig(hidden=(16,), first_epochs=5, epochs=3, batch=16),
        feedback=FeedbackConfig(labels=20, length=10),
        steps=4 * 8 * 112,
        rounds=4,
    )
    run = Run.create(folder, dataclasses.replace(config, **changes))
    session, close = preference_session(run)
    list(session.rounds())
    close()
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("audits") / "run", annotator="mistake")


def events(folder: Path) -> int:
    with Store.open(folder / layout.FEEDBACK, create=False) as store:
        return store.last_event()


def test_an_audit_asks_once_and_leaves_the_run_as_it_was(run: Run) -> None:
    page = '<html><section id="settings">x</section></html>'
    (run.folder / layout.REPORT).write_text(page, encoding="utf-8")
    before = events(run.folder), [path.read_bytes() for path in run.checkpoints()]
    audits = [plaudit.audit(run, eyes="oracle", pairs=8, progress=False) for _ in range(2)]
    first, second = ({row.name: row for row in audit.findings} for audit in audits)
    assert first == second  # the same pairs, and the answers that are stored
    assert {"progress-gap", "best-of-16", "best-of-16-gold", "agreement", "learned-reward", "safe-stop"} <= set(first)
    assert first["safe-stop-gold"].details["curve"]["x"] == [896, 1792, 2688, 3584]
    assert first["progress-gap"].n == 8 and first["progress-gap"].eye == "oracle"
    assert "--shift" in first["misgeneralisation"].meaning and "counted" in first["power"].meaning
    answers = events(run.folder / "audit" / "oracle")
    assert 0 < answers <= 5 * 8 and events(run.folder) == before[0]
    assert [path.read_bytes() for path in run.checkpoints()] == before[1]
    report = (run.folder / layout.REPORT).read_text(encoding="utf-8")
    assert report.count('<section id="audit">') == 1 and layout.AUDIT_PAGE in report
    assert report.index('id="audit"') < report.index('id="settings"')
    assert (run.folder / layout.AUDIT_PAGE).exists() and (run.folder / layout.AUDIT).exists()


def test_without_answers_each_row_says_what_it_needs_and_a_shift_is_measured(run: Run, tmp_path: Path) -> None:
    audit = plaudit.audit(run, out=tmp_path, progress=False, shift=("opponent_skill=1.0",), measures=())
    rows = {row.name: row for row in audit.findings}
    for name in ("progress-gap", "agreement", "learned-reward"):
        assert rows[name].verdict == "not measurable" and "--eyes" in rows[name].meaning
    assert rows["best-of-16-gold"].value is not None
    assert rows["misgeneralisation"].verdict != "not measurable" or "no better" in rows["misgeneralisation"].meaning
    wrong = plaudit.audit(run, out=tmp_path, progress=False, shift=("skill",), measures=("misgeneralisation",))
    assert "KEY=VALUE" in wrong.findings[0].meaning


def test_the_eye_of_the_run_cannot_see_its_own_error(run: Run, tmp_path: Path) -> None:
    with open_subject(run.folder, AuditConfig(eyes="mistake"), target=tmp_path) as subject:
        assert subject.same_eyes
    with open_subject(run.folder, AuditConfig(eyes="oracle"), target=tmp_path) as subject:
        assert not subject.same_eyes
    audit = plaudit.audit(run, eyes="mistake", pairs=4, out=tmp_path, progress=False, measures=("learned-reward",))
    (row,) = audit.findings
    assert row.verdict == "fail" or (row.verdict == "not measurable" and "its own error" in row.meaning)


def test_checkpoints_stay_over_the_whole_run_and_can_be_named(run: Run) -> None:
    assert [int(path.stem) for path in run.checkpoints()] == [0, 1, 2, 3]
    assert run.find_checkpoint("first") == run.find_checkpoint(0) and run.find_checkpoint("last").stem == "000003"
    action, _ = plaudit.load_policy(run, checkpoint=1).predict(np.zeros(6, np.float32), deterministic=True)
    assert np.isfinite(action).all()
    with pytest.raises(PlauditError, match="it has 0, 1, 2, 3, first, last"):
        run.find_checkpoint(7)
    for keep in (0, 5, 20):
        config = dataclasses.replace(run.config, keep=keep)
        folder, rounds = Run(run.folder, config), []
        for latest in range(1000):
            middle = [number for number in rounds[1:-1] if folder.is_milestone(Path(f"{number:06d}.x"), latest)]
            rounds = [*rounds[:1], *middle, *rounds[1:][-1:], latest]
            assert len(rounds) <= keep + 4
        assert rounds[0] == 0 and rounds[-2:] == [998, 999]
        assert keep == 0 or max(np.diff(rounds)) <= 2 * 1000 / keep
    with pytest.raises(PlauditError, match="keep"):
        dataclasses.replace(run.config, keep=-1)


def test_the_command_ends_with_1_after_a_fail_and_2_after_bad_input(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(run.folder), "--out", str(tmp_path), "--measures", "agreement"]) == 0
    assert "not measurable" in capsys.readouterr().out
    failed = Audit("x", "control", None, 40, 0, 1.0, (Finding("x", "X", "fail", "bad", 1.0),))
    monkeypatch.setattr(command, "write_audit", lambda subject, address: failed)
    assert main(["audit", str(run.folder), "--out", str(tmp_path)]) == 1
    for arguments in (["nothing"], [str(run.folder), "--measures", "x"], [str(run.folder), "--pairs", "1"]):
        monkeypatch.undo()
        assert main(["audit", *arguments]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) >= 1


def test_fresh_pairs_by_hand() -> None:
    pairs = FreshPairs(np.array([1.0, -1.0, 2.0, 0.5]), np.array([1.0, 0.75, 0.5, 0.0]), 0.5, 4)
    assert pairs.share == pytest.approx(2.5 / 4) and pairs.decided.tolist() == [True, True, False, True]
    assert pairs.right.tolist() == [True, False, False]
    assert not pairs.telling  # three of four, where four are the fewest
    assert FreshPairs(np.ones(40), np.repeat([1.0, 0.5], [6, 34]), 0.5, 40).telling
    assert spread(0, 9, 4) == [0, 3, 6, 9] and spread(1, 1, 4) == [1]


@pytest.mark.parametrize("planted", preference_statistic.STATISTICS)
def test_the_statistic_that_annotators_follow_is_told(planted: PreferenceModel) -> None:
    """Of answers that follow returns, ends or regret exactly, that one has the lowest held-out loss."""
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((120, 2, 4, 2)).astype(np.float32)
    values = 3 * rng.standard_normal((120, 2, 2)).astype(np.float32)
    rewards = observations[..., 0]
    statistic = {
        "partial-return": rewards.sum(axis=2),
        "end-value": rewards[..., :-1].sum(axis=2) + values[..., 1],
        "regret": rewards[..., :-1].sum(axis=2) + values[..., 1] - values[..., 0],
    }[planted]
    mu = (statistic[:, 0] > statistic[:, 1]).astype(np.float32)
    weights = rng.poisson(1, (3, 120)).astype(np.float32)
    data = Comparisons(observations, np.zeros((120, 2, 4), np.int64), mu, weights, values)
    torch.manual_seed(0)
    box = spaces.Box(-np.inf, np.inf, (2,))
    model = RewardEnsemble(box, spaces.Discrete(2), RewardConfig(hidden=(16,), batch=40, learning_rate=2e-2))
    preference_statistic.fit_returns(model, data, 0)
    losses = {
        name: preference_statistic.held_out_losses(model, data, name, 0).mean()
        for name in preference_statistic.STATISTICS
    }
    assert min(losses, key=losses.__getitem__) == planted
    assert losses[planted] < 0.6 < np.log(2)


def test_a_few_answers_do_not_tell_the_statistic(run: Run) -> None:
    with open_subject(run.folder, AuditConfig(measures=("preference-statistic",))) as subject:
        (row,) = run_audit(subject).findings
    assert row.verdict == "not measurable" and "100" in row.meaning
