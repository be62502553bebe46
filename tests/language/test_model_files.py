"""Several files of weights in a folder: shards with an index, files of torch, two formats next to each other."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from plaudit.language.loading import read_pretrained
from plaudit.language.model_files import check_files, report
from plaudit.types import PlauditError

SHARDS = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def original(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose weights are in two shards."""
    folder = tmp_path_factory.mktemp("original")
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2
    )
    LlamaForCausalLM(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    files = {name: SHARDS[index % 2] for index, name in enumerate(sorted(tensors))}
    for shard in SHARDS:
        save_file({name: tensors[name] for name, file in files.items() if file == shard}, folder / shard)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": files}))
    (folder / "model.safetensors").unlink()
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of the model, to break."""
    return Path(shutil.copytree(original, tmp_path / "model"))


def read(folder: Path) -> dict[str, Tensor]:
    return read_pretrained(str(folder))[0].state_dict()


def fault(folder: Path) -> str:
    with pytest.raises(PlauditError) as caught:
        read(folder)
    assert str(caught.value).startswith(f"model {folder}: ") and "\n" not in str(caught.value)
    return str(caught.value)


def write_index(folder: Path, change: Callable[[dict[str, str]], Any]) -> None:
    files = json.loads((folder / INDEX).read_text())["weight_map"]
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": change(files)}))


def test_an_index_and_its_shards_belong_together(folder: Path, original: Path, tmp_path: Path) -> None:
    assert read(folder).keys() == read(original).keys()
    for change, words in (
        (lambda files: files | {"x": SHARDS[0]}, f"{INDEX} names x in {SHARDS[0]}, where it is missing"),
        (lambda files: files | {"x": "../x.safetensors"}, "names '../x.safetensors', which is no file of weights next"),
        (lambda files: files | {"x": None}, f'{INDEX} has no "weight_map"'),
        (lambda files: list(files), f'{INDEX} has no "weight_map"'),
        (lambda files: None, f'{INDEX} has no "weight_map"'),
    ):
        write_index(folder, change)
        assert words in fault(folder)
        shutil.copy(original / INDEX, folder)
    (folder / INDEX).write_text("null")
    assert f"{INDEX} must hold a JSON object, got NoneType" in fault(folder)
    shutil.copy(original / INDEX, folder)
    (folder / SHARDS[1]).unlink()
    assert f"{INDEX} names {SHARDS[1]}, which is missing: copy that file, too." in fault(folder)


def test_one_of_two_formats_is_read_and_said(folder: Path, original: Path, caplog: pytest.LogCaptureFixture) -> None:
    report.cache_clear()
    caplog.set_level(logging.WARNING, "plaudit")
    torch.save({name: tensor + 1 for name, tensor in read(original).items()}, folder / "pytorch_model.bin")
    assert torch.equal(read(folder)["model.norm.weight"], read(original)["model.norm.weight"])
    assert caplog.messages == [
        f"model {folder}: weights are read from {INDEX}; pytorch_model.bin next to it is not read"
    ]


class Command:
    """An object whose reading runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def test_files_of_torch(folder: Path, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (INDEX, *SHARDS):
        (folder / name).unlink()
    path, tensors = folder / "pytorch_model.bin", read(original)
    torch.save({f"module.{name}": tensor for name, tensor in tensors.items()}, path)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in read(folder).items())
    path.write_bytes(path.read_bytes()[:5000])
    assert "pytorch_model.bin is cut off or damaged: copy it again." in fault(folder)
    path.write_bytes(b"")
    assert "pytorch_model.bin is cut off or damaged" in fault(folder)
    torch.save(tensors | {"x": Command()}, path)
    assert "its .bin file holds Python objects other than tensors, which are never run" in fault(folder)
    assert not Path("ran").exists()
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    check_files(folder)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": "pytorch_model-1.bin"}}))
    path.unlink()
    assert "pytorch_model.bin.index.json names pytorch_model-1.bin, which is missing" in fault(folder)


def test_a_folder_without_weights_that_are_read(folder: Path) -> None:
    (folder / INDEX).unlink()
    assert f"it has {SHARDS[0]}, a part of its weights, and no {INDEX}: copy that file, too." in fault(folder)
    for shard in SHARDS:
        (folder / shard).unlink()
    assert "it has no weights: copy model.safetensors" in fault(folder)
    for name in ("model.Q4_K_M.gguf", "model.onnx"):
        (folder / name).write_bytes(b"GGUF")
    assert "its weights are in model.Q4_K_M.gguf, model.onnx, which is not read" in fault(folder)
    (folder / "generation_config.json").write_text("{")
    assert "generation_config.json is not JSON that can be read" in fault(folder)


def test_a_model_of_another_task(folder: Path) -> None:
    path = folder / "config.json"
    stored = json.loads(path.read_text())
    for changes, words in (
        ({"architectures": ["BertForMaskedLM"]}, "BertForMaskedLM (model_type llama) is no causal language model"),
        ({"model_type": "t5", "architectures": None}, "T5Config (model_type t5) is no causal language model"),
        ({"quantization": {"bits": 4}}, "its weights are quantised (quantization in config.json)"),
        ({"quantization_config": {"quant_method": "awq"}}, "(quantization_config in config.json, awq)"),
    ):
        path.write_text(json.dumps(stored | changes))
        assert words in fault(folder), changes
