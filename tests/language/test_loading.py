"""Model folders: what is missing, left over, damaged or an adapter is said in one line, and two loads are equal."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from plaudit.audits.subject import AuditConfig, open_subject
from plaudit.audits.texts import TextSubject
from plaudit.cli import chat, main, tune
from plaudit.feedback.store import Store
from plaudit.language.loading import describe_pretrained, report
from plaudit.language.models import LanguageModel, ModelConfig, load
from plaudit.language.speaker import Speaker
from plaudit.types import PlauditError

Tensors = dict[str, Tensor]
SHAPE = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.3,
    "eos_token_id": 0,
    "bos_token_id": None,
}


def save(folder: Path, tokenizer: Any, tied: bool) -> Path:
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=tied, **SHAPE)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def original(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("original"), tokenizer, tied=False)


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of the model, to break."""
    return Path(shutil.copytree(original, tmp_path / "model"))


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    report.cache_clear()
    caplog.set_level(logging.WARNING, "plaudit")
    return caplog


def change(folder: Path, edit: Callable[[Tensors], Tensors]) -> None:
    path = folder / "model.safetensors"
    save_file(edit(load_file(path)), path, {"format": "pt"})


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def read(folder: Path) -> LanguageModel:
    return load(ModelConfig(str(folder), "frozen", precision="fp32"))


def weights(model: LanguageModel) -> Tensors:
    return model.model.state_dict()


def fault(folder: Path) -> str:
    with pytest.raises(PlauditError) as caught:
        read(folder)
    line = str(caught.value)
    assert line.startswith(f"model {folder}") and "\n" not in line
    return line


PREFIXES = (
    *("_orig_mod.", "module.", "base_model.model.", "model.", "module._orig_mod.", "model.model.", "transformer."),
    *("_fsdp_wrapped_module.", "_forward_module.module.", "pretrained_model.", "actor.model."),
)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_wrappers_are_taken_off(
    original: Path, folder: Path, prefix: str, lines: pytest.LogCaptureFixture
) -> None:
    change(folder, lambda tensors: {prefix + name: tensor for name, tensor in tensors.items()})
    model, expected = read(folder), weights(read(original))
    assert all(torch.equal(weights(model)[name], tensor) for name, tensor in expected.items())
    model.save(folder / "saved")
    assert load_file(folder / "saved" / "model.safetensors").keys() == load_file(original / "model.safetensors").keys()
    if prefix != "model.":  # transformers' own
        assert lines.messages == [f"model {folder}: the prefix {prefix} was taken off the names of its weights"]


@pytest.mark.parametrize("wrapper", ["_orig_mod.", "_checkpoint_wrapped_module."])
def test_a_prefix_in_the_middle_of_names(original: Path, folder: Path, wrapper: str) -> None:
    change(
        folder,
        lambda tensors: {
            f"module.{wrapper}{name.replace('model.', f'model.{wrapper}').replace('mlp.', f'{wrapper}mlp.')}": tensor
            for name, tensor in tensors.items()
        },
    )
    model, expected = read(folder), weights(read(original))
    assert all(torch.equal(weights(model)[name], tensor) for name, tensor in expected.items())
    model.save(folder / "saved")
    assert load_file(folder / "saved" / "model.safetensors").keys() == expected.keys()


@pytest.mark.parametrize(
    ("edit", "changes", "words"),
    [
        (lambda tensors: without(tensors, "lm_head"), {}, "its files lack lm_head.weight. Check"),
        (lambda tensors: without(tensors, "layers.1."), {}, "its files lack model.layers.1.input_layernorm.weight, "),
        (lambda tensors: {}, {}, "its files lack lm_head.weight, model.embed_tokens.weight, "),
        (lambda tensors: tensors, {"num_hidden_layers": 3}, "its files lack model.layers.2.input_layernorm.weight, "),
        (lambda tensors: tensors, {"num_hidden_layers": 1}, "has no layer for: model.layers.1.input_layernorm.weight"),
        (
            lambda tensors: tensors,
            {"intermediate_size": 20},
            "mlp.down_proj.weight is (16, 24) in the file and (16, 20)",
        ),
        (lambda tensors: {f"x.{name}": t for name, t in tensors.items()}, {}, "and left over x.lm_head.weight, "),
    ],
)
def test_weights_that_do_not_fit_the_configuration(
    folder: Path, edit: Callable[[Tensors], Tensors], changes: dict[str, Any], words: str
) -> None:
    change(folder, edit)
    configure(folder, **changes)
    assert words in fault(folder)


def without(tensors: Tensors, part: str) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if part not in name}


