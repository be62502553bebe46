"""`plaudit chat` and `plaudit score` on a finished run."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import pytest

from plaudit import load_reward
from plaudit.cli import main
from plaudit.language.fast.decode import sample
from plaudit.language.sampling import SamplingConfig
from plaudit.language.speaker import Reply, Speaker
from plaudit.run.language.config import ChatRun
from plaudit.types import Message, PlauditError, printable


def respond(speaker: Speaker, *conversation: Message, opening: int = 0) -> Reply:
    return speaker.respond(conversation, SamplingConfig(6, 0.0), speaker.generator(0), opening)


def test_lines_are_answered_and_new_forgets(
    finished: ChatRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n\nHello\n/new\nHello\n/quit\nHello\n"))
    assert main(["chat", str(finished.folder), "--temperature", "0", "--tokens", "6"]) == 0
    output = capsys.readouterr()
    speaker = Speaker(str(finished.policy), "cpu")
    first = respond(speaker, Message("user", "Hello")).text
    second = respond(speaker, Message("user", "Hello"), Message("assistant", first), Message("user", "Hello")).text
    assert output.out == "".join(f"{printable(text)}\n" for text in (first, second, first))
    assert "a new conversation" in output.err
    assert printable("one\n\ttwo \x1b[2J\x07\u202e") == "one\n\ttwo [2J"


def test_a_full_window_loses_the_oldest_turns_and_keeps_the_system(finished: ChatRun) -> None:
    speaker = Speaker(str(finished.policy), "cpu")
    system = Message("system", "Be brief.")
    window = speaker.window
    turns = [Message("user", "x" * (window // 4)), Message("assistant", "Yes")] * 6
    reply = respond(speaker, system, *turns, Message("user", "Hello"), opening=1)
    assert reply.omitted > 0 and reply.omitted % 2 == 0
    shorter = respond(speaker, system, *turns[reply.omitted :], Message("user", "Hello"), opening=1)
    assert (shorter.text, shorter.omitted) == (reply.text, 0)
    with pytest.raises(PlauditError, match=f"room for {window - 6}: shorten it"):
        respond(speaker, Message("user", "x" * 2 * window))


def test_responses_that_are_written_by_turns_are_those_of_the_batch(finished: ChatRun) -> None:
    """Two responses of one model, a token each by turns: neither sees the other, and the pieces join to the whole."""
    speaker = Speaker(str(finished.policy), "cpu")
    conversations = [[Message("user", text)] for text in ("Hello", "What is this?")]
    sampling = SamplingConfig(12, 1.0)
    streams = [
        speaker.write(conversation, sampling, speaker.generator(seed))
        for seed, conversation in enumerate(conversations)
    ]
    turns = list(itertools.zip_longest(*streams))
    values = [[value for value in column if value is not None] for column in zip(*turns, strict=True)]
    for seed, (conversation, (*pieces, reply)) in enumerate(zip(conversations, values, strict=True)):
        assert isinstance(reply, Reply)
        prompt = speaker._chat.prompt(conversation)
        sampled = sample(speaker._model, [prompt], sampling, speaker.generator(seed))
        assert reply.text == speaker._chat.text(sampled.completions()[0])
        assert (reply.tokens, reply.is_complete) == (sampled.mask.sum(), sampled.finished[0])
        assert len(pieces) == reply.tokens and reply.text.startswith("".join(map(str, pieces)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chat", "{run}", "--temperature", "-1"], "temperature >= 0"),
        (["chat", "{base}", "--port", "8800"], "--port needs --browser"),
        (["chat", "{base}", "--before"], "--before needs a run of plaudit train chat"),
        (["score", "{run}", "{missing}"], "missing.jsonl cannot be read"),
        (["score", "{missing}", "{rows}"], "there is no folder"),
    ],
)
def test_faults(
    arguments: list[str],
    words: str,
    finished_folder: Path,
    base: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    names = {"run": finished_folder, "base": base} | {name: tmp_path / f"{name}.jsonl" for name in ("missing", "rows")}
    assert main([argument.format(**names) for argument in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_run_without_a_policy_says_so(
    finished: ChatRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finished.policy.rename(finished.folder / "elsewhere")
    assert main(["chat", str(finished.folder)]) == 2
    assert f"has no policy/ yet: finish it with plaudit resume {finished.folder}" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n"))
    assert main(["chat", str(finished.folder), "--before", "--tokens", "4"]) == 0


ROWS = [
    {"prompt": "Hello", "response": "Yes", "id": 7},
    {"prompt": [{"role": "user", "content": "Hello"}], "completion": [{"role": "assistant", "content": "Yes"}]},
    {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes"}]},
    {"prompt": "Hello", "chosen": "Yes", "rejected": "No, never"},
    {
        "prompt": "Hello",
        "chosen": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes"}],
        "rejected": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "No, never"}],
    },
]


def test_every_layout_of_a_row_gets_the_rewards_of_the_model(
    finished: ChatRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "rows.jsonl", tmp_path / "scores.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    assert main(["score", str(finished.folder), str(file), "--out", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    yes, no = load_reward(finished.folder).score(["Hello"] * 2, ["Yes", "No, never"]).tolist()
    assert [row["reward"] for row in rows[:3]] == pytest.approx([yes] * 3, abs=1e-5)
    assert [row["reward_chosen"] for row in rows[3:]] == pytest.approx([yes] * 2, abs=1e-5)
    assert [row["reward_rejected"] for row in rows[3:]] == pytest.approx([no] * 2, abs=1e-5)
    assert [{name: row[name] for name in original} for row, original in zip(rows, ROWS, strict=True)] == ROWS
    share = "100.0 %" if yes > no else "0.0 %"
    assert f"the chosen response has the higher reward in {share} of 2 pairs (95 % interval" in capsys.readouterr().err


def test_a_row_without_a_response_is_named(
    finished_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.jsonl"
    for row, words in (
        ({"prompt": "Hello"}, "line 2: there is no response: name it response, completion, chosen, rejected or mess"),
        ({"response": "Yes"}, "line 2, response: the row has no prompt"),
        ({"prompt": "Hello", "response": []}, "line 2, response: a response is a text or a list of messages"),
        ({"prompt": "Bye", "chosen": ROWS[4]["chosen"]}, "line 2, chosen: the messages before the response differ"),
        (5, "line 2: a row must be an object with a prompt and a response"),
    ):
        file.write_text(json.dumps(ROWS[0]) + "\n" + json.dumps(row) + "\n", encoding="utf-8")
        assert main(["score", str(finished_folder), str(file)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"rows.jsonl, {words}" in line


HH = "\n\nHuman: Hello\n\nAssistant: {}"


def test_other_columns_and_other_formats_are_scored(
    finished: ChatRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row of any format has a reward for each of its responses, the better of two first."""
    yes, no = load_reward(finished.folder).score(["Hello"] * 2, ["Yes", "No, never"]).tolist()
    talk = [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Yes"}]
    ranked = [{"answer": "No, never", "rank": 2}, {"answer": "Yes", "rank": 1}]
    file, out = tmp_path / "rows.jsonl", tmp_path / "scores.jsonl"
    for row, options, rewards in (
        ({"q": "Hello", "a": ["Yes"]}, ["--columns", "prompt=q", "response=a[0]"], {"reward": yes}),
        ({"conversations": talk}, [], {"reward": yes}),
        (
            {"prompt": "Hello", "response_a": "No, never", "response_b": "Yes", "winner": "B"},
            [],
            {"reward_chosen": yes, "reward_rejected": no},
        ),
        ({"question": "Hello", "answer": "No, never"}, ["--format", "prompt-completion"], {"reward": no}),
        ({"Question": "Hello", "Answer": "Yes"}, [], {"reward": yes}),
        ({"Prompt": "Hello", "Model Response": "Yes"}, [], {"reward": yes}),
        ({"User Prompt": "Hello", "response": "No, never"}, [], {"reward": no}),
        (
            {"Prompt": "Hello", "chosen": "Yes", "Rejected": "No, never"},
            [],
            {"reward_chosen": yes, "reward_rejected": no},
        ),
        (
            {"chosen": HH.format("Yes"), "rejected": HH.format("No, never")},
            [],
            {"reward_chosen": yes, "reward_rejected": no},
        ),
        ({"prompt": "\n\nHuman: Hello\n\nAssistant: ", "answers": ranked}, [], {"rewards": [no, yes]}),
    ):
        file.write_text(json.dumps(row) + "\n")
        assert main(["score", str(finished.folder), str(file), "--out", str(out), *options]) == 0
        scored = json.loads(out.read_text())
        assert {name for name in scored if name.startswith("reward")} == set(rewards)
        for name, value in rewards.items():
            assert scored[name] == pytest.approx(value, abs=1e-5)
    capsys.readouterr()
    for row, options, words in (
        ({"p": "Hello", "x": "Yes"}, [], "belong to no known format: name those that matter, such as --columns"),
        ({"text": "Hello"}, ["--format", "messages"], "line 1: field 'messages' is missing"),
        ({"text": "Hello"}, ["--format", "message"], "there is no format called 'message'"),
    ):
        file.write_text(json.dumps(row) + "\n")
        assert main(["score", str(finished.folder), str(file), *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
