"""plaudit.train("chat") with an annotator of one's own, and plaudit.load_reward."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.api.own_annotators import Longest

import plaudit
from plaudit.annotators.text import text_annotator
from plaudit.feedback.store import Store
from plaudit.language.rows import Tree
from plaudit.language.text import Chat
from plaudit.run.language.config import ChatConfig, ChatRun
from plaudit.types import Message, PlauditError

pytestmark = pytest.mark.usefixtures("blank_figures")


def test_a_language_model_learns_from_ones_own_annotator(
    settings: Callable[..., ChatConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = settings()
    groups = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name not in ("annotator", "feedback")
    }
    run = plaudit.train("chat", annotator=Longest(), labels=10, out=tmp_path / "run", progress=False, **groups)
    assert isinstance(run, ChatRun) and run.config.annotator == "program:longest" and run.config.feedback.labels == 10
    with Store.open(run.folder / "feedback.sqlite", create=False) as store:
        assert {judgement.annotator for judgement in store.judgements()} == {"longest"}
    assert (run.folder / "report.html").exists() and capsys.readouterr().out == ""
    assert plaudit.load_reward(run).score(["say one"], ["two"]).shape == (1,)
    assert text_annotator(f"{Longest.__module__}:Longest").name == "longest"


def test_scores_are_the_runs_own(finished: ChatRun) -> None:
    """The same responses to the same prompts, as texts and as messages, one by one and together."""
    score = plaudit.load_reward(finished.folder, device="cpu")
    prompts = ["say one", "say two", "say one", "say one"]
    responses = ["one", "two and three", "", "on the mat"]
    scores = score.score(prompts, responses)
    assert scores.shape == (4,) and scores.dtype == np.float32 and len(set(scores.tolist())) == 4
    chat = Chat(score.reward.model)
    pairs = [pair for pair in zip(prompts, responses, strict=True) if pair[1]]
    expected = score.reward.reward([chat.tree([Message("user", p)], [r]) for p, r in pairs])
    np.testing.assert_allclose(scores[[0, 1, 3]], expected, rtol=1e-4, atol=1e-5)
    end = Tree(chat.prompt([Message("user", "say one")]), (np.array(chat.ends[:1]),))  # it wrote nothing, and ended
    np.testing.assert_allclose(scores[2], score.reward.reward([end])[0], rtol=1e-4, atol=1e-5)
    as_messages = score(
        prompts=[[{"role": "user", "content": prompt}] for prompt in prompts],
        completions=[[{"role": "assistant", "content": response}] for response in responses],
        completion_ids=[[1]] * 4,
        trainer_state=None,
    )
    assert isinstance(as_messages, list) and score.__name__ == "finished_reward"
    np.testing.assert_allclose(as_messages, scores, rtol=1e-4, atol=1e-5)
    long = score.score(["the cat sat on the mat " * 60, "the cat"], ["yes", "yes"])  # longer than the window
    assert np.isfinite(long).all() and score.score([], []).shape == (0,)
    system = score.score([[{"role": "system", "content": "Go."}, {"role": "user", "content": "say one"}]], ["one"])
    assert system[0] != scores[0]
    np.testing.assert_array_equal(plaudit.load_reward(finished.reward, device="cpu").score(prompts, responses), scores)


@pytest.mark.parametrize(
    ("prompts", "responses", "message"),
    [
        (["a"], [], "there are 1 prompts and 0 responses"),
        ([[]], ["b"], "prompts[0] is an empty conversation"),
        ([[{"content": "a"}]], ["b"], "prompts[0][0] must be a text, or messages with role and content: 'role'"),
        ([[{"role": "judge", "content": "a"}]], ["b"], "Message.role must be"),
        (["a"], [[{"role": "assistant", "content": 3}]], "content is int, not text"),
        (["a"], [[]], "responses[0] must be a text or a list of one message, got 0 messages"),
        ("ab", "cd", "prompts must be a list of texts or of conversations, got 'ab'"),
        (["a"], None, "responses must be a list of texts or of conversations, got None"),
        ([{"role": "user", "content": "a"}], ["b"], "prompts[0] must be a text or a list of messages, got {'role'"),
        (["a"], [None], "responses[0] must be a text or a list of messages, got None"),
    ],
)
def test_what_is_no_text_is_refused(finished_folder: Path, prompts: Any, responses: Any, message: str) -> None:
    with pytest.raises(PlauditError, match=re.escape(message)):
        plaudit.load_reward(finished_folder, device="cpu").score(prompts, responses)


def test_a_folder_without_a_reward_model_is_refused(tmp_path: Path, settings: Callable[..., ChatConfig]) -> None:
    with pytest.raises(PlauditError, match="there is no folder"):
        plaudit.load_reward(tmp_path / "nowhere")
    with pytest.raises(PlauditError, match="run must be a path"):
        plaudit.load_reward("")
    with pytest.raises(PlauditError, match="device must be one of auto, cpu, cuda, got 'gpu'"):
        plaudit.load_reward(tmp_path, device="gpu")  # type: ignore[arg-type]
    with pytest.raises(PlauditError, match="holds no run"):
        plaudit.load_reward(tmp_path)
    run = ChatRun.create(tmp_path / "run", settings())
    with pytest.raises(PlauditError, match="has no reward/ yet: finish it with plaudit resume"):
        plaudit.load_reward(run)
    (run.folder / "config.json").write_text('{"environment": {"id": "Duel"}}')
    with pytest.raises(PlauditError, match="holds an agent, not a language model"):
        plaudit.load_reward(run.folder)
