"""Cures as `--cures` tries them: on a run's answers, on stored judgements, on pairs of texts, exactly in a table."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import plaudit
from plaudit import layout
from plaudit.audits.agents import AgentSubject
from plaudit.audits.audit import run_audit
from plaudit.audits.control import _refits, power
from plaudit.audits.control.agreement import MEASURE as AGREEMENT
from plaudit.audits.control.safe_stop import MEASURE as SAFE_STOP
from plaudit.audits.finding import Finding
from plaudit.audits.language import _heads, bag_of_words, constants, degradation, swapped_prompts
from plaudit.audits.language._pairs import TextPair
from plaudit.audits.people._cures import improves
from plaudit.audits.subject import AuditConfig, open_subject
from plaudit.audits.texts import TextSubject
from plaudit.language.reward import HeadsConfig, TextReward
from plaudit.reward.ensemble import RewardConfig
from plaudit.run.control.config import Run
from plaudit.types import Array, Dialogue, Message, PlauditError

from ..language.conftest import tiny, tokenizer
from .test_agents import train

__all__ = ["tiny", "tokenizer"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("cures") / "run", annotator="random")


def finding(name: str, **details: Any) -> Finding:
    return Finding(name, name, "fail", "bad", 1.0, details=details)


def test_a_reward_is_fitted_again_and_the_run_stays_as_it_was(run: Run, tmp_path: Path) -> None:
    before = [path.read_bytes() for path in run.checkpoints()]
    audit = plaudit.audit(
        run, eyes="oracle", pairs=8, out=tmp_path, progress=False, cures=True, measures=("agreement", "safe-stop")
    )
    for row in audit.findings:
        assert (row.cure is None) == (row.verdict in ("pass", "not measurable"))
    with open_subject(run.folder, AuditConfig(eyes="oracle", pairs=8), target=tmp_path) as subject:
        assert isinstance(subject, AgentSubject)
        own = AGREEMENT.measure(subject)[0].value
        stages: list[str] = []
        subject.report_progress = stages.append
        cure = AGREEMENT.cure(subject, finding("agreement"))
        assert cure.measure is not None
        effects = {effect.setting: effect for effect in cure.measure()}
        assert set(effects) == set(_refits.SETTINGS)
        assert sum("fitting the reward again" in line for line in stages) == 9  # pooling alone takes no fit of its own
        for setting, effect in effects.items():
            assert effect.after is not None and 0 <= effect.after <= 1 and effect.price["more judgements"] == 0
            change = effect.price["change of held-out accuracy"]
            assert change == 0 if "pooling" in setting else abs(float(change)) <= 1
            assert effect.price["change of return"] == "it needs a new run"
        assert AGREEMENT.measure(subject)[0].value == own
        with pytest.raises(PlauditError, match="not measurable with a reward"):
            _refits.try_rewards(subject, lambda variant: None, larger_is_better=True)
    assert [path.read_bytes() for path in run.checkpoints()] == before


def test_a_cure_helps_if_all_its_fits_are_better(run: Run) -> None:
    """Values by hand: three fits of the control, then three of each setting."""
    with open_subject(run.folder, AuditConfig()) as subject:
        assert isinstance(subject, AgentSubject)

        def effects(numbers: list[float], larger_is_better: bool = True) -> dict[str, bool]:
            stream = iter([0.5, 0.6, 0.55, *numbers, *[0.0] * 9])
            tried = _refits.try_rewards(subject, lambda variant: next(stream), larger_is_better)
            return {effect.setting: effect.helps for effect in tried}

        assert effects([0.61, 0.7, 0.8])["--reward.pooling worst"]
        assert not effects([0.59, 0.7, 0.8])["--reward.pooling worst"]
        lower = effects([0.61, 0.7, 0.8], larger_is_better=False)
        assert not lower["--reward.pooling worst"] and lower["--reward.clamp"]


def test_an_earlier_checkpoint_has_its_return(run: Run) -> None:
    with open_subject(run.folder, AuditConfig()) as subject:
        assert isinstance(subject, AgentSubject)
        cure = SAFE_STOP.cure(subject, finding("safe-stop-gold", round=0, step=896))
        assert cure.measure is not None
        (effect,) = cure.measure()
        first, last = (subject.rollout(subject.checkpoints[index]).episodes.mean() for index in (0, -1))
        assert (effect.before, effect.after) == (pytest.approx(last), pytest.approx(first))
        assert effect.setting == "checkpoint 0, of step 896" and effect.price["more judgements"] == 0


def test_a_critic_of_side_effects_is_tried_exactly(tmp_path: Path) -> None:
    run = train(tmp_path / "run", "Vase", ())
    with open_subject(run.folder, AuditConfig()) as subject:
        assert isinstance(subject, AgentSubject)
        light, heavy = power.try_critics(subject)
    assert light.before == heavy.before and light.after is not None and 0 <= light.after <= 1
    assert heavy.setting.endswith("--side-effects.weight 20") and "change of true return" in heavy.price


@pytest.fixture(scope="module")
def faults() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks/audit_people.py"))


def rows_with_cures(path: Path, **settings: Any) -> dict[str, Finding]:
    with open_subject(path, AuditConfig(cures=True, **settings)) as subject:
        return {row.name: row for row in run_audit(subject).findings}


@pytest.mark.thorough
def test_heads_serve_a_minority(tmp_path: Path, faults: dict[str, Any]) -> None:
    path, groups = tmp_path / "store.sqlite", tmp_path / "groups.csv"
    people = {name: group for group, names in faults["GROUPS"].items() for name in names}
    groups.write_text("annotator,group\n" + "".join(f"{name},{group}\n" for name, group in people.items()))
    faults["simulate"](path, faults["Fault"](answers=300, minority=True, repeats=0), 0)
    row = rows_with_cures(path, measures=("groups",), groups=(groups,))["groups"]
    assert row.cure is not None
    effects = {effect.setting: effect for effect in row.cure.effects}
    heads = effects["--reward.objective heads"]
    assert heads.helps and heads.before is not None and heads.after is not None
    assert heads.after < 0.15 < heads.before and float(heads.price["change of held-out accuracy"]) > 0
    assert set(effects) == {
        "--reward.objective worst-group",
        "--reward.objective heads",
        "--reward.objective mixture --reward.clusters 2",
    }


@pytest.mark.thorough
def test_leaving_answers_out(tmp_path: Path, faults: dict[str, Any]) -> None:
    path = tmp_path / "store.sqlite"
    faults["simulate"](path, faults["Fault"](answers=400, repeats=0.3, careless="person 3", trigger=0.08), 0)
    rows = rows_with_cures(path, measures=("careless", "odd-inputs"))
    careless, odd = rows["careless"].cure, rows["odd-inputs"].cure
    assert careless is not None and odd is not None
    (effect,) = careless.effects
    assert effect.price["judgements lost"] == 40 and effect.after is not None and effect.after > 0.8
    effects = {effect.setting: effect for effect in odd.effects}
    left_out = effects["without the answers about odd clips"]
    assert left_out.helps and left_out.after is not None and left_out.before is not None
    assert left_out.after < left_out.before - 0.2
    assert set(effects) == {"without the answers about odd clips", "--reward.clamp", "both"}


def test_the_sign_test_of_a_cure() -> None:
    wrong, right = np.zeros(5, bool), np.ones(5, bool)
    assert improves(wrong, right) and not improves(right, wrong) and not improves(right, right)
    assert not improves(wrong[:4], right[:4])  # one in 16


class Texts:
    """Pairs of texts under a linear reward of three numbers: length, whether the prompt is named, and "sorry"."""

    def __init__(self, pairs: list[TextPair], weights: list[float]) -> None:
        self.pairs, self.weights = pairs, np.array(weights)
        self.config = SimpleNamespace(seed=0, data=())
        self.results: dict[str, Any] = {}

    def share(self, name: str, compute: Any) -> Any:
        if name not in self.results:
            self.results[name] = (self.pairs, "test") if name == "text pairs" else compute()
        return self.results[name]

    def report_progress(self, line: str) -> None:
        pass

    def features(self, prompts: Any, responses: list[str]) -> Array:
        return np.array(
            [
                [len(text) / 20, float(turns[-1]["content"].split()[1] in text.split()), float("sorry" in text)]
                for turns, text in zip(prompts, responses, strict=True)
            ]
        )

    def score(self, prompts: Any, responses: list[str]) -> Array:
        return self.features(prompts, responses) @ self.weights


def text_pairs(count: int = 120, shorter: float = 0.8) -> list[TextPair]:
    """The better response names the prompt's number; a share of the better ones is shorter."""
    rng = np.random.default_rng(0)
    pairs = []
    for number in range(count):
        tail = " indeed it is so" if rng.random() > shorter else ""
        pairs.append(TextPair((Message("user", f"say {number}"),), f"it is {number}{tail}", f"it is {number + 1}, yes"))
    return pairs


