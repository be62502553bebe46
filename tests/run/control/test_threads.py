"""How many threads a run takes: one where that is faster, and what the user says where the user says it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import plaudit.learner
from plaudit.policy.improve import Improver
from plaudit.run.control.assemble import set_threads, torch_threads
from plaudit.run.control.config import RunConfig, defaults


@pytest.fixture(autouse=True)
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with torch_threads(4):
        yield


def config(threads: int | None) -> RunConfig:
    return dataclasses.replace(defaults("Duel"), threads=threads)


@pytest.mark.parametrize(
    ("given", "pixels", "fit", "rest"), [(None, False, 1, 1), (None, True, 4, 4), (3, False, 3, 1), (3, True, 3, 3)]
)
def test_small_networks_act_on_one_thread(given: int | None, pixels: bool, fit: int, rest: int) -> None:
    assert set_threads(config(given), pixels) == fit
    assert torch.get_num_threads() == rest


def test_a_setting_of_the_users_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert set_threads(config(None), pixels=False) == torch.get_num_threads() == 4


def test_threads_for_a_while() -> None:
    with pytest.raises(KeyError), torch_threads(2):
        assert torch.get_num_threads() == 2
        raise KeyError
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(
    ("given", "expected"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")]
)
def test_threads_do_not_spin_for_long_unless_they_are_told_to(given: dict[str, str], expected: str) -> None:
    clean = {name: x for name, x in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    program = "import os, plaudit; print(os.environ.get('GOMP_SPINCOUNT'))"
    result = subprocess.run(
        [sys.executable, "-c", program], env=clean | given, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == expected


def test_a_fit_takes_the_threads_it_was_given_and_acting_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tools: Any
) -> None:
    seen: dict[str, set[int]] = {"fit": set(), "rest": set()}

    def spy(module: Any, name: str, label: str) -> None:
        real = getattr(module, name)

        def call(*arguments: Any) -> Any:
            seen[label].add(torch.get_num_threads())
            return real(*arguments)

        monkeypatch.setattr(module, name, call)

    spy(plaudit.learner, "fit", "fit")
    spy(Improver, "__call__", "rest")
    first = tools.train(tmp_path / "first", tools.tiny(rounds=2, threads=2))
    assert seen == {"fit": {2}, "rest": {1}}
    tools.assert_same(first, tools.train(tmp_path / "second", tools.tiny(rounds=2, threads=2)))
