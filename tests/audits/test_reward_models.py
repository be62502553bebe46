"""Measures of reward models of texts: a published classifier's folder from end to end, and planted scores."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from plaudit.audits.audit import run_audit
from plaudit.audits.finding import Finding, Null
from plaudit.audits.language import (
    bag_of_words,
    constants,
    degradation,
    refusals,
    suffixes,
    swapped_prompts,
    sycophancy,
)
from plaudit.audits.language._pairs import NO_DATA, TextPair
from plaudit.audits.subject import AuditConfig, open_subject
from plaudit.types import Array, Message, PlauditError

from ..language.conftest import tiny, tokenizer

__all__ = ["tiny", "tokenizer"]
ROWS = 40


def write_pairs(path: Path) -> Path:
    rng = np.random.default_rng(0)
    words = [f"w{index}" for index in range(9)]
    rows = [
        {"prompt": f"ask {index}", "chosen": " ".join(rng.choice(words, 3)), "rejected": " ".join(rng.choice(words, 4))}
        for index in range(ROWS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_styles(path: Path) -> Path:
    texts = {
        "chosen": ["yes" + "." * dots for dots in (0, 9, 18)],
        "rejected": ["no" + "." * dots for dots in (0, 9, 18)],
    }
    rows = [
        {"prompt": f"ask {i}", "subset": s, **texts}
        for s in ("should-respond", "refusals-x", "math")
        for i in range(10)
    ]
    path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    return path


def test_any_sequence_classifier_is_audited(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=256,
        pad_token_id=1,
        eos_token_id=0,
        bos_token_id=None,
    )
    config.num_labels = 1
    LlamaForSequenceClassification(config).save_pretrained(tmp_path / "rm")
    tokenizer.save_pretrained(tmp_path / "rm")
    settings = AuditConfig(
        data=(write_pairs(tmp_path / "pairs.jsonl"),), style_pairs=(write_styles(tmp_path / "styles.json.gz"),)
    )
    with open_subject(tmp_path / "rm", settings) as subject:
        rows = {row.name: row for row in run_audit(subject).findings}
    for name in ("constants", "constants-edits", "refusals-answer", "refusals-refuse", "refusals-style"):
        assert rows[name].verdict != "not measurable", rows[name].meaning
    assert set(rows["constants"].details) == set(constants.CONSTANTS)
    assert "100" in rows["bag-of-words"].meaning  # pairs that a model of words needs
    with open_subject(tmp_path / "rm", AuditConfig()) as subject:
        bare = {row.name: row for row in run_audit(subject).findings}
    assert bare["constants"].meaning == NO_DATA and "--style-pairs" in bare["refusals"].meaning


class Subject:
    """Pairs whose better response is said by a word in it, and a reward that a test chooses."""

    def __init__(self, reward: Any, pairs: list[TextPair], styles: tuple[Path, ...] = ()) -> None:
        self.reward_of, self.pairs = reward, pairs
        self.config = SimpleNamespace(seed=0, data=(), style_pairs=styles)

    def share(self, name: str, compute: Any) -> Any:
        return (self.pairs, "test") if name == "text pairs" else compute()

    def report_progress(self, line: str) -> None:
        pass

    def score(self, prompts: Any, responses: list[str]) -> Array:
        return np.array([self.reward_of(p[-1]["content"], r) for p, r in zip(prompts, responses, strict=True)])


def make_pairs(count: int = 120) -> list[TextPair]:
    """The better response repeats the prompt's number; half of the better ones are the shorter ones."""
    return [
        TextPair((Message("user", f"say {i}"),), f"it is {i}" + " indeed" * (i % 2), f"it is {i + 1}, yes")
        for i in range(count)
    ]


def measure(module: Any, reward: Any, pairs: list[TextPair] | None = None, **settings: Any) -> dict[str, Finding]:
    rows = module.MEASURE.measure(Subject(reward, make_pairs() if pairs is None else pairs, **settings))
    return {row.name: row for row in rows}


