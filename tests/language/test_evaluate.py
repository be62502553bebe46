"""Numbers worked by hand, and what must hold of any model: no distance to itself, half the wins, no cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import torch

from plaudit.language.evaluate import EvaluateConfig, HeldOutMeasures, Sampler, evaluate
from plaudit.language.evaluation import Column, Estimate, Evaluation, append_response
from plaudit.language.judging import count_wins
from plaudit.language.likelihood import log_probs, prompt_information, split_windows
from plaudit.language.measures import distinct, repetition, unrelated_texts, words
from plaudit.language.models import LanguageModel
from plaudit.language.relevance import retrieve
from plaudit.language.rows import Tokens, Tree
from plaudit.language.sampling import SamplingConfig
from plaudit.types import Answer, Array, Dialogue, Message, PlauditError, Question

Tiny = Callable[..., LanguageModel]
PROMPTS = [
    (Message("user", f"say {word}"),) for word in ("cat", "mat", "thank you", "please", "on", "the", "go", "sat")
]
CONFIG = EvaluateConfig(SamplingConfig(12), samples=2, batch=6, resamples=200, examples=3, window=32, budget=256)


def moved(tiny: Tiny, size: float = 0.05, **settings: object) -> LanguageModel:
    """The tiny model with other weights."""
    model = tiny(**settings)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += size * torch.randn(parameter.shape, generator=generator)
    return model


def long(dialogue: Dialogue) -> bool:
    return len(dialogue.response or "") > 12


def longer(first: Dialogue, second: Dialogue) -> float:
    """A judge of two texts that cannot be swayed by their order."""
    return (np.sign(len(first.response or "") - len(second.response or "")) + 1) / 2


class First:
    """A judge that calls better what it reads first."""

    name = "first"

    def judge(self, question: Question, items: Sequence[Dialogue]) -> Answer:
        assert question.items == tuple(item.id for item in items) and items[0].model is None
        return Answer({"strength": 2})


def test_text_by_hand() -> None:
    assert words("Don't stop, DON’T stop!") == ["don't", "stop", "don’t", "stop"]  # noqa: RUF001
    two = [words("the cat sat on the mat"), words("the cat ran")]
    assert distinct(two, 1) == 6 / 9  # the, cat, sat, on, mat, ran
    assert distinct(two, 2) == 6 / 7  # "the cat" twice; none across texts
    assert distinct(two, 3) == 1.0 and np.isnan(distinct([["one"]], 2))
    assert repetition(words("a b c d a b c d a b c d")) == pytest.approx(1 - 4 / 9)
    assert repetition(words("a b c d e")) == 0.0 and np.isnan(repetition(words("a b c")))


def test_a_model_is_no_distance_from_itself(tiny: Tiny) -> None:
    evaluation = evaluate(
        tiny(), {"after": tiny()}, PROMPTS, CONFIG, HeldOutMeasures(long, judge=longer, texts=unrelated_texts()[:1])
    )
    for name in ("kl", "kl_token"):
        assert evaluation.measure("after", name) == Estimate(0.0, 0.0, 0.0)
    assert evaluation.measure("after", "win_rate") == Estimate(0.5, 0.5, 0.5)
    for name in ("share", "tokens", "words", "loss"):
        assert evaluation.difference("after", name) == Estimate(0.0, 0.0, 0.0), name
        assert evaluation.measure("after", name) == evaluation.measure("before", name)
    assert evaluation.judges["after"].pairs == len(PROMPTS) * 2
    assert evaluation.judges["after"].flipped is None  # never asked
    assert evaluation.measure("before", "kl") == Estimate(0.0) and evaluation.measure("before", "win_rate") is None


def test_what_is_measured_is_what_was_written(tiny: Tiny) -> None:
    start, after = tiny(), moved(tiny)
    judge = HeldOutMeasures(
        long, lambda dialogues: np.array([len(dialogue.response or "") for dialogue in dialogues]), longer
    )
    reports: list[tuple[str, int, int]] = []
    evaluation = evaluate(start, {"after": after}, PROMPTS, CONFIG, judge, lambda *report: reports.append(report))
    longer_evaluation = evaluate(start, {"after": after}, PROMPTS, replace(CONFIG, examples=8), judge)
    assert longer_evaluation.columns == evaluation.columns  # the same seeds, the same responses
    assert len(evaluation.examples) == 3 and longer_evaluation.examples[:3] == evaluation.examples
    for example in longer_evaluation.examples:
        assert example.satisfied == tuple(long(append_response(example.prompt, text)) for text in example.responses)
        dialogues = [append_response(example.prompt, response) for response in example.responses]
        assert example.wins == (None, longer(dialogues[1], dialogues[0]))
    single = evaluate(start, {"after": after}, PROMPTS, replace(CONFIG, samples=1, examples=8), judge)
    share = float(np.mean([long(append_response(row.prompt, row.responses[1])) for row in single.examples]))
    assert single.columns[1].measures["share"].value == share
    assert single.columns[1].measures["score"].value == np.mean(
        [len(example.responses[1]) for example in single.examples]
    )
    assert single.columns[1].measures["win_rate"].value == np.mean(
        [example.wins[1] or 0.0 for example in single.examples]
    )
    before = float(np.mean([long(append_response(row.prompt, row.responses[0])) for row in single.examples]))
    assert single.columns[1].differences["share"].value == share - before
    for column in single.columns:
        for measure in (*column.measures.values(), *column.differences.values()):
            assert measure.low is None or (measure.high or 0.0) >= measure.value >= measure.low
    assert {stage for stage, _, _ in reports} == {
        "writing: before",
        "writing: after",
        "judging: after",
        "log-probabilities",
    }
    assert [report for report in reports if report[0] == "writing: after"] == [
        ("writing: after", n, 8) for n in (3, 6, 8)
    ]


def test_whether_responses_depend_on_prompts(tiny: Tiny) -> None:
    """The measures are those of relevance.py, and information is a difference of plain log-probabilities."""
    start, config = tiny(), replace(CONFIG, samples=1, examples=8)
    evaluation = evaluate(start, {"after": moved(tiny)}, PROMPTS, config, HeldOutMeasures(long))
    prompts = [prompt[-1].content for prompt in PROMPTS]
    for index, column in enumerate(evaluation.columns):
        responses = [example.responses[index] for example in evaluation.examples]
        found = retrieve(prompts, responses)
        satisfied = np.array([long(append_response(PROMPTS[0], text)) for text in responses])
        assert column.measures["retrieved"].value == pytest.approx(found.mean())
        assert column.measures["answers"].value == pytest.approx((found * satisfied).mean())
        assert column.measures["prompt_information"].value == pytest.approx(
            prompt_information(start, prompts, responses).mean(), abs=1e-5
        )
    alone = evaluate(start, {"after": moved(tiny)}, PROMPTS[:1], config, HeldOutMeasures(long))
    assert "retrieved" not in alone.columns[1].measures  # nothing to be confused with


def test_information_on_a_prompt_by_hand(tiny: Tiny) -> None:
    """log p(x_i | y_i) - log p(x_i+1 | y_i), token by token through plain transformers."""
    model = tiny()
    prompts, responses = ["the cat", "on the mat", "a dog ran"], ["the cat sat", "the mat", "it ran"]

    def log_prob(prompt: str, response: str) -> float:
        def tokenise(text: str) -> list[int]:
            return model.tokenizer(text, add_special_tokens=False)["input_ids"]

        context, question = tokenise(f"Answer: {response}\nQuestion:"), tokenise(f" {prompt}")
        with torch.no_grad():
            logits = model.model(torch.tensor([context + question])).logits[0].log_softmax(-1)
        return sum(float(logits[len(context) + i - 1, token]) for i, token in enumerate(question))

    expected = [log_prob(prompts[i], responses[i]) - log_prob(prompts[(i + 1) % 3], responses[i]) for i in range(3)]
    assert prompt_information(model, prompts, responses) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("method", ["full", "upper", "lora"])
def test_divergence_is_the_mean_of_log_ratios(tiny: Tiny, method: str) -> None:
    """Against plain softmax of plain logits, one response at a time."""
    start, after = tiny(method), moved(tiny, method=method)
    config = replace(CONFIG, sampling=SamplingConfig(10, temperature=0.7), samples=1)
    recorded: list[tuple[list[Tokens], list[Tokens]]] = []

    class Keep:
        model, kl = after, None

        def write(self, prompts: Sequence[Tokens], sampling: SamplingConfig, n: int, generator: torch.Generator):
            completions, finished = Sampler(after).write(prompts, sampling, n, generator)
            recorded.append((list(prompts), completions))
            return completions, finished

    evaluation = evaluate(start, {"after": Keep()}, PROMPTS, config, HeldOutMeasures())
    sums, token = [], []
    for prompt, completion in [pair for part in recorded for pair in zip(*part, strict=True)]:
        ratio = 0.0
        for length, target in enumerate(completion):
            ids = torch.from_numpy(np.concatenate((prompt, completion[:length])))[None]
            with torch.no_grad():
                log_prob, reference = (
                    (model.model(ids).logits[0, -1].double() / 0.7).log_softmax(0)[target].item()
                    for model in (after, start)
                )
            ratio += log_prob - reference
            token.append(exp(reference - log_prob) - 1 - (reference - log_prob))
        sums.append(ratio)
    assert evaluation.columns[1].measures["kl"].value == pytest.approx(np.mean(sums), abs=1e-3)
    assert evaluation.columns[1].measures["kl_token"].value == pytest.approx(np.mean(token), abs=1e-4)
    assert evaluation.columns[1].measures["kl"].value > 0


def test_divergence_can_be_from_what_the_policy_was_held_to(tiny: Tiny) -> None:
    """Between the first model and the policy there is one that imitated, and KL in training is from that."""
    tuned, after = moved(tiny, 0.05), moved(tiny, 0.1)
    policies = {"fine-tuned": tuned, "after": after}
    evaluation = evaluate(tiny(), policies, PROMPTS, replace(CONFIG, reference="fine-tuned"), HeldOutMeasures())
    alone = evaluate(tuned, {"after": after}, PROMPTS, CONFIG, HeldOutMeasures())
    assert evaluation.reference == "fine-tuned" and evaluation.result == "after" and alone.result == "after"
    assert evaluation.measure("after", "kl") == alone.measure("after", "kl")
    assert evaluation.measure("fine-tuned", "kl") == Estimate(0.0)
    assert evaluation.measure("before", "kl") is None  # it was held to nothing
    assert (
        replace(evaluation, columns=evaluation.columns[:2]).result == "fine-tuned"
        and replace(evaluation, columns=()).result is None
    )


def test_no_divergence_of_what_was_not_drawn_from_all(tiny: Tiny) -> None:
    for sampling in (SamplingConfig(4, temperature=0.0), SamplingConfig(4, top_p=0.9), SamplingConfig(4, top_k=5)):
        evaluation = evaluate(
            tiny(), {"after": moved(tiny)}, PROMPTS[:2], replace(CONFIG, sampling=sampling), HeldOutMeasures()
        )
        assert evaluation.measure("after", "kl") is None and evaluation.measure("after", "tokens") is not None


def test_loss_on_unrelated_text_is_in_float32(tiny: Tiny) -> None:
    """bf16 rounds the weights; what learns in it is measured as it is."""
    plain, reduced = tiny(), tiny(precision="bf16")
    assert reduced.reduced
    texts = unrelated_texts()[:2]
    windows = split_windows(plain, texts, 32)
    expected = log_probs(plain, windows, 1.0, 256)
    np.testing.assert_array_equal(expected, log_probs(reduced, windows, 1.0, 256))
    evaluation = evaluate(plain, {"after": reduced}, PROMPTS[:2], CONFIG, HeldOutMeasures(texts=texts))
    loss = evaluation.columns[0].measures["loss"]
    assert loss.value == pytest.approx(-expected.mean()) and evaluation.difference("after", "loss") == Estimate(
        0.0, 0.0, 0.0
    )
    assert evaluation.columns[0].measures["perplexity"].value == pytest.approx(exp(loss.value))
    assert evaluation.windows == len(windows)


def test_every_token_but_the_first_is_predicted_once(tiny: Tiny) -> None:
    model = tiny()
    text = unrelated_texts()[0]
    ids = model.tokenizer(text)["input_ids"]
    for length in (2, 7, 10_000):
        windows = split_windows(model, [text], length)
        assert np.concatenate([window.completions[0] for window in windows]).tolist() == ids[1:]
        assert all(len(window) <= length for window in windows)
    assert split_windows(model, ["", "a"], 8) == []  # nothing can be predicted


def test_what_a_text_spells_out_is_text(tiny: Tiny) -> None:
    model = tiny()
    spelled = "<|end|>"
    assert model.tokenizer(spelled)["input_ids"] == [model.tokenizer.eos_token_id]
    (window,) = split_windows(model, [f"the cat {spelled} sat"], 99)
    ids = [*window.prompt, *window.completions[0]]
    assert model.tokenizer.eos_token_id not in ids
    assert model.tokenizer.decode(ids) == f"the cat {spelled} sat"


def test_log_probs_do_not_depend_on_how_they_are_batched(tiny: Tiny) -> None:
    rng = np.random.default_rng(0)
    trees = [
        Tree(rng.integers(5, 90, n), tuple(rng.integers(5, 90, k) for k in (n, 3, 9 - n))) for n in (1, 5, 3, 8, 2)
    ]
    model = tiny("upper")
    np.testing.assert_allclose(log_probs(model, trees, 0.7, 10_000), log_probs(model, trees, 0.7, 8), atol=1e-5)


def dialogues(*responses: str) -> list[Dialogue]:
    return [append_response(PROMPTS[0], response) for response in responses]


def test_win_rate_with_ties_by_hand() -> None:
    responses, opponents = dialogues("long one", "b", "same", "cc", "dd"), dialogues("short", "bbb", "same", "xx", "y")
    wins = count_wins(longer, responses, opponents)
    assert wins.outcomes.tolist() == [1.0, 0.0, 0.5, 0.5, 1.0] and wins.outcomes.mean() == 0.6
    assert (wins.judging.pairs, wins.judging.undecided, wins.judging.flipped) == (5, 0, 0.0)
    assert wins.judging.name == "longer"


def test_a_judge_that_likes_what_comes_first_is_worth_a_half() -> None:
    responses, opponents = dialogues("a", "b", "same"), dialogues("c", "d", "same")
    averaged = count_wins(First(), responses, opponents)
    assert averaged.outcomes.tolist() == [0.5, 0.5, 0.5] and averaged.judging.flipped == 1.0
    in_one_order = count_wins(First(), responses, opponents, both_orders=False)
    assert in_one_order.outcomes.tolist() == [1.0, 1.0, 0.5] and in_one_order.judging.flipped is None


def test_what_a_judge_cannot_tell_is_counted_and_left_out(tiny: Tiny) -> None:
    def unsure(first: Dialogue, second: Dialogue) -> float | None:
        return None if first.prompt == PROMPTS[0] else 1.0 if len(first.response or "") > 3 else 0.75

    wins = count_wins(
        unsure,
        [*dialogues("a"), append_response(PROMPTS[1], "x")],
        [*dialogues("b"), append_response(PROMPTS[1], "yyyy")],
    )
    # won in one order and lost in the other, however clearly
    assert np.isnan(wins.outcomes[0]) and wins.outcomes[1] == 0.5
    assert (wins.judging.pairs, wins.judging.undecided) == (1, 1)
    evaluation = evaluate(
        tiny(), {"after": moved(tiny)}, PROMPTS, CONFIG, HeldOutMeasures(judge=lambda first, second: None)
    )
    assert evaluation.measure("after", "win_rate") is None and evaluation.judges["after"].undecided > 0


def test_certain_shares_have_an_interval_all_the_same(tiny: Tiny) -> None:
    """Resampling eight prompts that all fail gives no width; eight prompts are not proof of never."""
    texts: list[str] = []

    def after_only(dialogue: Dialogue) -> bool:
        texts.append(dialogue.response or "")
        return len(texts) > len(PROMPTS)  # the start writes first

    config = replace(CONFIG, samples=1)
    evaluation = evaluate(tiny(), {"after": moved(tiny)}, PROMPTS, config, HeldOutMeasures(after_only))
    before, after = evaluation.columns[0].measures["share"], evaluation.columns[1].measures["share"]
    assert before.value == 0 and before.high == pytest.approx(0.3244, abs=1e-3)  # Wilson, 0 of 8
    assert after.value == 1 and after.low == pytest.approx(1 - 0.3244, abs=1e-3)
    difference = evaluation.columns[1].differences["share"]
    assert difference.value == 1 and difference.low == pytest.approx(1 - np.sqrt(2) * 0.3244, abs=1e-3)


def test_one_prompt_has_no_interval(tiny: Tiny) -> None:
    evaluation = evaluate(tiny(), {"after": moved(tiny)}, PROMPTS[:1], CONFIG, HeldOutMeasures())
    tokens = evaluation.columns[1].measures["tokens"]
    assert tokens.low is None and tokens.high is None
    assert evaluation.columns[1].differences["tokens"].low is None


def test_a_saved_evaluation_is_the_same(tiny: Tiny, tmp_path: Path) -> None:
    held_out = HeldOutMeasures(long, judge=longer, texts=unrelated_texts()[:1])
    evaluation = evaluate(tiny(), {"after": moved(tiny), "other": moved(tiny, 0.1)}, PROMPTS, CONFIG, held_out)
    path = tmp_path / "evaluation.json"
    evaluation.save(path)
    assert Evaluation.load(path) == evaluation and [column.name for column in evaluation.columns] == [
        "before",
        "after",
        "other",
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["evaluation.json"]
    stored = json.loads(path.read_text())
    assert stored["settings"]["rule"] == "long"
    fields = ["prompt", "responses", "ended", "satisfied", "wins"]
    assert list(stored)[-1] == "shown" and list(stored["shown"][0]) == fields
    assert evaluation.measure("nobody", "kl") is None and evaluation.measure(9, "kl") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON"), ("[]", "evaluation by another version"), ('{"format": 1}', "is incomplete")],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(text)
    with pytest.raises(PlauditError, match=message):
        Evaluation.load(path)
    with pytest.raises(PlauditError, match="evaluate the run first"):
        Evaluation.load(tmp_path / "none.json")
    with pytest.raises(PlauditError, match=r"cannot write .*gone"):
        Evaluation((Column("before", {}),), 1, 1).save(tmp_path / "gone" / "evaluation.json")


def test_what_cannot_be_evaluated_is_said(tiny: Tiny) -> None:
    with pytest.raises(PlauditError, match="held-out prompt"):
        evaluate(tiny(), {}, [], CONFIG, HeldOutMeasures())
    with pytest.raises(PlauditError, match="'before'"):
        evaluate(tiny(), {"before": tiny()}, PROMPTS, CONFIG, HeldOutMeasures())
    with pytest.raises(PlauditError, match="'sft', which is not one of the evaluated models"):
        evaluate(tiny(), {}, PROMPTS, replace(CONFIG, reference="sft"), HeldOutMeasures())
    with pytest.raises(PlauditError, match="window above 1"):
        EvaluateConfig(window=1)


def test_the_unrelated_texts_are_whole() -> None:
    texts = unrelated_texts()
    assert len(texts) == 10 and 1500 < sum(len(words(text)) for text in texts) < 1800
    assert all(len(words(text)) > 120 for text in texts)


def test_a_model_that_knows_nothing_loses_the_logarithm_of_its_vocabulary(tiny: Tiny) -> None:
    model = tiny()
    with torch.no_grad():
        model.output.zero_()  # tied: every state is 0, every token as likely
    expected: Array = log_probs(model, split_windows(model, unrelated_texts()[:1], 64), 1.0)
    np.testing.assert_allclose(expected, -log(len(model.output)), rtol=1e-6)
