"""Data sets of the hub by their ids, through a stand-in for the datasets library, which the tests do not install."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plaudit.feedback.formats import _hub
from plaudit.feedback.formats.command import ImportArguments, run_import
from plaudit.feedback.formats.incoming import Reader, Reading
from plaudit.language.prompts import load_prompts
from plaudit.run.language.sft import check_file
from plaudit.run.language.tune.config import TuningConfig
from plaudit.run.language.tune.data import check_files
from plaudit.types import Dialogue, Message, PlauditError

NAME = "trl-lib/ultrafeedback_binarized"
PARTS = {name: [{"prompt": f"{name}?", "chosen": "g", "rejected": "b"}] for name in ("test", "train")}


class Hub:
    """Stands for datasets and huggingface_hub: one data set, in the cache or on the hub."""

    def __init__(self, reachable: bool) -> None:
        self.reachable, self.calls = reachable, []
        self.config = SimpleNamespace(HF_HUB_OFFLINE=False)
        self.constants = SimpleNamespace(HF_HUB_OFFLINE=False)
        self.errors = SimpleNamespace(HfHubHTTPError=FileNotFoundError)

    def HfApi(self) -> Any:
        return self

    def dataset_info(self, name: str, timeout: float) -> None:
        if not self.reachable:
            raise OSError("no route")
        if name != NAME:
            raise FileNotFoundError(name)

    def load_dataset(self, name: str, config: str | None, split: str | None) -> Any:
        self.calls.append((name, config, split, self.config.HF_HUB_OFFLINE, self.constants.HF_HUB_OFFLINE))
        if name != NAME:
            raise FileNotFoundError(f"Dataset '{name}' doesn't exist on the Hub.\nor so")
        if split is not None and split not in PARTS:
            raise ValueError(f'Unknown split "{split}". Should be one of {list(PARTS)}.')
        return PARTS if split is None else PARTS[split]


@pytest.fixture
def hub(monkeypatch, tmp_path: Path) -> Hub:
    hub = Hub(reachable=True)
    for name in ("datasets", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, name, hub)
    monkeypatch.chdir(tmp_path)
    return hub


def prompts(name: str, split: str | None = None) -> tuple[list[str], list[str]]:
    reader = Reader(Path(name), Reading(split=split))
    items = [record.items[0] for _, record in reader.records()]
    return [item.prompt[0].content for item in items if isinstance(item, Dialogue)], list(reader.result.trace.notes)


def test_a_split_of_a_data_set(hub: Hub):
    assert prompts(NAME) == (["train?"], ["the split train was read, of test, train: --split chooses another"])
    assert prompts(f"{NAME}:default", "test") == (["test?"], [])
    assert hub.calls == [(NAME, None, None, False, False), (NAME, "default", "test", False, False)]
    assert load_prompts(NAME) == [(Message("user", "train?"),)]


def test_import_of_a_data_set(hub: Hub, tmp_path: Path, capsys):
    assert run_import(ImportArguments(Path(NAME), str(tmp_path / "feedback.sqlite"))) == 0
    assert "ultrafeedback_binarized (preference): 1 objects read; 1 judgements" in capsys.readouterr().err


def test_the_cache_is_read_if_the_hub_is_out_of_reach(hub: Hub):
    hub.reachable = False
    assert prompts(NAME)[0] == ["train?"] and hub.calls[-1][3:] == (True, True)
    assert not (hub.config.HF_HUB_OFFLINE or hub.constants.HF_HUB_OFFLINE)  # as before
    with pytest.raises(PlauditError, match=r"no file or folder a/b, and no such data set \(the hub is out of reach"):
        prompts("a/b")


def test_refusals_are_one_line(hub: Hub, monkeypatch):
    for name, split, line in (("a/b", None, "'a/b' doesn't exist on the Hub"), (NAME, "dev", 'Unknown split "dev"')):
        with pytest.raises(PlauditError, match=line) as caught:
            prompts(name, split)
        assert "\n" not in str(caught.value) and ("choose with --split" if split else "name a file") in str(
            caught.value
        )
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(PlauditError, match=r"there is no file or folder a/b, .*pip install -e '\.\[datasets\]'"):
        prompts("a/b")


def test_what_is_a_name_and_what_a_path(hub: Hub, tmp_path: Path):
    (tmp_path / "data").mkdir()
    names = [NAME, "a/b", "a/b:c", "a/b.v1"]
    paths = [
        "a",
        "a/b/c",
        "./a",
        "/a/b",
        "a/b.jsonl",
        "a/b.csv.gz",
        "data/pairs",
        "a b/c",
        "a/b:",
        "../a",
        "https://a/b",
    ]
    assert [name for name in (*names, *paths) if _hub.is_hub_id(Path(name))] == names
    with pytest.raises(PlauditError, match=r"there is no data/pairs: check the path"):
        run_import(ImportArguments(Path("data/pairs"), "feedback.sqlite"))
    assert hub.calls == []
    check_file("demonstrations", NAME)
    check_files(TuningConfig(data=(NAME,)))
    with pytest.raises(PlauditError, match=r"there is no data/pairs: check --data\.demonstrations"):
        check_file("demonstrations", "data/pairs")
    with pytest.raises(PlauditError, match="there is no data/pairs: check the path"):
        check_files(TuningConfig(data=("data/pairs",)))
