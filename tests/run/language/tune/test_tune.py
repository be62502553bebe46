"""`plaudit tune`: each method from its files to a model that others load, and on from where it was stopped."""

from __future__ import annotations

import dataclasses
import datetime
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.language.conftest import TEMPLATE
from tests.run.language.tune.conftest import COUNT, assistant, lines, pair, user
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from plaudit.cli import main
from plaudit.feedback.formats.incoming import import_file
from plaudit.feedback.store import Store
from plaudit.language import template as templates
from plaudit.language.demonstrations import read_demonstrations
from plaudit.language.dpo import LogRatios
from plaudit.language.models import ModelConfig, load
from plaudit.language.reward import TextReward
from plaudit.language.rows import Tree
from plaudit.language.template import TemplateConfig
from plaudit.language.text import Chat
from plaudit.run.language.tune import measures
from plaudit.run.language.tune.data import split_trees
from plaudit.run.language.tune.dpo import ImplicitReward
from plaudit.run.language.tune.methods import METHODS
from plaudit.run.language.tune.session import Tuning
from plaudit.run.language.tune.sft import SftConfig, sft
from plaudit.types import Message, PlauditError

commands = importlib.import_module("plaudit.cli.tune")  # the package has a function of that name


@pytest.fixture
def given(messages: Path, pairs: Path, marks: Path, prompts: Path, context: Path) -> dict[str, list[str]]:
    """Each method's own arguments."""
    few = ["--context", str(context), "--tokens", "6", "--epochs", "4"]
    return {
        "sft": [str(messages)],
        "reward": [str(pairs), "--epochs", "3", "--held-out", "0.3"],
        "spans": [str(marks), "--spans.categories", "Irrelevant", "--epochs", "6", "--held-out", "0.3"],
        "dpo": [str(pairs), "--beta", "0.5", "--held-out", "0.3"],
        "distill": [str(prompts), *few],
    }


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def rows(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in found]


def plain(folder: Path) -> dict[str, torch.Tensor]:
    """The weights, as plain transformers loads them without a complaint."""
    scored = json.loads((folder / "config.json").read_text())["architectures"] == ["LlamaForSequenceClassification"]
    assert scored == (json.loads((folder.parent / "config.json").read_text())["kind"] == "reward")
    auto: Any = AutoModelForSequenceClassification if scored else AutoModelForCausalLM
    model, info = auto.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    assert AutoTokenizer.from_pretrained(folder).chat_template
    return model.state_dict()


