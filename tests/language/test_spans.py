"""Rewards of passages: where segments end, which tokens a mark covers, the loss by hand, and where rewards fall."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from plaudit.feedback.formats import Setting
from plaudit.feedback.formats._record import Answer, make
from plaudit.feedback.formats.fine_grained import CATEGORIES as FINE_GRAINED
from plaudit.feedback.formats.incoming import Reading, import_file
from plaudit.feedback.store import Store
from plaudit.language.improve import TokenImproveConfig, TokenImprover
from plaudit.language.models import LanguageModel
from plaudit.language.penalty import KLPenalty, KLPenaltyConfig
from plaudit.language.policy import TokenPolicy, Writer
from plaudit.language.rows import Tree, lay
from plaudit.language.sampling import SamplingConfig
from plaudit.language.spans import MarkedResponse, Marks, Segments, SpanConfig, SpanReward, categories_in, read_marks
from plaudit.language.template import TRANSCRIPT
from plaudit.language.text import Chat
from plaudit.language.tune import TuneConfig, Tuner
from plaudit.types import Dialogue, Message, PlauditError

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "fine_grained" / "dev_feedback.json.gz"
Tiny = Callable[..., LanguageModel]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "feedback.sqlite") as opened:
        yield opened


def mark(store: Store, response: str, *spans: tuple[str, str], categories: tuple[str, ...] = ("wrong", "rude")) -> None:
    """Spans by what they cover, and their category."""
    item = Dialogue((Message("user", "the cat?"), Message("assistant", response)))
    marked = [
        {"start": response.index(text), "end": response.index(text) + len(text), "category": category, "note": ""}
        for text, category in spans
    ]
    options = {"categories": list(categories)}
    record = make("spans", [item], [Answer("ann", {"spans": marked})], Setting(), options)
    assert record.question is not None
    store.ask([record.question], record.items)
    store.answer(record.judgements)


def pieces(model: LanguageModel, text: str, kind: str) -> list[str]:
    tokens = np.append(model.tokenizer(text)["input_ids"], 0)
    ends = Segments(model, kind).ends(tokens)  # type: ignore[arg-type]
    assert ends[-1] == len(tokens) - 1
    return [str(model.tokenizer.decode(piece)) for piece in np.split(tokens, ends + 1) if len(piece)]


def test_segments(tiny: Tiny) -> None:
    text = 'Pi is 3.14, so. "Go on!" he said\nthen; sat'
    assert pieces(tiny(), text, "sentence") == ["Pi is 3.14, so.", ' "Go on!" he said\n', "then; sat<|end|>"]
    assert pieces(tiny(), text, "part") == ["Pi is 3.14,", " so.", ' "Go on!" he said\n', "then;", " sat<|end|>"]
    assert pieces(tiny(), "the cat.", "sentence") == ["the cat.<|end|>"]


@pytest.mark.parametrize("template", [None, TRANSCRIPT])
def test_marks_fall_on_the_segments_that_they_cover(tiny: Tiny, store: Store, template: str | None) -> None:
    model = tiny()
    old: PreTrainedTokenizerFast = model.tokenizer  # type: ignore[assignment]
    model.tokenizer = PreTrainedTokenizerFast(tokenizer_object=old.backend_tokenizer, eos_token="<|end|>")
    model.tokenizer.chat_template = template or old.chat_template
    text = "The cat sat, naïvely. It said thank you! Please go on."
    mark(store, text, ("naïvely. It", "wrong"), ("go", "rude"))
    mark(store, "Nothing is wrong. Nothing.")
    mark(store, "Of other things.", categories=("dull",))
    config = SpanConfig(("rude", "wrong"))
    (first, second), counts = read_marks(store, Chat(model), config, Segments(model, "sentence"), 512)
    assert (counts.used, counts.other_kinds, counts.cut) == (2, 1, 0)
    completion = first.tree.completions[0]
    texts = [str(model.tokenizer.decode(segment)).strip() for segment in np.split(completion, first.ends[:-1] + 1)]
    assert texts == ["The cat sat, naïvely.", "It said thank you!", "Please go on.<|end|>"]
    assert first.faults.tolist() == [[False, True], [False, True], [True, False]]
    assert second.faults.shape == (2, 2) and not second.faults.any()

    limit = len(completion) - 2
    (short, _), counts = read_marks(store, Chat(model), config, Segments(model, "sentence"), limit)
    length = len(short.tree.completions[0])
    assert counts.cut >= 1 and length == limit - min(len(first.tree.prompt), limit // 4)
    assert short.ends.tolist() == [*(end for end in first.ends if end < length - 1), length - 1]
    assert short.faults.tolist() == [[False, True], [False, True]]  # what was rude is cut off


def examples() -> list[MarkedResponse]:
    ends = np.array([1, 3])
    first = MarkedResponse(
        Tree(np.array([5]), (np.array([40, 41, 42, 0]),)), ends, np.array([[True, False], [False, False]])
    )
    second = MarkedResponse(Tree(np.array([5, 6, 7]), (np.array([43, 0]),)), np.array([1]), np.array([[True, True]]))
    return [first, second]


def test_loss_by_hand(tiny: Tiny) -> None:
    reward = SpanReward(tiny(), SpanConfig(("a", "b")))
    rows = lay([example.tree for example in examples()])
    with torch.no_grad():
        reward.heads.bias.copy_(torch.tensor([log(3), 0.0]))  # P[fault] 3/4 and 1/2 everywhere
        losses = Marks(reward).losses(rows, None, examples())
    fault, none, coin = -log(0.75), -log(0.25), log(2)
    assert float(losses["loss"]) == pytest.approx((2 * fault + none + 3 * coin) / 2, rel=1e-5)
    assert float(losses["accuracy"]) == pytest.approx((1 + 1 + 1 + 0 + 1 + 0) / 2)
    assert float(losses["constant"]) == pytest.approx((0 + 1 + 1 + 1 + 0 + 0) / 2)


def test_what_could_not_be_marked_teaches_nothing(tiny: Tiny, store: Store) -> None:
    mark(store, "The cat sat. It ran.", ("It ran", "wrong"), categories=("wrong",))
    mark(store, "Thank you. No.", ("No", "rude"), categories=("rude", "dull"))
    reward = SpanReward(tiny(), SpanConfig(("rude", "wrong")))
    assert categories_in(store) == {"wrong", "rude", "dull"}
    responses, _ = read_marks(store, Chat(reward.model), reward.config, reward.segments, 512)
    assert [response.offered.tolist() for response in responses] == [[False, True], [True, False]]
    with torch.no_grad():
        reward.heads.bias.copy_(torch.tensor([9.0, -9.0]))
    rows = lay([responses[0].tree])
    measure = Marks(reward).losses(rows, None, responses[:1])
    measure["loss"].backward()
    assert reward.heads.bias.grad is not None
    assert reward.heads.bias.grad[0] == 0 and reward.heads.bias.grad[1] != 0
    assert float(measure["accuracy"]) == float(measure["constant"]) == 1.0  # one of the two segments is wrong


def test_a_token_is_scored_at_its_own_place(tiny: Tiny) -> None:
    """Alone, or packed with others, behind a shared prompt: what is read is the state at the token itself."""
    reward = SpanReward(tiny(), SpanConfig(("a", "b")))
    with torch.no_grad():
        reward.heads.weight.normal_(generator=torch.Generator().manual_seed(0))
        trees = [
            Tree(np.array([5, 6]), (np.array([40, 41, 42]), np.array([50]))),
            Tree(np.array([7, 8, 9]), (np.array([60, 61]),)),
        ]
        logits = reward.logits(lay(trees, 32), None)
        expected = []
        for tree in trees:
            for completion in tree.completions:
                ids = torch.from_numpy(np.concatenate((tree.prompt, completion)))[None]
                states = reward.model.model.get_decoder()(input_ids=ids).last_hidden_state[0]
                expected.append(reward.heads(states[len(tree.prompt) :]))
    torch.testing.assert_close(logits, torch.cat(expected), rtol=1e-4, atol=1e-4)


def test_rewards_fall_on_the_last_tokens_of_segments(tiny: Tiny) -> None:
    model = tiny("upper")
    policy = TokenPolicy(model)
    writer = Writer(policy, [np.array([5, 6, 7]), np.array([8, 9])], SamplingConfig(tokens=24), n=3)
    writer.reset(np.random.SeedSequence(0))
    trajectory = writer.collect(2)
    reward = SpanReward(model, SpanConfig(("a", "b"), (1.0, 0.5), "part"))
    with torch.no_grad():
        reward.heads.weight.normal_(generator=torch.Generator().manual_seed(0))
    rewards = reward.rewards(trajectory)
    assert rewards.shape == trajectory.mask.shape and rewards.dtype == np.float32
    rows_with_several_segments = 0
    for row, (tokens, real) in enumerate(zip(trajectory.actions, trajectory.mask, strict=True)):
        ends = reward.segments.ends(tokens[real])
        rows_with_several_segments += len(ends) > 1
        assert np.flatnonzero(rewards[row]).tolist() == ends.tolist()
        ((segment_ends, faults),) = reward.faults([Tree(trajectory.prompts[row], (tokens[real],))])[0]
        assert segment_ends.tolist() == ends.tolist()
        np.testing.assert_allclose(rewards[row][ends], (1 - 2 * faults) @ [1.0, 0.5], rtol=1e-4, atol=1e-4)
    assert rows_with_several_segments


def test_ppo_credits_each_token_with_the_passages_that_it_is_in_or_before(tiny: Tiny) -> None:
    policy = TokenPolicy(tiny())  # whose value function begins at 0
    writer = Writer(policy, [np.array([5, 6, 7]), np.array([8, 9])], SamplingConfig(tokens=24), n=3)
    writer.reset(np.random.SeedSequence(0))
    trajectory = writer.collect(2)
    reward = SpanReward(tiny(), SpanConfig(("fault",), segments="part"))
    with torch.no_grad():
        reward.heads.weight.normal_(generator=torch.Generator().manual_seed(0))
    penalised = KLPenalty(reward, KLPenaltyConfig(0.1)).rewards(trajectory)
    np.testing.assert_allclose(penalised, reward.rewards(trajectory), atol=1e-6)  # at the start there is nothing to pay
    improver = TokenImprover(policy, TokenImproveConfig(gae_lambda=1.0, whiten=False, stop_kl=None))
    targets = improver.targets(trajectory, penalised, policy.pieces(trajectory))
    to_come = np.flip(np.cumsum(np.flip(penalised, 1), 1), 1)
    np.testing.assert_allclose(
        targets.advantages.numpy()[trajectory.mask], to_come[trajectory.mask], rtol=1e-4, atol=1e-4
    )
    assert (np.count_nonzero(penalised, axis=1) > 1).any()
    assert float(improver(trajectory, penalised, 0.0, torch.Generator())["updates"]) == 4


@pytest.mark.learning
def test_a_fault_is_learned_where_it_stands(tiny: Tiny, store: Store) -> None:
    """A sentence that says "thank you" is marked; others of the same response are not."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = tiny()
    for number in range(80):
        sentences = [
            f"The {' cat'.join([''] * n)} said thank you." if rng.random() < 0.5 else "It sat on the mat."
            for n in (1, 2, 3)
        ]
        text = f"{number}. " + " ".join(sentences)
        mark(store, text, *((sentence, "rude") for sentence in sentences if "thank" in sentence))
    reward = SpanReward(model, SpanConfig(("rude",)))
    responses, _ = read_marks(store, Chat(model), reward.config, reward.segments, 512)
    tuner = Tuner(
        model, reward.trainable_parameters(), Marks(reward), responses[:60], TuneConfig(3e-3, batch=10, epochs=4)
    )
    for _ in tuner.run():
        pass
    measure = tuner.evaluate(responses[60:])
    assert measure["constant"] < 0.75 and measure["accuracy"] > 0.95