def test_a_tied_head_needs_no_tensor_and_two_loads_are_equal(tokenizer: Any, tmp_path: Path) -> None:
    folder = save(tmp_path / "tied", tokenizer, tied=True)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    first, second = weights(read(folder)), weights(read(folder))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.mark.parametrize("tied", [False, True])
def test_a_reward_model_as_the_base(tokenizer: Any, tmp_path: Path, tied: bool) -> None:
    config = LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=tied, **SHAPE)
    config.num_labels = 1
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert "LlamaForSequenceClassification is a reward model or a classifier" in fault(tmp_path)
    assert "score.weight is left over. Name it as --reward-model." in fault(tmp_path)


def test_what_else_is_left_over_is_said(folder: Path, lines: pytest.LogCaptureFixture) -> None:
    change(folder, lambda tensors: tensors | {"vision.weight": torch.zeros(2)})
    read(folder)
    assert lines.messages == [f"model {folder}: vision.weight in its files is not part of the model and is left out"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number(folder: Path, value: float) -> None:
    def edit(tensors: Tensors) -> Tensors:
        tensors["model.norm.weight"][3] = value
        return tensors

    change(folder, edit)
    assert "tensor model.norm.weight has 1 of 16 weights that are NaN or infinite" in fault(folder)


# Files


def deep(depth: int = 100_000) -> bytes:
    return b'{"a": ' * depth + b"1" + b"}" * depth


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
FILES = {
    "lfs-weights": ("model.safetensors", lambda content: POINTER, "model.safetensors is a Git-LFS pointer"),
    "lfs-config": ("config.json", lambda content: POINTER, "config.json is a Git-LFS pointer"),
    "lfs-tokenizer": ("tokenizer.json", lambda content: POINTER, "tokenizer.json is a Git-LFS pointer"),
    "cut": ("model.safetensors", lambda content: content[:-100], "model.safetensors is cut off or damaged"),
    "cut-header": ("model.safetensors", lambda content: content[:20], "model.safetensors is cut off or damaged"),
    "empty-weights": ("model.safetensors", lambda content: b"", "model.safetensors is cut off or damaged"),
    "null": ("config.json", lambda content: b"null", "config.json must hold a JSON object, got NoneType"),
    "list": ("config.json", lambda content: b"[]", "config.json must hold a JSON object, got list"),
    "deep": ("config.json", lambda content: deep(), "config.json is not JSON that can be read"),
    "empty": ("config.json", lambda content: b"", "config.json is not JSON that can be read"),
    "binary": ("config.json", lambda content: b"\xff\x00", "config.json is not JSON that can be read"),
    "tokenizer-null": ("tokenizer.json", lambda content: b"null", ""),
    "tokenizer-cut": ("tokenizer.json", lambda content: content[:100], ""),
    "tokenizer-deep": ("tokenizer.json", lambda content: deep(), ""),
    "tokenizer-settings": ("tokenizer_config.json", lambda content: b"null", "tokenizer_config.json must hold"),
    "generation": ("generation_config.json", lambda content: b"null", ""),
}


@pytest.mark.parametrize("name", FILES)
def test_damaged_files(folder: Path, name: str) -> None:
    file, damage, words = FILES[name]
    (folder / file).write_bytes(damage((folder / file).read_bytes()))
    assert words in fault(folder)


SETTINGS: dict[str, Any] = {
    "num_hidden_layers": [10**7, 10**9, 0, -1, None, "2", 2.5, []],
    "hidden_size": [10**9, 0, -16, None, "16", 17],
    "vocab_size": [10**12, 0, None, "x"],
    "num_attention_heads": [0, 3, None],
    "intermediate_size": [10**10, None, "x"],
    "model_type": ["nothing", None, 5, "bert"],
    "rope_parameters": ["x"],
    "hidden_act": ["x", None],
    "dtype": ["x"],
    "max_position_embeddings": ["x"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in SETTINGS.items() for value in values])
def test_settings_that_no_model_has(folder: Path, name: str, value: Any) -> None:
    configure(folder, **{name: value})
    assert fault(folder).startswith(f"model {folder}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            "its weights are quantised (quantization_config",
        ),
        ({"quantization_config": {}}, "its weights are quantised"),
        ({"max_position_embeddings": -5}, "max_position_embeddings must be a whole number from 1, got -5"),
        ({"head_dim": 0}, "head_dim must be a whole number from 1, got 0"),
        ({"hidden_act": "nope"}, "its files name or lack 'nope', which transformers needs to know"),
        ({"rms_norm_eps": "x"}, "expected float, got str (value: 'x')"),
        ({"pad_token_id": 10**6}, "Padding_idx must be within num_embeddings"),
    ],
)
def test_settings_are_told_by_name(folder: Path, changes: dict[str, Any], words: str) -> None:
    configure(folder, **changes)
    assert words in fault(folder)