@pytest.mark.parametrize("method", list(METHODS))
def test_a_method_from_its_file_to_a_model(
    method: str, given: dict[str, list[str]], options: list[str], base: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "run"
    command = ["tune", method, *given[method], *options, "--out", str(out)]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 1 and f"; model: {out / 'model'}" in printed.out
    assert "held out" in printed.err and "fitting" in printed.err
    first, last = load_file(base / "model.safetensors"), plain(out / "model")
    moved = {name for name, value in first.items() if not torch.equal(value, last[name])}
    assert moved and all("layers.1." in name or name == "model.norm.weight" for name in moved)
    assert json.loads((out / "config.json").read_text())["kind"] == method
    data = json.loads((out / "data.json").read_text())
    assert data["to_fit"] + data["to_measure"] == data["used"] == (2 * COUNT if method == "sft" else COUNT)
    assert data["cut"] == data["surplus"] == 0 and data["refused"] == [] and data["to_measure"] > 0
    card = (out / "model" / "README.md").read_text("utf-8")
    assert f"- Method: {method}\n" in card and result(out)["line"] in card and card.count("SHA-256") == 1
    assert str(base.parent) not in card  # a card is published, and names no folder of this machine
    assert method == "distill" or "- In force: " in card
    found = rows(out)
    assert [row["step"] for row in found] == list(range(1, len(found) + 1))
    assert found[-1]["loss"] < found[0]["loss"] and not list((out / "checkpoints").iterdir())
    if method in ("sft", "distill"):
        assert result(out)["after"] < result(out)["before"]
    elif method == "spans":
        assert result(out)["accuracy"] == 1.0 > result(out)["constant"] > 0.5
        assert result(out)["passages"] == 2 * data["to_measure"] and "right 100.0 % of the time" in printed.out
    else:
        accuracy = result(out)["accuracy"]
        assert accuracy["value"] == 1.0 and accuracy["low"] < 1.0 and result(out)["judgements"] == data["to_measure"]
        assert result(out)["length_rule"] == "longer" and result(out)["length_accuracy"]["value"] == 1.0
        assert "100.0 % [" in printed.out and "of the longer response" in printed.out

    assert main(command) == 0 and capsys.readouterr().out == printed.out  # there is nothing left to do
    assert main(["resume", str(out)]) == 0 and capsys.readouterr().out == printed.out
    assert rows(out) == found


@pytest.mark.parametrize("method", list(METHODS))
def test_a_stopped_run_ends_bit_for_bit_as_one_that_was_not(
    method: str,
    given: dict[str, list[str]],
    options: list[str],
    tmp_path: Path,
    capsys: Any,
    monkeypatch: Any,
    recorder: list[Any],
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "a broken one"
    command = ["tune", method, *given[method], *options, "--steps", "6", "--out"]
    assert main([*command, str(whole)]) == 0
    stop = 2

    class Stopped(Tuning):
        """Ctrl-C is pressed while a step is told of."""

        def steps(self) -> Iterator[dict[str, Any]]:
            for row in super().steps():
                if row["step"] == stop:
                    os.kill(os.getpid(), signal.SIGINT)
                yield row

    monkeypatch.setattr(commands, "Tuning", Stopped)
    capsys.readouterr()
    assert main([*command, str(broken), "--track", "recorder"]) == 130
    assert f"stopped; continue with: plaudit resume '{broken}'" in capsys.readouterr().err
    assert [row["step"] for row in rows(broken)] == [1, 2]
    stop = 5
    assert main([*command, str(broken)]) == 130  # by the same command
    stop = 0
    assert main(["resume", str(broken)]) == 0
    assert [entry.step for entry in recorder] == [1, 2, 3, 4, 5, 6]  # the tracker is remembered
    assert rows(broken) == rows(whole) and result(broken) == result(whole)
    for name in ("model.safetensors", *(["heads.safetensors"] if method in ("reward", "spans") else [])):
        assert (broken / "model" / name).read_bytes() == (whole / "model" / name).read_bytes()


def test_what_was_written_is_not_written_again(
    given: dict[str, list[str]], options: list[str], tmp_path: Path, monkeypatch: Any
) -> None:
    command = ["tune", "distill", *given["distill"], *options, "--steps", "1", "--out"]
    assert main([*command, str(tmp_path / "whole")]) == 0
    main([*command, str(tmp_path / "broken")])
    path = tmp_path / "broken" / "written.jsonl"
    first, _ = path.read_text().splitlines()
    for name in ("model", "checkpoints"):
        (tmp_path / "broken" / name).rename(tmp_path / name)
    changed = json.loads(first)
    changed["responses"][0] = [[0]]
    path.write_text(json.dumps(changed) + "\n" + '{"round": 1, "resp')  # torn by a kill
    (tmp_path / "broken" / "checkpoints").mkdir()
    assert main([*command, str(tmp_path / "broken")]) == 0
    again = path.read_text().splitlines()
    assert json.loads(again[0]) == changed
    assert again[1] == (tmp_path / "whole" / "written.jsonl").read_text().splitlines()[1]


def test_a_reward_model_goes_on_from_another(
    pairs: Path, options: list[str], base: Path, tmp_path: Path, capsys: Any
) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    ensemble = ["--heads.members", "2"]
    assert main(["tune", "reward", str(pairs), *options, *ensemble, "--out", str(first)]) == 0
    options = [each if each != str(base) else "smollm2" for each in options]  # the folder names the model
    more = ["--reward-model", str(first / "model"), "--steps", "1", "--learning-rate", "1e-9"]
    assert main(["tune", "reward", str(pairs), *options, *more, "--out", str(second)]) == 0
    one, other = (TextReward.load(folder / "model", ModelConfig(precision="fp32")) for folder in (first, second))
    assert one.config.members == other.config.members == 2
    tree = Chat(one.model).tree([Message("user", "say 3")], ["thank you", "no"])
    assert np.allclose(one.score([tree]), other.score([tree]), atol=1e-4)
    assert np.isclose(float(one.mean.mean()), float(other.mean.mean()), atol=1e-3)
    fresh = [*more, "--heads.members", "3", "--out", str(third)]
    assert main(["tune", "reward", str(pairs), *options, *fresh]) == 0
    assert TextReward.load(third / "model").config.members == 3


def test_a_reward_model_is_kept_calibrated(
    pairs: Path, options: list[str], tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setattr(measures, "ENOUGH_FOR_TEMPERATURE", 3)
    folders = tmp_path / "first", tmp_path / "second"
    command = ["tune", "reward", str(pairs), *options, "--held-out", "0.4"]
    assert main([*command, "--steps", "3", "--out", str(folders[0])]) == 0
    more = ["--reward-model", str(folders[0] / "model"), "--steps", "1", "--learning-rate", "1e-9"]
    assert main([*command, *more, "--out", str(folders[1])]) == 0
    one, other = map(result, folders)
    assert f"calibrated at a temperature of {one['temperature']:.2f}" in capsys.readouterr().out
    assert one["temperature"] != pytest.approx(1.0, abs=0.05) and one["calibrated"]["log_loss"] > 0
    # what was kept is what was measured, divided: nothing is left to be mended
    assert other["temperature"] == pytest.approx(1.0, abs=0.01) and other["accuracy"] == one["accuracy"]


def test_files_and_stores_are_read_together(
    pairs: Path, messages: Path, options: list[str], tmp_path: Path, capsys: Any
) -> None:
    store = tmp_path / "feedback.sqlite"
    more = lines(tmp_path / "more.jsonl", [pair(number) for number in range(100, 110)])
    with Store.open(store) as opened_store:
        import_file(opened_store, more)
    again = lines(tmp_path / "again.jsonl", [{**pair(0), "chosen": pair(0)["rejected"], "rejected": pair(0)["chosen"]}])
    out = tmp_path / "run"
    command = ["tune", "reward", str(pairs), str(store), str(messages), str(again), *options, "--steps", "1"]
    assert main([*command, "--out", str(out)]) == 0
    data = json.loads((out / "data.json").read_text())
    assert data["used"] == COUNT + 11 and data["other_kinds"] == 2 * COUNT and data["surplus"] == 0
    assert "51 used" in capsys.readouterr().err  # a row that contradicts another is a judgement of its own
    out = tmp_path / "imitated"
    assert main(["tune", "sft", str(pairs), "--chosen", *options, "--steps", "1", "--out", str(out)]) == 0
    assert json.loads((out / "data.json").read_text())["used"] == COUNT


def test_held_out_prompts_are_fitted_by_nothing(
    pairs: Path, options: list[str], tmp_path: Path, monkeypatch: Any
) -> None:
    """What stands in the held-out judgements changes no weight."""
    seen: list[Tuning] = []
    whole, changed = tmp_path / "whole", tmp_path / "changed"

    class Seen(Tuning):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            seen.append(self)

    monkeypatch.setattr(commands, "Tuning", Seen)
    command = ["tune", "dpo", str(pairs), *options, "--held-out", "0.3", "--out"]
    assert main([*command, str(whole)]) == 0
    fit, out = ([each.tree.prompt.tobytes() for each in side] for side in (seen[0].sides.train, seen[0].sides.held_out))
    assert fit and out and not set(fit) & set(out)
    chat = Chat(seen[0].tuner.model)
    tokens = {n: chat.prompt([Message("user", f"say {n}")]).tobytes() for n in range(COUNT)}
    wrong = {n: {**pair(n), "chosen": pair(n)["rejected"], "rejected": pair(n)["chosen"]} for n in range(COUNT)}
    lines(pairs, [wrong[n] if tokens[n] in out else pair(n) for n in range(COUNT)])
    assert main([*command, str(changed)]) == 0
    one, other = ((each / "model" / "model.safetensors").read_bytes() for each in (whole, changed))
    assert one == other and result(whole)["accuracy"]["value"] == 1 - result(changed)["accuracy"]["value"]


@pytest.mark.parametrize("length", [12, 256])
def test_turns_of_one_conversation_stand_on_one_side(messages: Path, base: Path, tmp_path: Path, length: int) -> None:
    """However much is cut: a later turn loses what the conversation opens with."""
    with Store.open(tmp_path / "feedback.sqlite") as store:
        import_file(store, messages)
        trees, counts = read_demonstrations(store, Chat(load(ModelConfig(str(base)))), length)
    assert counts.cut > COUNT if length == 12 else counts.cut == 0
    sides = split_trees(trees, 0.3, seed=0)
    fit, out = sides.train, sides.held_out
    assert len(fit) + len(out) == 2 * COUNT and 10 < len(out) < COUNT
    names = [sorted(each.name for each in side) for side in (fit, out)]
    assert all(side[::2] == side[1::2] for side in names) and not set(names[0]) & set(names[1])


def test_the_implicit_reward_by_hand(base: Path, monkeypatch: Any) -> None:
    """beta (log pi(y | x) - log pi_ref(y | x)), from the logits of plain forwards."""
    model = load(ModelConfig(str(base), "full", precision="fp32"))
    ratios = LogRatios(model, model.twin(), beta=0.5)
    with torch.no_grad():
        for each in model.trainable_parameters():
            each.add_(0.01 * torch.randn_like(each))
    trees = [Chat(model).tree([Message("user", "say")], ["thank you", "no"]), Tree(np.array([5]), (np.array([6, 7]),))]
    expected = []
    for tree in trees:
        for completion in tree.completions:
            ids = torch.from_numpy(np.concatenate([tree.prompt, completion]))[None]
            logs = [
                role.model(ids).logits[0, :-1].log_softmax(1).gather(1, ids[0, 1:, None])[-len(completion) :, 0]
                for role in (ratios.model, ratios.reference)
            ]
            expected.append(0.5 * float((logs[0] - logs[1]).sum().detach()))
    assert np.allclose(ImplicitReward(ratios).score(trees)[:, 0, 0], expected, atol=1e-4)
    shapes: list[tuple[int, ...]] = []
    rewards = LogRatios.rewards

    def seen(self: LogRatios, rows: Any, lower: Any) -> Any:
        shapes.append(tuple(rows.tokens.shape))
        return rewards(self, rows, lower)

    monkeypatch.setattr(LogRatios, "rewards", seen)
    wide = Tree(trees[0].prompt, trees[0].completions * 20)
    found = ImplicitReward(ratios).score([wide], 64)[:, 0, 0]
    assert max(width for _, width in shapes) <= 64 and np.allclose(found, expected[:2] * 20, atol=1e-4)


def test_what_is_cut_or_too_long_is_counted(options: list[str], tmp_path: Path, context: Path, capsys: Any) -> None:
    long = [
        {"prompt": [user(f"say {i} " + "please " * 60 * (i % 2))], "completion": [assistant("no")]} for i in range(20)
    ]
    path = lines(tmp_path / "long.jsonl", long)
    command = [str(path), *options, "--steps", "1", "--held-out", "0.4", "--out"]
    assert main(["tune", "sft", *command, str(tmp_path / "cut"), "--length", "40"]) == 0
    assert json.loads((tmp_path / "cut" / "data.json").read_text())["cut"] == 10
    assert "10 cut" in capsys.readouterr().err
    prompts = tmp_path / "long.txt"
    prompts.write_text("".join(f"say {i} " + "please " * 300 * (i % 2) + "\n" for i in range(20)))
    more = ["--context", str(context), "--tokens", "4", "--out", str(tmp_path / "distilled")]
    assert main(["tune", "distill", str(prompts), *options, "--steps", "1", *more]) == 0
    assert "10 prompts, 10 more too long" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "distilled" / "data.json").read_text())["refused"]) == 10


