"""What a run learns from and what it must not: objectives, held-out prompts and text, reward models of elsewhere."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.run.language.conftest import Length
from tests.run.language.test_chat import Killed, train
from transformers import AutoTokenizer

from plaudit.cli import main
from plaudit.feedback.store import Store
from plaudit.functional.divergence import best_of_n_kl
from plaudit.language.best_of_n import BestOfN
from plaudit.language.evaluation import Evaluation
from plaudit.language.learner import TextFeedbackConfig
from plaudit.language.models import LanguageModel, ModelConfig, load
from plaudit.language.penalty import KLPenaltyConfig
from plaudit.language.policy import Completions
from plaudit.language.reward import HeadsConfig, TextReward
from plaudit.language.template import TRANSCRIPT
from plaudit.language.tune import TuneConfig
from plaudit.run.language import assemble as chat_hands
from plaudit.run.language import sft as chat_start
from plaudit.run.language.assemble import annotator_of, check, session_of
from plaudit.run.language.config import ChatConfig, ChatRun
from plaudit.run.language.data import MEASURED, prompts_in, read_counts, texts_in
from plaudit.run.language.evaluate import finish
from plaudit.types import Dialogue, Judgement, Message, PlauditError, Question

Settings = Callable[..., ChatConfig]
pytestmark = pytest.mark.usefixtures("blank_figures")


def told(*facts: object) -> None:
    """Nobody is told."""


# Objectives


def test_each_objective_is_asked_about_by_its_name_and_learned(settings: Settings, tmp_path: Path) -> None:
    run = ChatRun.create(tmp_path / "run", settings(best_of=0, heads=HeadsConfig(objectives=("helpful", "harmless"))))
    session, close = session_of(run, told)
    before = session.domain.reward.heads.weight.detach().clone()
    list(session.rounds())
    questions = [
        *session.domain.context.store.questions([each.question for each in session.domain.context.store.judgements()])
    ]
    asked = [each.project for each in questions]
    assert asked.count("helpful") == asked.count("harmless") == 6
    assert all(each.wording.endswith(f"Judge by nothing but this: {each.project}.") for each in questions)
    examples, _ = session.domain.learner.pace.examples()
    assert {each.objective for each in examples} == {0, 1}
    assert (before != session.domain.reward.heads.weight.detach()).any(dim=1).all()  # both heads moved
    close()


def test_an_objective_without_an_answer_is_named_unless_its_weight_is_zero(settings: Settings, tmp_path: Path) -> None:
    heads = HeadsConfig(objectives=("helpful", "harmless"))
    few = TextFeedbackConfig(labels=1, upfront=1.0, held_out=0.0)
    with pytest.raises(PlauditError, match="no judgement is about the objective 'harmless', which has weight 1"):
        train(ChatRun.create(tmp_path / "one", settings(best_of=0, heads=heads, feedback=few)))
    unused = dataclasses.replace(heads, weights=(1.0, 0.0))
    train(ChatRun.create(tmp_path / "other", settings(best_of=0, heads=unused, feedback=few)))


# Held-out prompts


def test_one_file_of_prompts_and_feedback_teaches_nothing_about_held_out_prompts(
    settings: Settings, tmp_path: Path
) -> None:
    names = [f"say {i}" for i in range(8)]
    pairs, talks = tmp_path / "pairs.jsonl", tmp_path / "talks.jsonl"
    pairs.write_text("".join(json.dumps({"prompt": n, "chosen": "yes.", "rejected": "no no."}) + "\n" for n in names))
    turns = [[{"role": "user", "content": n}, {"role": "assistant", "content": "yes."}] for n in names]
    talks.write_text("".join(json.dumps({"messages": each}) + "\n" for each in turns))
    data = dataclasses.replace(
        settings().data, prompts=str(pairs), comparisons=str(pairs), demonstrations=str(talks), system="be kind"
    )
    run = ChatRun.create(tmp_path / "run", settings(data=data))
    _, out = prompts_in(run.config)
    train(run)
    assert len(out) == 3 and all(each[0].content == "be kind" for each in out)
    assert read_counts(run)["imitated"]["held out"] == 3 and read_counts(run)["imitated"]["used"] == 5
    assert read_counts(run)["demonstrations"] == {"accepted": 8, "surplus": 0}
    assert run.metrics()[0]["labels"] == run.metrics()[0]["asked"] + 5
    page = (run.folder / "report.html").read_text("utf-8")
    assert page.count('<tr><th scope="row">held out</th><td>3</td></tr>') == 2  # of demonstrations, of judgements


def test_what_is_left_out_or_cut_reaches_the_report(settings: Settings, tmp_path: Path) -> None:
    prompts, talks = tmp_path / "prompts.txt", tmp_path / "talks.jsonl"
    prompts.write_text("".join(f"say {i} {'word ' * 20 * (i % 3 == 0)}\n" for i in range(18)))
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "long, " * 200}]
    talks.write_text(json.dumps({"messages": turns}) + "\n")
    data = dataclasses.replace(
        settings().data, prompts=str(prompts), demonstrations=str(talks), prompt_tokens=40, held_out=6
    )
    config = settings(data=data)  # whose sequences of 512 tokens are longer than the model's window of 256
    run = ChatRun.create(tmp_path / "run", config)
    train(run)
    found = read_counts(run)
    assert found["imitated"]["cut"] == 1
    session, close = chat_hands.session_to_report(run)
    both = session.domain.prompt_counts["left out as too long"] + found["held-out prompts"]["left out as too long"]
    close()
    assert both == 6 and found["held-out prompts"]["left out as too long"] > 0


def test_judgements_of_a_file_are_counted_once(settings: Settings, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    rows = [("a", "yes", "no"), ("a", "yes", "no"), ("b", "yes", "no"), ("a", "no", "yes")]
    pairs.write_text(
        "".join(json.dumps(dict(zip(("prompt", "chosen", "rejected"), r, strict=True))) + "\n" for r in rows)
    )
    run = ChatRun.create(
        tmp_path / "run", settings(data=dataclasses.replace(settings().data, comparisons=str(pairs)), best_of=0)
    )
    for _ in range(2):
        _, close = session_of(run, told)
        close()
    assert read_counts(run)["comparisons"] == {"accepted": 4, "surplus": 0}


def test_what_was_stored_before_a_kill_is_counted(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = tmp_path / "pairs.jsonl"
    rows = [("a", "yes", "no"), ("a", "yes", "no"), ("b", "yes", "no"), ("a", "no", "yes")]
    pairs.write_text("".join(json.dumps({"prompt": p, "chosen": c, "rejected": r}) + "\n" for p, c, r in rows))
    data = dataclasses.replace(settings().data, comparisons=str(pairs))
    run = ChatRun.create(tmp_path / "run", settings(data=data, best_of=0))

    def killed(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(chat_start, "add_counts", killed)
        session_of(run, told)
    session_of(run, told)[1]()
    assert read_counts(run)["comparisons"] == {"accepted": 4, "surplus": 0}


def test_what_a_file_leaves_open_is_asked_of_nobody(settings: Settings, tmp_path: Path) -> None:
    """`plaudit export` writes questions that nobody has answered, too; a program may have no answer to their kind."""
    talks = [Dialogue((Message("user", "a"), Message("assistant", each))) for each in ("yes", "no", "so", "hm")]
    prompt = Dialogue((Message("user", "b"),))
    judged, left = (
        Question("comparison", (one.id, other.id), "Which?", project="responses") for one, other in pairwise(talks[:3])
    )
    shown = Question("demonstration", (prompt.id,), "Write.")
    said = Judgement(judged.id, "ann", {"strength": 2}, (0, 1), 1.0, 2.0, 3.0, "said")
    elsewhere, exported = tmp_path / "elsewhere.sqlite", tmp_path / "judged.jsonl"
    with Store.open(elsewhere) as store:
        store.ask([shown, judged, left], [*talks, prompt])
        store.answer([said])
    assert main(["export", str(elsewhere), str(exported)]) == 0
    assert exported.read_text().count('"question"') == 3
    data = dataclasses.replace(settings().data, comparisons=str(exported))
    run = ChatRun.create(tmp_path / "run", settings(data=data, best_of=0))
    session, close = session_of(run, told)
    store = session.domain.context.store
    assert store.counts().questions == 3 and store.waiting() == 0
    another = Dialogue((Message("user", "c"),))
    store.ask([Question("demonstration", (another.id,), "Write.")], [another])  # of people, while the run goes on
    list(session.rounds())
    assert store.waiting() == 1 and run.metrics()[-1]["labels"] == run.metrics()[-1]["asked"] + 1
    close()


# Text


def test_the_text_that_is_measured_is_the_end_that_is_not_learned_from(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(" ".join(str(i) for i in range(400_000)))
    data = dataclasses.replace(settings().data, text=str(path))
    improve = dataclasses.replace(settings().improve, ptx=1.0)
    learned, (measure,) = texts_in(settings(data=data, improve=improve))
    assert len(measure) <= MEASURED and int(learned.split()[-1]) + 1 == int(measure.split()[0])
    assert measure.endswith("399999")
    nothing, (whole,) = texts_in(settings(data=data))  # without ptx nobody learns from it
    assert nothing == "" and whole == measure
    path.write_text(" ".join(str(i) for i in range(1000)))
    learned, (measure,) = texts_in(settings(data=data, improve=improve))
    assert len(measure) < len(learned) / 8
    run = ChatRun.create(tmp_path / "run", settings(data=data, improve=improve))
    train(run)
    assert run.metrics("updates.jsonl")[0]["ptx_loss"] > 0
    assert 0 < Evaluation.load(run.folder / "evaluation.json").windows <= 4


@pytest.mark.parametrize(
    ("text", "words"), [(b"", "too little text"), (b"a", "too little text"), (b"\xff" * 9, "is not UTF-8 (byte 1)")]
)
def test_a_text_that_is_none(settings: Settings, tmp_path: Path, text: bytes, words: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(text)
    data = dataclasses.replace(settings().data, text=str(path))
    with pytest.raises(PlauditError) as fault:
        check(settings(data=data, improve=dataclasses.replace(settings().improve, ptx=1.0)))
    assert words in str(fault.value) and "text.txt" in str(fault.value)


def test_ptx_without_a_text_is_found_at_once(settings: Settings) -> None:
    with pytest.raises(PlauditError, match=r"name a (file with )?--data.text"):
        check(settings(improve=dataclasses.replace(settings().improve, ptx=1.0)))


# Reward models of elsewhere


@pytest.fixture
def pretrained(base: Path, tmp_path: Path) -> Path:
    """A saved reward model of two members."""
    torch.manual_seed(3)
    reward = TextReward(load(ModelConfig(str(base), "frozen", precision="fp32")), HeadsConfig(members=2))
    reward.save(tmp_path / "reward")
    return tmp_path / "reward"


def test_a_reward_model_that_was_trained_before_is_gone_on_with(
    settings: Settings, pretrained: Path, tmp_path: Path
) -> None:
    data = dataclasses.replace(settings().data, template="transcript")
    config = settings(reward_model=str(pretrained), heads=HeadsConfig(members=2), data=data)
    check(config)
    run = ChatRun.create(tmp_path / "run", config)
    session, close = session_of(run, told)
    torch.testing.assert_close(
        session.domain.reward.heads.weight.data, load_file(pretrained / "heads.safetensors")["weight"]
    )
    assert (
        session.domain.learner.chat.tokenizer.chat_template == TRANSCRIPT
    )  # that of the run, not the one that was saved
    list(session.rounds())
    finish(run, session.domain, told)
    close()
    assert TextReward.load(run.reward).mean.shape == (1, 2)


def test_a_reward_model_of_another_vocabulary_is_found_at_once(settings: Settings, pretrained: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(pretrained)
    tokenizer.add_tokens(["zebra"])
    tokenizer.save_pretrained(pretrained)
    with pytest.raises(PlauditError, match="has another vocabulary than the policy"):
        check(settings(reward_model=str(pretrained)))


def test_a_reward_model_that_is_none_or_reads_too_little_is_found_at_once(
    settings: Settings, base: Path, pretrained: Path
) -> None:
    with pytest.raises(PlauditError, match="holds no reward model"):
        check(settings(reward_model=str(base)))
    stored = json.loads((pretrained / "config.json").read_text())
    (pretrained / "config.json").write_text(json.dumps(stored | {"max_position_embeddings": 100}))
    with pytest.raises(PlauditError, match="do not fit the reward model's window of 100"):
        check(settings(reward_model=str(pretrained)))


# What else is found at once


@pytest.mark.parametrize("changes", [{"temperature": 0.0}, {"top_p": 0.9}, {"top_k": 5}])
def test_a_policy_gradient_needs_the_probabilities_of_what_is_written(
    settings: Settings, changes: dict[str, Any]
) -> None:
    with pytest.raises(PlauditError, match="a policy gradient needs the true probabilities of the tokens"):
        settings(sampling=dataclasses.replace(settings().sampling, **changes))


def test_vllm_that_is_not_there(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PlauditError, match="pip install vllm"):
        check(settings(sampling=dataclasses.replace(settings().sampling, engine="vllm")))


def test_a_local_judge_reads_by_the_template_of_the_run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Callable[[], LanguageModel]] = []
    monkeypatch.setattr(
        chat_hands, "text_annotator", lambda name, seed, local, device, **options: loads.append(local) or Length()
    )
    config = settings(data=dataclasses.replace(settings().data, template="transcript"))
    annotator_of("ai:local", config)
    tokenizer: Any = loads[0]().tokenizer
    assert tokenizer.chat_template == TRANSCRIPT


def test_what_is_no_fault_is_remarked_on(settings: Settings) -> None:
    assert "proves nothing" in settings().remarks[0]
    assert settings(judge="rule:other").remarks == []
    assert "Step 1 is skipped" in settings(annotator="people").remarks[0]
    ask = TextFeedbackConfig(labels=24, upfront=1 / 3)  # three rounds, each about 8 prompts
    assert settings(judge="rule:other", feedback=ask).remarks == []
    more = dataclasses.replace(ask, labels=25)
    assert settings(judge="rule:other", feedback=more).remarks[0].startswith("Only 24 of 25 questions can be asked")
    early = dataclasses.replace(ask, upfront=0.5)
    assert settings(judge="rule:other", feedback=early).remarks[0].startswith("50% of 24 questions are due before")
    for lonely in (
        {"feedback": dataclasses.replace(ask, method="disagreement")},
        {"heads": HeadsConfig(pooling="worst")},
    ):
        assert "set --heads.members above 1" in settings(judge="rule:other", **lonely).remarks[0]


# Asking and holding


def test_disagreement_asks_where_members_differ_most(settings: Settings, tmp_path: Path) -> None:
    ask = dataclasses.replace(settings().feedback, method="disagreement")
    run = ChatRun.create(
        tmp_path / "run",
        settings(
            feedback=ask, heads=HeadsConfig(members=3, objectives=("good", "kind"), weights=(1.0, 0.0)), completions=3
        ),
    )
    session, close = session_of(run, told)
    session.domain.writer.reset(np.random.SeedSequence(0))
    written = [session.domain.writer.collect(4)]
    assert isinstance(written[0], Completions)
    groups = list(session.domain.learner._groups(written[0], 0))
    most = max(groups, key=session.domain.learner._disagreement)
    scores = session.domain.learner.reward.score(
        [session.domain.learner.chat.dialogues(most)]
    )  # (3, objectives, members)
    spreads = [(1 / (1 + np.exp(scores[j] - scores[i]))).var(axis=1).mean() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert len(most) == 3 and session.domain.learner._disagreement(most) == pytest.approx(max(spreads), rel=1e-4)
    known = session.domain.context.store.counts().questions
    session.domain.learner._ask(written, 1, 0, np.random.default_rng(0))
    assert session.domain.context.store.counts().questions == known + 1
    with Store.open(run.folder / "feedback.sqlite") as store:
        lease = store.claim("someone", 1)[0]
        store.release_all("someone")
    assert {*lease.question.items} <= {each.id for each in most}
    list(session.rounds())
    close()


def test_an_adaptive_lambda_survives_a_kill_bit_for_bit(settings: Settings, tmp_path: Path) -> None:
    penalty = KLPenaltyConfig(kl_coefficient=0.15, target=0.01, horizon=20.0)
    whole, broken = (ChatRun.create(tmp_path / name, settings(penalty=penalty)) for name in ("whole", "broken"))
    train(whole)
    with pytest.raises(Killed):
        train(broken, ("improving", 3))  # in the second round
    train(ChatRun.open(broken.folder))
    rows, again = whole.metrics("updates.jsonl"), broken.metrics("updates.jsonl")
    assert rows == again and len({row["kl_coefficient"] for row in rows}) == 4
    first, second = (load_file(run.policy / "model.safetensors") for run in (whole, broken))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_run_that_is_killed_while_it_waits_asks_nothing_else(settings: Settings, tmp_path: Path) -> None:
    """Where the same seed writes other responses, as on a GPU, the first questions would stay open for ever."""
    run = ChatRun.create(tmp_path / "run", settings(best_of=0))
    session, close = session_of(run, told)
    rounds = session.rounds()
    next(rounds)
    session.domain.context = dataclasses.replace(session.domain.context, settle=_killed)
    with pytest.raises(Killed):
        next(rounds)
    close()
    session, close = session_of(run, told)
    known = session.domain.context.store.counts().questions
    session.domain.writer.sampling = dataclasses.replace(session.domain.writer.sampling, temperature=1.5)
    next(session.rounds())
    assert session.domain.context.store.counts().questions == known == session.domain.learner.pace.n_asked
    close()


def _killed(asked: int) -> None:
    raise Killed


def test_best_of_n_stands_beside_the_policy(settings: Settings, tmp_path: Path) -> None:
    run = ChatRun.create(tmp_path / "run", settings(best_of_n=3))
    session, close = session_of(run, told)
    list(session.rounds())
    finish(run, session.domain, told, BestOfN)
    close()
    found = Evaluation.load(run.folder / "evaluation.json")
    assert [each.name for each in found.columns] == ["before", "fine-tuned", "after", "best of 3"]
    kl = found.measure("best of 3", "kl")
    assert kl is not None and kl.value == best_of_n_kl(3) and found.result == "after"
    assert "best of 3" in (run.folder / "report.html").read_text("utf-8")


def test_a_small_window_caps_what_is_fitted_and_measured(settings: Settings, base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "model"))
    stored = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(stored | {"max_position_embeddings": 64}))
    path = tmp_path / "text.txt"
    path.write_text(" ".join(str(i) for i in range(2000)))
    data = dataclasses.replace(settings().data, text=str(path), prompt_tokens=40)
    config = settings(
        model=ModelConfig(str(folder), "upper", layers=1, precision="fp32"),
        data=data,
        improve=dataclasses.replace(settings().improve, ptx=1.0),
        reward=TuneConfig(batch=4, learning_rate=1e-3, length=512),
    )
    check(config)
    run = ChatRun.create(tmp_path / "run", config)
    train(run)
    assert Evaluation.load(run.folder / "evaluation.json").settings["window"] == 64