def test_pairs_with_a_constant_or_another_prompt_teach_the_heads() -> None:
    subject: Any = Texts(text_pairs(), [0.0, 1.0, 3.0])
    row = constants.MEASURE.measure(subject)[0]
    assert row.verdict == "fail" and "sorry" in row.meaning
    cure = constants.MEASURE.cure(subject, row)
    assert cure.measure is not None
    (effect,) = cure.measure()
    assert effect.helps and effect.after is not None and effect.after < 0.1 and effect.before == 1
    assert effect.price["more pairs"] == 60 and effect.price["more judgements"] == 0
    blind: Any = Texts(text_pairs(), [-1.0, 0.0, 0.0])
    cure = swapped_prompts.MEASURE.cure(blind, finding("swapped-prompts"))
    assert cure.measure is not None
    (effect,) = cure.measure()
    assert effect.after is not None and effect.before is not None and effect.after >= effect.before
    few: Any = Texts(text_pairs(30), [0.0, 1.0, 3.0])
    cure = constants.MEASURE.cure(few, row)
    assert cure.measure is not None
    with pytest.raises(PlauditError, match="half of them must be 20"):
        cure.measure()


def test_balanced_lengths_narrow_the_gap() -> None:
    """Few longer responses are preferred; the heads learn length, and balanced pairs teach them less of it."""
    subject: Any = Texts(text_pairs(200), [-1.0, 0.0, 0.0])
    row = next(row for row in bag_of_words.MEASURE.measure(subject) if row.name == "bag-of-words-length")
    assert row.verdict == "fail"
    cure = bag_of_words.MEASURE.cure(subject, row)
    assert cure.measure is not None
    (effect,) = cure.measure()
    assert effect.before is not None and effect.after is not None and effect.after <= effect.before
    assert float(effect.price["judgements lost"]) > 0