# What is wrong is one line, and nothing is written


def test_bad_input_is_one_line_and_nothing_is_written(
    fault: Callable[..., str],
    messages: Path,
    pairs: Path,
    marks: Path,
    prompts: Path,
    context: Path,
    options: list[str],
    base: Path,
) -> None:
    out = base.parent / "nothing"
    few = lines(pairs.with_name("few.jsonl"), [pair(0), pair(0)])
    broken = pairs.with_name("broken.jsonl")
    broken.write_text(pairs.read_text() + "{\n")
    empty = pairs.with_name("empty.txt")
    empty.write_text("\n")
    answers = [{"prompt": "Q?", "response": text} for text in "ab"]
    unsafe = lines(pairs.with_name("unsafe.jsonl"), [{**answer, "response_label": "unsafe"} for answer in answers])
    rated = lines(pairs.with_name("rated.jsonl"), [{**answer, "judge_score": 1} for answer in answers])
    for arguments, said in (
        (("sft",), "name at least one file"),
        (("sft", "nowhere.jsonl"), "there is no nowhere.jsonl"),
        (("sft", "nowhere.sqlite"), "there is no nowhere.sqlite"),
        (("sft", pairs), f"this method can learn from nothing in {pairs}"),
        (("sft", unsafe), f"; the first refused: {unsafe.name}, line 1: field 'response_label' calls the response bad"),
        (("sft", rated), f"judgements: rating (2); {rated.name} was read as rated: --format reads it otherwise"),
        (("reward", messages), f"this method can learn from nothing in {messages}"),
        (("dpo", messages), "80 of other kinds"),
        (("reward", broken, "--strict"), "broken.jsonl, line 41"),
        (("reward", few), "leaves 2 to fit and 0 to measure on"),
        (("dpo", pairs, "--beta", "0"), "beta must be above 0"),
        (("dpo", pairs, "--held-out", "1"), "held_out is a share"),
        (("reward", pairs, "--reward-model", base), f"{base} holds no reward model"),
        (("reward", pairs, "--heads.objectives", "kind", "true"), "no judgement is about the objective 'true'"),
        (("distill", prompts), "--context is missing: name a text file"),
        (("distill", prompts, "--context", "nowhere.txt"), "nowhere.txt cannot be read"),
        (("distill", prompts, "--context", empty), "is empty"),
        (("distill", "nowhere.txt", "--context", context), "there is no nowhere.txt"),
        (("distill", prompts, "--context", context, "--tokens", "255"), "no prompt fits the model's window of 256"),
        (("distill", prompts, "--context", context, "--tokens", "8", "--length", "9"), "and --length 9 without it"),
        (("spans", marks), "Unverifiable, Wrong-Grounding with --spans.categories"),
        (("spans", marks, "--spans.categories", "Irrelevant", "iRelevant"), "could be marked as iRelevant: name some"),
        (("spans", marks, "--spans.categories", "Irrelevant", "--spans.weights", "nan"), "finite numbers, got (nan,)"),
        (("spans", messages), "0 used"),
        (("sft", messages, "--steps", "0"), "steps and tokens above 0"),
        (("distill", prompts, "--context", context, "--held-out", "0.01"), "leaves 40 to fit and 0 to measure on"),
    ):
        assert said in fault("tune", *arguments, *options, "--out", out), arguments
        assert not out.exists()
    for arguments in (("sft", messages), ("dpo", pairs), ("distill", prompts, "--context", context)):
        said = fault("tune", *arguments, "--base", base, "--train", "frozen", "--out", out)
        assert "a frozen model cannot learn" in said and not out.exists()
    full = base.parent / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    said = fault("tune", "sft", messages, *options, "--base", "nowhere", "--out", full)  # before a model is looked for
    assert f"{full} holds other files" in said
    assert "there is no method 'ppo'" in fault("tune", "ppo", pairs)
    assert "--nonsense" in fault("tune", "sft", pairs, "--nonsense")