def reads_prompt(prompt: str, response: str) -> float:
    return float(response.split()[:3] == ["it", "is", prompt.split()[1]])


def likes_long(prompt: str, response: str) -> float:
    return float(len(response))


def test_constants_and_edits_beat_what_they_beat() -> None:
    honest = measure(constants, reads_prompt)
    assert honest["constants"].value == 0 and honest["constants"].verdict == "pass"
    assert honest["constants-edits"].verdict == "pass"
    refuses = measure(constants, lambda prompt, response: float("sorry" in response))["constants"]
    assert refuses.value == 1 and refuses.verdict == "fail" and "sorry" in refuses.meaning
    longer = measure(constants, likes_long)["constants-edits"]
    assert (
        longer.verdict == "warn"
        and longer.details["the response in capitals"] == 0
        and longer.details["the response twice"] == 1
    )
    assert constants.MEASURE.cure(None, refuses) != constants.MEASURE.cure(None, longer)  # type: ignore[arg-type]


def test_swapped_prompts_cost_only_those_who_read_them() -> None:
    reads = measure(swapped_prompts, reads_prompt)["swapped-prompts"]
    assert reads.verdict == "pass" and reads.value is not None and reads.value >= 0.5
    # in every other pair the better response is the longer one; a prompt changes nothing
    style = measure(swapped_prompts, lambda prompt, response: float("yes" not in response))["swapped-prompts"]
    assert (style.verdict, style.value) == ("warn", 0)
    coin = measure(swapped_prompts, lambda prompt, response: 0.0)["swapped-prompts"]
    assert coin.verdict == "not measurable" and "coin" in coin.meaning


def test_words_and_length_stand_beside_the_model() -> None:
    rows = measure(bag_of_words, lambda prompt, response: float("yes" not in response))
    assert rows["bag-of-words"].value == 0 and rows["bag-of-words"].verdict == "warn"  # the words know it, too
    long = measure(bag_of_words, likes_long)["bag-of-words-length"]
    assert long.verdict == "fail" and long.value == 1 and long.details["shorter"] == 0
    assert bag_of_words.length_gap(np.ones(4), np.array([1, 1, 0, 0], bool), np.array([0, 0, 1, 1], bool))[0] == 0


def test_refusals_and_styles(tmp_path: Path) -> None:
    styles = (write_styles(tmp_path / "styles.json.gz"),)
    right = measure(refusals, lambda prompt, response: float("yes" in response), styles=styles)
    assert {row.verdict for row in right.values()} == {"pass"} and len(right) == 4
    fancy = measure(refusals, likes_long, styles=styles)
    assert fancy["refusals-style-hard"].value == 0 and fancy["refusals-style-hard"].verdict == "fail"
    assert fancy["refusals-style"].details["easy"] == 1
    wrong = measure(refusals, lambda prompt, response: float("no" in response), styles=styles)
    assert wrong["refusals-answer"].verdict == "fail" and wrong["refusals-answer"].value == 0
    cures = {refusals.MEASURE.cure(None, row).sentence for row in wrong.values()}  # type: ignore[arg-type]
    assert len(cures) == 3


@pytest.mark.parametrize(
    "text", ["[1]", "{", '[{"prompt": "a", "chosen": ["b", "d"], "rejected": "c"}]', '{"prompt": "a"}']
)
def test_a_bad_file_of_styles_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "styles.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PlauditError, match="RewardBench"):
        refusals.read_styled(path)


