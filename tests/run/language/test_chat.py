"""Runs on a language model: the three steps, resuming, going on, and what is left in the folder."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.annotators.conftest import fake
from tests.annotators.fake_judge import FakeJudge, shown
from tests.run.language import conftest
from transformers import AutoModelForCausalLM, AutoTokenizer

from plaudit.annotators.text import text_annotator
from plaudit.feedback.store import Store
from plaudit.language.evaluation import Evaluation
from plaudit.language.improve import TokenImproveConfig, divergence
from plaudit.language.models import ModelConfig, load
from plaudit.language.penalty import KLPenalty, KLPenaltyConfig
from plaudit.language.policy import Completions
from plaudit.language.spans import SpanConfig, SpanReward
from plaudit.run.control.config import Run
from plaudit.run.language import assemble as chat_hands
from plaudit.run.language.assemble import check, session_of, session_to_report
from plaudit.run.language.config import ChatConfig, ChatRun
from plaudit.run.language.rlhf import ChatDomain
from plaudit.run.session import Session
from plaudit.types import PlauditError

__all__ = ["fake"]
pytestmark = pytest.mark.usefixtures("blank_figures")
Settings = Callable[..., ChatConfig]


class Killed(Exception):
    """Stands for kill -9: nothing in the program expects it."""


def train(run: ChatRun, kill: tuple[str, int] | None = None) -> None:
    """Train to the end, or until a stage has been told of so often."""
    count = 0

    def told(stage: str, done: int, total: int, facts: str) -> None:
        nonlocal count
        assert 0 <= done <= total and isinstance(facts, str)
        count += kill is not None and stage == kill[0]
        if kill is not None and count >= kill[1]:
            raise Killed

    conftest.train(run, told)


def weights(run: ChatRun) -> dict[str, torch.Tensor]:
    return load_file(run.policy / "model.safetensors")


def test_the_three_steps(finished: ChatRun) -> None:
    run = finished
    with Store.open(run.folder / "feedback.sqlite") as store:
        questions = {each.kind for each in store.questions([j.question for j in store.judgements()])}
        assert questions == {"ranking", "comparison"}  # the best of which was imitated; those that taught the reward
    assert [row["step"] for row in run.metrics("sft.jsonl")] == [1, 2]
    rounds = run.metrics()
    assert [row["round"] for row in rounds] == [0, 1, 2] and rounds[-1]["asked"] == 12
    assert {"kl", "score", "accuracy", "held_out", "kl_coefficient", "tokens_per_second"} <= rounds[-1].keys()
    assert [(row["round"], row["update"]) for row in run.metrics("updates.jsonl")] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    found = Evaluation.load(run.folder / "evaluation.json")
    assert [each.name for each in found.columns] == ["before", "fine-tuned", "after"] and found.prompts == 3
    page = (run.folder / "report.html").read_text("utf-8")
    assert "say " in page and "<script" not in page
    assert len(run.checkpoints()) == 1


def test_an_ai_judge_teaches_a_run_and_goes_on_teaching_it(
    settings: Settings, tmp_path: Path, fake: FakeJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def longer(prompt: str) -> str:
        one, other = shown(prompt)
        return f"It says more.\nAnswer: {'tie' if len(one) == len(other) else 'A' if len(one) > len(other) else 'B'}"

    fake.reply, rule = longer, chat_hands.text_annotator

    def real(name: str, *rest: Any, **settings: Any) -> Any:
        return (text_annotator if name == fake.name else rule)(name, *rest, **settings)

    monkeypatch.setattr(chat_hands, "text_annotator", real)
    run = ChatRun.create(tmp_path / "run", settings(annotator=fake.name))
    train(run)
    assert run.metrics()[-1]["asked"] == 12 and run.metrics()[-1]["labels"] > 0
    with Store.open(run.folder / "feedback.sqlite") as store:
        said = store.judgements()
        assert {each.annotator for each in said} == {fake.name}
        assert all("It says more." in (each.rationale or "") for each in said)
    assert len(fake.bodies) > 2 * 12  # both orders of each pair, and the pairs of each ranking
    more = dataclasses.replace(run.config, rounds=3, feedback=dataclasses.replace(run.config.feedback, labels=16))
    train(run.extend(more))
    assert ChatRun.open(run.folder).metrics()[-1]["asked"] == 16


def test_a_reward_of_passages_is_added_to_the_learned_one(settings: Settings, base: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    passages = SpanReward(load(ModelConfig(str(base), "frozen", precision="fp32")), SpanConfig(("a", "b")))
    with torch.no_grad():
        passages.heads.weight.normal_()
    passages.save(tmp_path / "passages")
    run = ChatRun.create(tmp_path / "run", settings(passages=str(tmp_path / "passages"), passage_weight=0.5))
    check(run.config)
    session, close = session_of(run, lambda *_: None)
    try:
        list(session.rounds())
        session.domain.writer.reset(np.random.SeedSequence(0))
        written = session.domain.writer.collect(4)
        held = KLPenalty(session.domain.penalty.reward_model, KLPenaltyConfig(0.0)).rewards(written)
        own, added = session.domain.reward.rewards(written), passages.rewards(written)
        assert np.abs(added).max() > 0.1
        np.testing.assert_allclose(held, own + 0.5 * added, atol=1e-5)
    finally:
        close()
    heads = tmp_path / "passages" / "heads.json"
    heads.write_text(heads.read_text().replace('"weights": null', '"weights": [1.0, 2.0]'))
    more = dataclasses.replace(run.config, rounds=3)
    with pytest.raises(PlauditError, match="started with another reward of passages"):
        train(run.extend(more))
    shutil.rmtree(tmp_path / "passages")
    session, close = session_to_report(run)  # a report needs none
    close()
    with pytest.raises(PlauditError, match="check --passages"):
        check(run.config)
    for wrong, words in (
        (base, "holds no reward model"),
        (run.folder / "reward", "a text-reward, but a span-reward is needed"),
    ):
        with pytest.raises(PlauditError, match=words):
            check(settings(passages=str(wrong)))


def test_without_a_kl_penalty_the_reference_can_stay_out(settings: Settings, tmp_path: Path) -> None:
    alone = TokenImproveConfig(advantage="rloo", learning_rate=1e-3, epochs=1)
    found = {}
    for compare in (True, False):
        run = ChatRun.create(
            tmp_path / str(compare), settings(improve=alone, penalty=KLPenaltyConfig(0.0, compare=compare))
        )
        train(run)
        assert all(("kl" in row) == compare for row in run.metrics("updates.jsonl"))
        assert "kl" in Evaluation.load(run.folder / "evaluation.json").columns[-1].measures
        found[compare] = weights(run)
    for name, value in found[True].items():
        torch.testing.assert_close(found[False][name], value, rtol=1e-3, atol=1e-5)


def test_the_policy_loads_in_plain_transformers_and_moved(finished: ChatRun, base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(finished.policy)
    tokenizer = AutoTokenizer.from_pretrained(finished.policy)
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(base).chat_template
    first, last = load_file(base / "model.safetensors"), model.state_dict()
    moved = {name for name, value in first.items() if not torch.equal(value, last[name])}
    assert moved and all("layers.1." in name or name == "model.norm.weight" for name in moved)


POINTS = [("writing", 1), ("imitating", 2), ("fitting the reward", 1), ("improving", 2), ("writing", 20)]


def test_a_run_that_is_killed_again_and_again_goes_on_as_if_it_had_not_been(
    settings: Settings, finished: ChatRun, tmp_path: Path
) -> None:
    """At each point, one after another; at the last one after fewer reports, because the run is half done by then."""
    broken = ChatRun.create(tmp_path / "broken", settings())
    for kill in (*POINTS[:-1], ("writing", 2)):
        with pytest.raises(Killed):
            train(ChatRun.open(broken.folder), kill)
    train(ChatRun.open(broken.folder))
    _assert_same(finished, broken)


@pytest.mark.thorough
@pytest.mark.parametrize("kill", POINTS)
def test_a_killed_run_goes_on_as_if_it_had_not_been(
    settings: Settings, finished: ChatRun, tmp_path: Path, kill: tuple[str, int]
) -> None:
    broken = ChatRun.create(tmp_path / "broken", settings())
    with pytest.raises(Killed):
        train(broken, kill)
    train(ChatRun.open(broken.folder))
    _assert_same(finished, broken)


def _assert_same(whole: ChatRun, broken: ChatRun) -> None:
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(broken)[name]), name
    for name in ("metrics.jsonl", "updates.jsonl", "reward.jsonl", "sft.jsonl"):
        assert _untimed(whole, name) == _untimed(broken, name), name


def _untimed(run: ChatRun, name: str) -> list[dict[str, Any]]:
    timed = {"seconds", "tokens_per_second"}
    return [{key: value for key, value in row.items() if key not in timed} for row in run.metrics(name)]


@pytest.mark.parametrize("method", ["full", "lora", "upper"])
def test_the_reference_is_the_model_that_training_started_from(settings: Settings, tmp_path: Path, method: str) -> None:
    """At step 0 KL is exactly 0; after training the reference still says what the fine-tuned model says."""
    model = dataclasses.replace(settings().model, method=method, layers=None)
    run = ChatRun.create(tmp_path / "run", settings(model=model))
    session, close = session_of(run, lambda *told: None)
    session.domain.writer.reset(np.random.SeedSequence(0))
    before = session.domain.writer.collect(3)
    assert divergence(before)["kl"] == 0.0
    list(session.rounds())
    again = _reference(session, before)
    np.testing.assert_allclose(again, before.log_probs, atol=1e-5)
    session.domain.writer.reset(np.random.SeedSequence(0))
    assert divergence(session.domain.writer.collect(3))["kl_token"] > 0
    close()


def _reference(session: Session[Completions, ChatDomain], completions: Completions) -> np.ndarray:
    found = np.zeros_like(completions.log_probs)
    for batch in completions.batches:
        flat = session.domain.policy.reference_log_probs(batch).numpy()
        part = np.zeros((len(batch.completions), found.shape[1]), np.float32)
        part[completions.mask[batch.completions]] = flat
        found[batch.completions] = part
    return found


def test_what_was_measured_of_a_finished_run_stays(finished: ChatRun) -> None:
    """Its judge may be out of reach by now, or ask for money."""
    run = finished
    before = {
        path: path.stat().st_mtime_ns for path in (run.folder / "evaluation.json", *run.policy.glob("*.safetensors"))
    }
    assert len(before) > 1
    train(ChatRun.open(run.folder))
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_going_on_asks_and_learns_more(finished: ChatRun) -> None:
    run = finished
    first = weights(run)
    more = dataclasses.replace(run.config, rounds=3, feedback=dataclasses.replace(run.config.feedback, labels=20))
    train(run.extend(more))
    again = ChatRun.open(run.folder)
    assert again.config.rounds == 3 and again.metrics()[-1]["asked"] == 20 and again.metrics()[-1]["round"] == 3
    assert any(not torch.equal(value, weights(again)[name]) for name, value in first.items())


def test_files_of_demonstrations_and_comparisons(settings: Settings, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"say {i}", "chosen": "yes.", "rejected": "no no no no."} for i in range(8)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = dataclasses.replace(settings().data, comparisons=str(pairs))
    run = ChatRun.create(tmp_path / "run", settings(data=data, best_of=0))
    train(run)
    assert run.metrics()[0]["labels"] == run.metrics()[0]["asked"] + 8
    assert run.metrics("sft.jsonl") == []
    pairs.write_text('{"prompt": "Q?", "response": "yes.", "score": 3}\n')
    data = dataclasses.replace(settings().data, demonstrations=str(pairs))
    with pytest.raises(PlauditError, match=r"pairs.jsonl \(rated\) holds no demonstrations; .* rating \(1\)\. Name"):
        train(ChatRun.create(tmp_path / "rated", settings(data=data, best_of=0)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"completions": 1}, "a question is about 2 responses"),
        ({"rounds": 0}, "rounds, updates and prompts"),
        ({"passage_weight": float("nan")}, "a number other than 0"),
        ({"best_of": 1}, "ranks 2 to 9"),
        ({"n_demonstrations": 0}, "n_demonstrations must be at least 1"),
        ({"model": ModelConfig(method="frozen")}, "a frozen model cannot learn"),
        (
            {"penalty": KLPenaltyConfig(kl_coefficient=0, compare=False)},
            "--penalty.no-compare allows one update per batch and no value function: use --improve.epochs 1",
        ),
    ],
)
def test_settings_that_cannot_be(settings: Settings, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PlauditError, match=words):
        settings(**changes)


def test_a_run_of_the_other_kind_is_named(settings: Settings, tmp_path: Path) -> None:
    ChatRun.create(tmp_path / "run", settings())
    with pytest.raises(PlauditError, match=r"config\.json is of a run of chat, but the command needs a run of control"):
        Run.open(tmp_path / "run")