def test_a_model_without_a_template(
    fault: Callable[..., str], base: Path, messages: Path, options: list[str], tmp_path: Path
) -> None:
    bare, out = tmp_path / "bare", tmp_path / "run"
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(bare)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(bare)
    options = [str(bare) if each == str(base) else each for each in options]
    assert "no chat template" in fault("tune", "sft", messages, *options, "--out", out) and not out.exists()
    command = ["tune", "sft", str(messages), *options, "--steps", "1", "--template", "transcript", "--out", str(out)]
    assert main(command) == 0 and "Human:" in AutoTokenizer.from_pretrained(out / "model").chat_template


def test_a_template_is_pinned_with_its_variables_and_its_date(
    pairs: Path,
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[..., str],
    capsys: Any,
) -> None:
    """A run that resumes on another day, after its template's file has changed, reads the same data."""

    def set_day(day: int) -> None:
        class Day(datetime.date):
            @classmethod
            def today(cls) -> Day:
                return cls(2026, 1, day)

        clock = SimpleNamespace(date=Day, datetime=datetime.datetime, time=datetime.time, timedelta=datetime.timedelta)
        monkeypatch.setattr(templates, "datetime", clock)

    file, out = tmp_path / "template.jinja", tmp_path / "run"
    text = "{% if date %}{{ strftime_now('%Y') }}{{ date_string }}{{ mood }}{% endif %}" + TEMPLATE
    file.write_text(text)
    plain = ["tune", "dpo", str(pairs), *options, "--steps", "1", "--template", str(file)]
    command = [*plain, "--template-kwargs", "date=true", "mood=glad", "--out", str(out)]
    set_day(1)
    assert main(command) == 0
    assert "the chat template writes the date (80 of 80 conversations; 2026-01-01" in capsys.readouterr().err
    stored = json.loads((out / "config.json").read_text())["chat_template"]
    assert stored["date"] == "2026-01-01" and stored["text"].endswith(text) and "glad" in stored["text"]
    assert json.loads((out / "data.json").read_text())["template"] == {"writes the date": 80}
    saved: Any = AutoTokenizer.from_pretrained(out / "model")
    written = saved.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False, date_string="now")
    assert written.endswith("nowglad<|user|>hi<|end|>")
    set_day(2)
    file.write_text("other " + TEMPLATE)
    for again in (command, ["resume", str(out)]):
        (out / "model").rename(tmp_path / again[0])
        assert main(again) == 0
    file.write_text(TEMPLATE.replace("message['content']", "message['content'] | upper"))
    refusal = fault(*plain, "--out", tmp_path / "other")
    assert (
        "the chat template changes a turn of the user before the last turn (80 of 80 conversations; the first: "
        in refusal
    )
    assert not (tmp_path / "other").exists()
    assert main([*plain, "--template-changes", "accept", "--out", str(tmp_path / "other")]) == 0