def test_results_by_name_are_not_a_setting(folder: Path, original: Path) -> None:
    configure(folder, return_dict=False)
    ids = torch.arange(9)[None]
    assert torch.equal(read(folder).model(input_ids=ids).logits, read(original).model(input_ids=ids).logits)


def test_quantised_weights_are_refused(folder: Path) -> None:
    """Whole numbers are no weights without their scales, and transformers drops scales that it does not know."""
    name = "model.layers.0.mlp.up_proj.weight"
    change(folder, lambda tensors: tensors | {f"{name}_scale_inv": torch.ones(1)})
    assert "its weights are quantised: its files hold model.layers.0.mlp.up_proj.weight_scale_inv." in fault(folder)
    change(folder, lambda tensors: without(tensors, "scale") | {name: tensors[name].to(torch.int8)})
    assert f"{name} in its files are whole numbers, not weights" in fault(folder)


def test_a_folder_without_a_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()
    assert "it has no tokenizer that can be read: put the tokenizer.json" in fault(folder)


def test_more_layers_than_memory_are_told_in_numbers(folder: Path) -> None:
    configure(folder, num_hidden_layers=10**7)
    with pytest.raises(PlauditError, match=r"describes 10,000,000 layers of 16 numbers .* more than 10,000 layers"):
        describe_pretrained(str(folder))


def test_a_tokenizer_that_is_larger_than_the_embedding(folder: Path, tokenizer: Any) -> None:
    configure(folder, vocab_size=40)
    change(folder, lambda tensors: {n: t[:40].clone() if len(t) == len(tokenizer) else t for n, t in tensors.items()})
    line = fault(folder)
    assert f"its tokenizer has token {len(tokenizer) - 1} (" in line and "its embedding has 40 rows" in line


@pytest.mark.parametrize("expression", ["(?<!a)b(", "(a+a+)+y"])
def test_a_tokenizer_with_a_broken_expression(folder: Path, expression: str, capfd: Any) -> None:
    path = folder / "tokenizer.json"
    stored = json.loads(path.read_text())
    split = {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}
    path.write_text(json.dumps(stored | {"pre_tokenizer": split}))
    assert fault(folder).startswith(f"model {folder}")


# The author's code


def test_code_of_a_models_author_runs_only_when_asked(folder: Path) -> None:
    (folder / "mine.py").write_text(
        "from transformers import LlamaConfig\nfrom pathlib import Path\n"
        "Path(__file__).parent.joinpath('ran').touch()\n"
        "class MineConfig(LlamaConfig):\n    model_type = 'mine'\n"
    )
    configure(folder, model_type="mine", auto_map={"AutoConfig": "mine.MineConfig"})
    assert "--trust-remote-code runs it" in fault(folder)
    assert describe_pretrained(str(folder), trust=True)[1].model_type == "mine"
    with (folder / "mine.py").open("a") as file:
        file.write(
            "from transformers import LlamaForCausalLM\nclass Mine(LlamaForCausalLM):\n    config_class = MineConfig\n"
        )
    configure(folder, auto_map={"AutoConfig": "mine.MineConfig", "AutoModelForCausalLM": "mine.Mine"})
    with pytest.raises(PlauditError, match=r"--trust-remote-code runs it \(from a program: trust_remote_code=True\)"):
        Speaker(str(folder), "cpu")
    assert type(Speaker(str(folder), "cpu", trust=True)._model.model).__name__ == "Mine"