def test_what_cannot_be(tiny: Tiny) -> None:
    for settings in ({"categories": ()}, {"categories": ("a", "a")}, {"weights": (1.0,)}):
        with pytest.raises(PlauditError):
            SpanConfig(**settings)  # type: ignore[arg-type]
    with pytest.raises(PlauditError, match="about one response"):
        MarkedResponse(Tree(np.array([5]), ()), np.array([0]), np.zeros((1, 1), np.bool_))


@pytest.mark.skipif(not REAL.exists(), reason="the file of FineGrainedRLHF is not there")
def test_the_real_file(tiny: Tiny, store: Store, tmp_path: Path) -> None:
    """Every span of its first responses is found again on tokens that spell what it covers."""
    with gzip.open(REAL, "rt", encoding="utf-8") as file:
        (tmp_path / "some.json").write_text(json.dumps(json.load(file)[:100]), encoding="utf-8")
    import_file(store, tmp_path / "some.json", Reading(strict=True))
    model = tiny()
    config = SpanConfig(FINE_GRAINED, segments="part")
    responses, counts = read_marks(store, Chat(model), config, Segments(model, "part"), 1 << 20)
    assert counts.used == len(responses) == 100 and not counts.refused and not counts.cut
    judgements = store.judgements()
    questions = store.questions([judgement.question for judgement in judgements])
    spans = [
        (span, store.items(list(question.items))[0])
        for question, judgement in zip(questions, judgements, strict=True)
        if question.kind == "spans"
        for span in judgement.value["spans"]
    ]
    category_counts = Counter(span["category"] for span, _ in spans)
    assert sum(category_counts.values()) > 200
    faults = np.concatenate([response.faults for response in responses]).sum(axis=0)
    assert all(faults[FINE_GRAINED.index(name)] >= 0.5 * count for name, count in category_counts.items())
    chat = Chat(model)
    for span, item in spans[::10]:
        assert isinstance(item, Dialogue) and item.response is not None
        tree, offsets = chat.locate(item.prompt, item.response)
        covered = (offsets[:, 0] < span["end"]) & (offsets[:, 1] > span["start"])
        spelled = chat.tokenizer.decode(tree.completions[0][covered])
        assert re.sub(r"\s", "", item.response[span["start"] : span["end"]]) in re.sub(r"\s", "", spelled)