def test_degradation_is_paired(tmp_path: Path, tiny: Any) -> None:
    # two windows of 10 tokens that got worse by 1 and 3 nats: 0.2 nats a token, residuals -1 and 1
    rise, error = degradation.paired_rise(np.zeros(2), np.array([1.0, 3.0]), np.array([10, 10]))
    assert rise == pytest.approx(0.2) and error == pytest.approx(2**0.5 * 2**0.5 / 20)
    start, end = tiny("frozen"), tiny("frozen")
    with torch.no_grad():
        end.output.mul_(1.5)
    path = tmp_path / "canary.txt"
    path.write_text("the cat sat on the mat and said thank you, please go on. " * 150, encoding="utf-8")
    subject: Any = SimpleNamespace(
        kind="chat",
        config=SimpleNamespace(seed=0, text=(path,)),
        start=start,
        policy=start,
        report_progress=lambda line: None,
    )
    assert degradation.MEASURE.measurable(subject) is None
    (same,) = degradation.MEASURE.measure(subject)
    assert (same.value, same.verdict) == (0, "pass")
    subject.policy = end
    (worse,) = degradation.MEASURE.measure(subject)
    assert worse.verdict == "fail" and worse.value == pytest.approx(worse.details["end"] - worse.details["start"])
    assert "ptx" in degradation.MEASURE.cure(subject, worse).setting
    path.write_text("short", encoding="utf-8")
    assert degradation.MEASURE.measure(subject)[0].verdict == "not measurable"
    subject.config.text = ()
    assert "--text" in str(degradation.MEASURE.measurable(subject))


def test_a_reward_that_agrees_with_the_user():
    """It knows all answers, and gives them up when the user is sure of another."""
    right = {f"It is {answer}." for _, answer, _ in sycophancy.QUESTIONS}

    def truthful(prompt: str, response: str) -> float:
        question = next(row for row in sycophancy.QUESTIONS if row[0] in prompt and row[1] in prompt)
        return float(response == f"It is {question[1]}.")

    def agreeing(prompt: str, response: str) -> float:
        return 2.0 * ("sure" in prompt and prompt.endswith(response[3:])) + truthful(prompt, response)

    def first_named(prompt: str, response: str) -> float:
        """Knows the answers by a little, and of every third question likes the answer that is named last."""
        last = prompt.rstrip("?").endswith(response[6:-1])
        return truthful(prompt, response) + 2.0 * (len(prompt) % 3 == 0 and last)

    assert len(right) >= 30
    rows = measure(sycophancy, truthful)
    assert rows["sycophancy"].verdict == rows["sycophancy-order"].verdict == "pass"
    assert rows["sycophancy"].value == rows["sycophancy-order"].value == 0
    rows = measure(sycophancy, agreeing)
    assert (rows["sycophancy"].value, rows["sycophancy"].verdict) == (1, "warn")
    assert rows["sycophancy"].null == Null("the user is sure of the right answer", 0)
    assert rows["sycophancy-order"].value == 0
    order = measure(sycophancy, first_named)["sycophancy-order"]
    assert order.value is not None and 0.2 < order.value < 0.5
    ignorant = measure(sycophancy, lambda prompt, response: float(len(response)))
    assert ignorant["sycophancy"].verdict == "not measurable" and "does not know" in ignorant["sycophancy"].meaning


def test_a_search_for_an_ending_beside_random_ones():
    """A reward that counts one word is climbed until all words of the ending are that word."""

    def likes(prompt: str, response: str) -> float:
        return float(sum(word == "indeed" for word in response.split()) + 0.1 * len(prompt) % 1)

    pairs = [
        TextPair((Message("user", f"say {i}"),), f"it is surely {i} indeed", f"it is not {i + 1}, yes or no")
        for i in range(30)
    ]
    row = measure(suffixes, likes, pairs)["suffixes"]
    assert row.details["endings"][0] == "indeed indeed indeed indeed indeed indeed"
    assert row.verdict == "warn" and row.null is not None and row.null.value > 0
    blind = measure(suffixes, lambda prompt, response: float(len(prompt)), pairs)["suffixes"]
    assert (blind.value, blind.verdict) == (0, "pass")
    shallow: Any = SimpleNamespace(config=SimpleNamespace(deep=False))
    assert "--deep" in (suffixes.MEASURE.measurable(shallow) or "")
    with pytest.raises(PlauditError, match="larger file"):
        measure(suffixes, likes, make_pairs(2))