def test_every_command_that_loads_a_model_may_run_its_authors_code(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "from transformers import LlamaConfig\nclass Mine(LlamaConfig):\n    model_type = 'mine'\n"
    (folder / "mine.py").write_text(code)
    names = ["MineForSequenceClassification"]
    configure(folder, model_type="mine", auto_map={"AutoConfig": "mine.Mine"}, architectures=names)
    Store.open(tmp_path / "store.sqlite").close()
    store, annotator = str(tmp_path / "store.sqlite"), f"ai:local?model={folder}"
    (tmp_path / "prompts.txt").write_text("Q?\n")
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt": "Q?", "chosen": "g", "rejected": "b"}\n')
    prompts, out = str(tmp_path / "prompts.txt"), ["--out", str(tmp_path / "out")]
    for command in (
        ["score", str(folder), str(pairs)],
        ["judge", store, "--annotator", annotator],
        ["assist", store, "--annotator", annotator, "--project", "none"],
        ["critique", prompts, "--annotator", annotator, "--out", str(tmp_path / "out.jsonl")],
        ["chat", str(folder)],
        ["tune", "merge", str(folder), str(folder), *out],
    ):
        capsys.readouterr()
        assert main(command) == 2, command
        assert "--trust-remote-code runs it" in capsys.readouterr().err, command
        main([*command, "--trust-remote-code"])
        assert "--trust-remote-code runs it" not in capsys.readouterr().err, command
    for rare in (tune.RARE, chat.COMMON.rare):
        assert rare["model.trust_remote_code"] == "--trust-remote-code"
    for trust in (False, True):
        subject = open_subject(folder, AuditConfig(trust_remote_code=trust), target=tmp_path / "audit")
        with pytest.raises(PlauditError) as refused:
            assert isinstance(subject, TextSubject) and subject.reward
        assert ("--trust-remote-code runs it" in str(refused.value)) != trust


# Adapters


@pytest.fixture(params=["llama", "gpt2"])
def adapted(request: pytest.FixtureRequest, original: Path, tokenizer: Any, tmp_path: Path) -> tuple[Path, Any]:
    """An adapter's folder, and the model that it makes."""
    from peft import LoraConfig, get_peft_model

    if request.param == "llama":
        base, names = LlamaForCausalLM.from_pretrained(original), ["q_proj", "down_proj"]
    else:
        config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, eos_token_id=0)
        GPT2LMHeadModel(config).save_pretrained(tmp_path / "base")
        tokenizer.save_pretrained(tmp_path / "base")
        base, names = GPT2LMHeadModel.from_pretrained(tmp_path / "base"), ["c_attn"]
    settings = LoraConfig(
        r=2, lora_alpha=8, target_modules=names, fan_in_fan_out=request.param == "gpt2", task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model: Any = get_peft_model(base, settings)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter", model.eval()


def test_an_adapter_is_merged(adapted: tuple[Path, Any], lines: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    folder, model = adapted
    merged = read(folder)
    ids = torch.arange(9)[None]
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        np.testing.assert_allclose(merged.model(input_ids=ids).logits, expected, rtol=1e-4, atol=1e-4)
        assert len(lines.messages) == 1 and "the adapter is merged into its base" in lines.messages[0]
        merged.save(tmp_path / "saved")
        assert not (tmp_path / "saved" / "adapter_config.json").exists()
        np.testing.assert_allclose(read(tmp_path / "saved").model(input_ids=ids).logits, expected, rtol=1e-4, atol=1e-4)
    assert load(ModelConfig(str(folder), "lora")).trainable_parameters()


def test_an_adapter_whose_base_is_missing_or_another(adapted: tuple[Path, Any], tmp_path: Path) -> None:
    folder, _ = adapted
    path = folder / "adapter_config.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"base_model_name_or_path": str(tmp_path / "gone")}))
    line = fault(folder)
    assert "is an adapter, and its base cannot be read" in line and str(tmp_path / "gone") in line
    path.write_text(json.dumps(stored | {"base_model_name_or_path": None}))
    assert "adapter_config.json does not name the adapter's base" in fault(folder)
    path.write_text(json.dumps(stored))
    tensors = load_file(folder / "adapter_model.safetensors")
    name = sorted(tensors)[0]
    del tensors[name]
    save_file(tensors, folder / "adapter_model.safetensors")
    assert "the adapter's file lacks " in fault(folder)
    save_file(tensors | {name: torch.full((2, 16), torch.nan)}, folder / "adapter_model.safetensors")
    fault(folder)


def test_an_adapter_that_cannot_be_merged_or_names_itself(adapted: tuple[Path, Any], lines: Any) -> None:
    folder, _ = adapted
    path = folder / "adapter_config.json"
    stored = json.loads(path.read_text())
    shutil.copytree(stored["base_model_name_or_path"], folder, dirs_exist_ok=True)
    read(folder)
    assert lines.messages[0].endswith(", and the weights next to it are not read")
    path.write_text(json.dumps(stored | {"base_model_name_or_path": str(folder)}))
    assert f"adapter_config.json names {folder} as its base, which is the adapter itself" in fault(folder)
    prompts = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3, "task_type": "CAUSAL_LM"}
    path.write_text(json.dumps(prompts | {"base_model_name_or_path": stored["base_model_name_or_path"]}))
    assert "has no additions to weights and cannot be merged" in fault(folder)
    path.write_text(json.dumps(stored | {"r": 8}))
    assert f"does not fit its base, {stored['base_model_name_or_path']} (size mismatch for " in fault(folder)
    path.write_text(json.dumps(stored | {"target_modules": ["nowhere"]}))
    assert "(Target modules {'nowhere'} not found in the base model" in fault(folder)
    path.write_text(json.dumps(stored | {"peft_type": "NONE_SUCH"}))
    assert "peft knows no adapter of the type 'NONE_SUCH'" in fault(folder)
    (folder / "adapter_model.safetensors").unlink()
    assert "its adapter_model.safetensors is missing: copy that file, too." in fault(folder)