def test_special_tokens_in_the_data_are_counted_or_learned(tmp_path: Path, base: Path) -> None:
    rows = [{"messages": [user(f"say {number} <|system|>"), assistant("the <|user|> sat")]} for number in range(8)]
    path = tmp_path / "special.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    config = SftConfig((str(path),), model=ModelConfig(str(base), layers=1), held_out=0.5, device="cpu")
    data = sft(config).data
    assert data.counts["special_tokens"] == {"<|system|>": 8, "<|user|>": 1}
    line = (
        "9 texts spell special tokens of the model (<|system|> in 8, <|user|> in 1), which are read as plain text: --"
    )
    assert line in data.line
    learned = sft(dataclasses.replace(config, chat_template=TemplateConfig(special_tokens="learn"))).data
    assert learned.counts["special_tokens"] == {} and learned.fingerprint != data.fingerprint


def test_other_data_and_other_settings_do_not_go_on(
    fault: Callable[..., str], pairs: Path, options: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = ["tune", "reward", str(pairs), *options, "--steps", "2", "--out", str(out)]
    assert main(command) == 0
    assert "other settings (seed)" in fault(*command, "--seed", "1")
    assert "config.json is of a run of reward" in fault("tune", "dpo", pairs, "--out", out)
    (out / "model").rename(tmp_path / "model")
    lines(pairs, [pair(number) for number in range(COUNT + 1)])
    assert f"started with other data than {pairs} hold now" in fault(*command)
    assert not (out / "model").exists()


def test_a_loss_that_is_no_number_names_the_step(
    fault: Callable[..., str], pairs: Path, options: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert "lower the learning rate" in fault("tune", "dpo", pairs, *options, "--learning-rate", "1e30", "--out", out)
    with pytest.raises(PlauditError, match="is damaged"):
        (out / "data.json").write_text("[")
        run = METHODS["dpo"].open(out)
        Tuning(run, METHODS["dpo"].recipe(run.config))


@pytest.mark.parametrize("method", ["", *METHODS])
def test_help_has_examples(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert main(["tune", *([method] if method else []), "--help"]) == 0
    except SystemExit as stop:
        assert not stop.code
    assert f"plaudit tune {method or 'sft'} " in capsys.readouterr().out


def unusual_pairs() -> list[dict[str, Any]]:
    """Pairs that part before the last turn, that begin with the assistant, and with system and history columns."""
    rows: list[dict[str, Any]] = []
    for number in range(8):
        asked, good, bad = user(f"say {number}"), assistant("thank you, please go on"), assistant(f"no {number}")
        rows += [
            {"chosen": [asked, good, user("go on"), good], "rejected": [asked, bad, user("no"), bad]},
            {"chosen": [assistant("hello"), asked, good], "rejected": [assistant("hello"), asked, bad]},
            {"system": "be brief", "prompt": f"say {number}", "history": [["a", "b"]], "chosen": good["content"],
             "rejected": bad["content"]},
            {"prompt": [{"role": "system", "content": f"say {number}"}], "chosen": [good], "rejected": [bad]},
        ]  # fmt: skip
    return rows


@pytest.mark.parametrize("method", ["dpo", "reward"])
def test_pairs_of_any_shape_are_fitted(method: str, options: list[str], tmp_path: Path, monkeypatch: Any) -> None:
    """From the hub by its id as from a file: all that follows where two conversations part is compared."""
    calls: list[str] = []

    def load_dataset(name: str, config: str | None, split: str | None) -> list[dict[str, Any]]:
        calls.append(f"{name} {config} {split}")
        if name != "org/pairs":
            raise FileNotFoundError(f"{name} is not in the cache")
        return unusual_pairs()

    constants = SimpleNamespace(HF_HUB_OFFLINE=True)
    library = SimpleNamespace(load_dataset=load_dataset, config=constants, constants=constants)
    for module in ("datasets", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, module, library)
    monkeypatch.chdir(tmp_path)
    command = ["tune", method, "org/pairs", "--split", "train", *options, "--epochs", "3", "--held-out", "0.3"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    assert calls == ["org/pairs None train"]
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert (data["used"], data["refused"], data["unread"], data["empty"], data["cut"]) == (32, [], 0, 0, 0)
    assert result(tmp_path / "run")["accuracy"]["value"] > 0.8
    losses = [row["loss"] for row in rows(tmp_path / "run")]
    assert losses[-1] < losses[0]


def test_a_data_set_that_is_not_there_is_one_line(
    options: list[str], tmp_path: Path, monkeypatch: Any, fault: Any
) -> None:
    def load_dataset(name: str, config: str | None, split: str | None) -> None:
        raise FileNotFoundError(f"{name} is not in the cache")

    constants = SimpleNamespace(HF_HUB_OFFLINE=True)
    library = SimpleNamespace(load_dataset=load_dataset, config=constants, constants=constants)
    for module in ("datasets", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, module, library)
    monkeypatch.chdir(tmp_path)
    line = fault("tune", "dpo", "org/missing", "--split", "train", *options)
    assert "org/missing" in line and "load it once with a network, or name a file" in line
    assert not (tmp_path / "runs").exists()


CACHED = """
import json, pathlib, sys
import datasets
from plaudit.cli import main
folder = pathlib.Path(sys.argv[1])
datasets.load_dataset("json", data_files=sys.argv[2], split="train")
(built,) = folder.glob("datasets/json/default-*/0.0.0/*/")
cached = folder / "datasets/org___pairs/default/0.0.0" / built.name
cached.parent.mkdir(parents=True)
built.rename(cached)
(cached / "json-train.arrow").rename(cached / "pairs-train.arrow")
info = json.loads((cached / "dataset_info.json").read_text()) | {"dataset_name": "pairs", "config_name": "default"}
(cached / "dataset_info.json").write_text(json.dumps(info))
sys.exit(main(["tune", "dpo", *sys.argv[3:]]))
"""


@pytest.mark.thorough
def test_the_cache_of_the_datasets_library_needs_no_network(pairs: Path, options: list[str], tmp_path: Path) -> None:
    """As the library leaves a data set of the hub in its cache, read while it is offline."""
    pytest.importorskip("datasets", reason="no datasets here: pip install datasets")
    home = tmp_path / "hub"
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    for name, split, code, words in (
        ("org/pairs", "train", 0, f"{COUNT} used"),
        ("org/pairs", "test", 2, "choose with --split"),
        ("org/missing", "train", 2, "load it once with a network, or name a file"),
    ):
        command = [sys.executable, "-c", CACHED, str(home), str(pairs), name, "--split", split, *options]
        ended = subprocess.run(
            [*command, "--steps", "1", "--out", f"{name[4:]}-{split}"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, words in ended.stderr) == (code, True), ended.stderr
        shutil.rmtree(home)