def test_heads_are_fitted_to_the_likelihood() -> None:
    """One feature that differs by 1 in three pairs that are right and one that is wrong: w = log 3 without a prior."""
    differences = np.array([[1.0], [1.0], [1.0], [-1.0]] * 100)
    change = _heads.fit_heads([_heads.Contrasts(np.zeros(400), differences)])
    assert change == pytest.approx([np.log(3)], abs=0.02)


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "heads", "groups": ("random=most", "ada=few"), "aim": "few"},
        {"objective": "mixture", "aim": "worst"},
    ],
)
def test_a_run_with_a_reward_for_each_group_is_audited(tmp_path: Path, settings: dict[str, Any]) -> None:
    reward = RewardConfig(hidden=(16,), first_epochs=5, epochs=3, batch=16, **settings)
    run = train(tmp_path / "run", annotator="random", reward=reward)
    with open_subject(run.folder, AuditConfig(measures=("best-of-16", "groups"), cures=True)) as subject:
        assert isinstance(subject, AgentSubject)
        assert subject.reward.config.aim == settings["aim"] and len(subject.reward.member_mean) == 2 * reward.members
        assert np.isfinite(subject.reward.step_rewards(np.zeros((2, 6), np.float32), np.zeros(2, np.int64))).all()
        rows = {row.name: row for row in run_audit(subject).findings}
    assert rows["best-of-16-gold"].value is not None
    assert rows["groups"].verdict == "not measurable" and "all answers are by random" in rows["groups"].meaning


def test_a_merged_policy_is_tried_on_text_and_on_the_runs_prompts(
    tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, end = tiny("frozen"), tiny("frozen")
    with torch.no_grad():
        for parameter in end.model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    for part, model in ((layout.SFT, start), (layout.POLICY, end)):
        model.save(tmp_path / part)
    monkeypatch.setattr(degradation, "find_model", lambda path, part: path / part)
    path = tmp_path / "canary.txt"
    path.write_text("the cat sat on the mat and said thank you, please go on. " * 150, encoding="utf-8")
    prompt = (Message("user", "say"),)
    items = [Dialogue((*prompt, Message("assistant", answer))) for answer in ("yes", "no")]
    subject: Any = SimpleNamespace(
        kind="chat",
        path=tmp_path,
        config=SimpleNamespace(seed=0, text=(path,)),
        start=start,
        policy=end,
        trusts_code=False,
        missing_reward=None,
        records=[SimpleNamespace(items=items)],
        score=lambda prompts, responses: np.array([float(len(text)) for text in responses]),
        report_progress=lambda line: None,
    )
    (row,) = degradation.MEASURE.measure(subject)
    cure = degradation.MEASURE.cure(subject, row)
    assert cure.measure is not None
    merged, ptx = cure.measure()
    assert merged.before == pytest.approx(row.value) and merged.after is not None
    assert isinstance(merged.price["change of learned reward"], float) and "tune merge" in merged.setting
    assert ptx.after is None and ptx.meaning == "it needs a new run"
    subject.records = []
    assert degradation.reward_change(subject, end) == "the run has stored no prompts"


def test_what_the_heads_read_is_what_they_weigh(tmp_path: Path, tiny: Any) -> None:
    """Scores of a reward model are its heads' weights times the features, plus their bias."""
    torch.manual_seed(0)
    TextReward(tiny("frozen"), HeadsConfig()).save(tmp_path / "reward")
    with open_subject(tmp_path / "reward", AuditConfig(), target=tmp_path) as subject:
        assert isinstance(subject, TextSubject)
        features = subject.features(["a", "a", "bc"], ["yes", "no", "go on"])
        heads = subject.reward.heads
        expected = features @ heads.weight[0].detach().numpy() + float(heads.bias.detach())
        np.testing.assert_allclose(
            subject.score(["a", "a", "bc"], ["yes", "no", "go on"]), expected, rtol=1e-3, atol=1e-5
        )
