"""Pretraining a small language model from scratch: text files, a tokenizer trained on them, and a Llama."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from plaudit.feedback.files import read_text
from plaudit.feedback.formats import Setting
from plaudit.feedback.formats._columns import rename
from plaudit.feedback.formats._files import rows
from plaudit.feedback.formats._transcripts import join
from plaudit.feedback.formats.incoming import Reader
from plaudit.language.files import ColumnsConfig
from plaudit.language.models import LanguageModel, ModelConfig, prepare
from plaudit.language.rows import Tokens, Tree
from plaudit.language.special_tokens import Spelling
from plaudit.language.template import TRANSCRIPT
from plaudit.language.tune import TuneConfig
from plaudit.types import MOST_LAYERS, MOST_UNITS, Dialogue, Message, PlauditError

END, PAD = "<|end|>", "<|pad|>"
WHOLE = (".txt", ".md", ".py")  # each file is a document
LINES = (".jsonl", ".jsonl.gz")  # each object with a text is a document
TABLES = (".parquet", ".arrow", ".csv", ".csv.gz", ".tsv", ".json")  # each row with a text is; read if named alone
MOST_TOKENS = 1_000_000  # of a vocabulary
FEW = 20  # below this number of documents the end of each is held out, else some of them


@dataclass(frozen=True)
class Size:
    """A Llama's shape and the size of its vocabulary."""

    layers: int
    width: int
    heads: int
    vocabulary: int


SIZES = {  # parameters: 1.1, 5.1, 15.6 and 29.3 million
    "tiny": Size(4, 128, 4, 2048),
    "small": Size(5, 256, 4, 4096),
    "base": Size(7, 384, 6, 8192),
    "large": Size(8, 512, 8, 8192),
}


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of pretraining: the text, the model, and how it is fitted."""

    data: tuple[str, ...] = ()
    """Text files, or folders of them. Each .txt, .md or .py is a document, and so is the column text of each row of a
    .jsonl. A .parquet, .arrow, .csv or .json is read if it is named itself."""
    files: ColumnsConfig = field(default_factory=ColumnsConfig)
    size: Literal["tiny", "small", "base", "large"] = "tiny"
    """Size of the model: about 1, 5, 15 or 30 million parameters."""
    layers: int | None = None
    """Number of transformer layers; None: set by the size."""
    width: int | None = None
    """Size of a hidden state; None: set by the size."""
    heads: int | None = None
    """Number of attention heads; None: set by the size."""
    vocabulary: int | None = None
    """Largest number of tokens of the vocabulary; None: set by the size."""
    held_out: float = 0.05
    """Share of the text that is held out, to measure the loss on."""
    fit: TuneConfig = field(
        default_factory=lambda: TuneConfig(
            learning_rate=2e-3,
            batch=16,
            length=512,
            schedule="cosine",
            weight_decay=0.1,
            tokens=4096,
        )
    )
    special_tokens: Spelling = "text"
    """Reading of <|end|> and <|pad|> if the text spells them. text: as plain text, and such documents are counted;
    learn: as the tokens, so that <|end|> separates documents in one file."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of matrix products; auto: bf16 if the CPU or GPU supports it natively. Weights are float32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device for training; auto: the GPU if there is one."""
    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise PlauditError(f"there is no size {self.size!r}: use one of {', '.join(SIZES)}")
        shape = self.shape
        if min(shape.layers, shape.width, shape.heads) < 1 or shape.width % (2 * shape.heads):
            raise PlauditError(
                f"width must be a multiple of twice the heads, got {shape.width} and {shape.heads} heads"
            )
        if shape.layers > MOST_LAYERS or shape.width > MOST_UNITS or shape.vocabulary > MOST_TOKENS:
            raise PlauditError(
                f"a model has at most {MOST_LAYERS} layers, a width of {MOST_UNITS:,} and {MOST_TOKENS:,} tokens, got "
                f"{shape.layers}, {shape.width} and {shape.vocabulary}"
            )
        if shape.vocabulary < 300:
            raise PlauditError(f"a vocabulary has at least 300 tokens, because 256 are bytes, got {shape.vocabulary}")
        if not 0 < self.held_out < 1:
            raise PlauditError(f"held_out is a share of the text in (0, 1), got {self.held_out}")
        if self.seed < 0:
            raise PlauditError(f"seed must not be negative, got {self.seed}")

    @property
    def shape(self) -> Size:
        """The size, with the settings that override it."""
        size = SIZES[self.size]
        chosen = (self.layers, self.width, self.heads, self.vocabulary)
        usual = (size.layers, size.width, size.heads, size.vocabulary)
        return Size(*(default if value is None else value for value, default in zip(chosen, usual, strict=True)))


def read_documents(names: Sequence[str], files: ColumnsConfig | None = None) -> list[str]:
    """Read the texts of files and folders, in the order of their names; texts of white space only are left out.

    files: how rows are read. Without a format, the column ``text`` of each row is a document. With a format of
    demonstrations, such as messages, each conversation is one: a transcript with "Human:" and "Assistant:".

    Raises:
        PlauditError: a file is missing, is not UTF-8, or has a row without a text; or there is no text.
    """
    if not names:
        raise PlauditError("name text files to learn from (.txt, .jsonl with a text, .py), or a folder of them")
    reading = files or ColumnsConfig()
    paths = [path for name in names for path in _files(Path(name))]
    if reading != ColumnsConfig() and not any(path.name.endswith((*LINES, *TABLES)) for path in paths):
        raise PlauditError(
            f"--format, --columns and --split are about files of rows, and {', '.join(names)} holds texts alone: "
            "leave them out"
        )
    texts = [text for path in paths for text in _texts(path, reading)]
    if not texts:
        raise PlauditError(f"there is no text in {', '.join(names)}")
    return texts


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        if not path.exists():
            raise PlauditError(f"there is no {path}: name a text file, or a folder of them")
        if not path.name.endswith((*WHOLE, *LINES, *TABLES)):
            endings = ", ".join((*WHOLE, *LINES, *TABLES))
            raise PlauditError(f"{path} is not a text file that can be read: name a file that ends in {endings}")
        return [path]
    paths = [file for file in sorted(path.rglob("*")) if file.is_file() and file.name.endswith((*WHOLE, *LINES))]
    if not paths:
        raise PlauditError(f"{path} has no text files: put {', '.join((*WHOLE, *LINES))} there")
    return paths


def _texts(path: Path, files: ColumnsConfig) -> Iterator[str]:
    if path.name.endswith((*LINES, *TABLES)):
        yield from _lines(path, files) if files.format is None else _conversations(path, files)
        return
    text = read_text(path)
    if text.strip():
        yield text


def _lines(path: Path, files: ColumnsConfig) -> Iterator[str]:
    with closing(rows(path, split=files.split)) as opened:
        for row in rename(opened, files.reading.columns):
            text = row.value.get("text") if isinstance(row.value, dict) else None
            if row.fault is not None or not isinstance(text, str):
                fault = row.fault or (
                    'must be an object with a "text": name its column by --columns text=COLUMN, or the format of '
                    "conversations by --format, such as messages"
                )
                raise PlauditError(f"{path}, {row.location}: {fault}")
            if text.strip():
                yield text


def _conversations(path: Path, files: ColumnsConfig) -> Iterator[str]:
    """The demonstrations of a file as transcripts; the turns of one conversation are one text."""
    reader = Reader(path, replace(files.reading, strict=True), Setting(closed=True))
    start, document = "", ""
    for location, record in reader.records():
        kind = record.question.kind if record.question is not None else "clip"
        if kind != "demonstration":
            raise PlauditError(
                f"{path}, {location}: --format {reader.form.name} reads a {kind}, and pretraining learns texts: name a "
                "column of texts by --columns text=COLUMN, without --format"
            )
        for item, judgement in zip(record.items, record.judgements, strict=False):
            text = _write(item.messages if isinstance(item, Dialogue) else (), judgement.value["text"])
            if document and not (location == start and text.startswith(document)):
                yield document
            start, document = location, text
    if document:
        yield document


def _write(prompt: tuple[Message, ...], response: str) -> str:
    """A conversation as a transcript, or the response alone if nothing stands before it."""
    if not any(message.content for message in prompt):
        return response
    return join((*prompt, Message("assistant", response))).lstrip("\n")


def fingerprint(texts: Sequence[str]) -> str:
    """A hash of the texts, to tell whether the same ones are read again."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


def train_tokenizer(texts: Sequence[str], vocabulary: int, window: int) -> PreTrainedTokenizerBase:
    """Train a byte-level BPE tokenizer; it has fewer than ``vocabulary`` tokens if the texts have no more pairs.

    Sennrich et al. 2016, on bytes as in Radford et al. 2019, section 2.2: every text has tokens, none is unknown.
    """
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    try:
        plain.train_from_iterator(texts, trainer, length=len(texts))
    except UnicodeEncodeError as error:
        raise PlauditError("a text holds half a character (a lone surrogate): mend or remove it") from error
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=plain,
        eos_token=END,
        pad_token=PAD,
        model_max_length=window,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = TRANSCRIPT
    return wrapped


def create_model(config: PretrainConfig, tokenizer: PreTrainedTokenizerBase, device: torch.device) -> LanguageModel:
    """A Llama with random weights, all of which learn. The same config gives the same weights."""
    shape = config.shape
    wrapped: Any = tokenizer
    settings = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=-(-8 * shape.width // 96) * 32,  # 8/3 of the width, in whole 32s
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=config.fit.length,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=wrapped.eos_token_id,
        pad_token_id=wrapped.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):  # leaves the process's random numbers alone
        torch.manual_seed(config.seed)
        model: Any = LlamaForCausalLM(settings)
    chosen = ModelConfig(model="a new one", method="full", precision=config.precision)
    return prepare(model.to(device), tokenizer, chosen)


def encode(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, special_tokens: Spelling = "text") -> list[Tokens]:
    """Each document as END, its tokens, END. special_tokens: what a special token becomes that a text spells out."""
    wrapped: Any = tokenizer
    plain = Tokenizer.from_str(wrapped.backend_tokenizer.to_str())
    plain.encode_special_tokens = special_tokens == "text"
    end = plain.token_to_id(END)
    encoded: list[Tokens] = []
    for begin in range(0, len(texts), 1000):
        for encoding in plain.encode_batch_fast(list(texts[begin : begin + 1000]), add_special_tokens=False):
            encoded.append(np.array([end, *encoding.ids, end], np.int64))
    return encoded


def split_document(document: Tokens, length: int) -> list[Tree]:
    """Split a document into trees of at most ``length`` tokens, which predict each of its tokens once.

    A piece begins with the last token of the one before it, as its prompt.
    """
    begins = range(0, len(document) - 1, length - 1)
    return [Tree(document[i : i + 1], (document[i + 1 : i + length],)) for i in begins]


def split(encoded: Sequence[Tokens], config: PretrainConfig) -> tuple[list[Tree], list[Tree]]:
    """Pieces to fit to, and pieces held out: some of the documents, or the end of each if there are few.

    Raises:
        PlauditError: there is too little text.
    """
    length, count = config.fit.length, len(encoded)
    if count >= FEW:
        order = np.random.default_rng((config.seed, 2)).permutation(count)
        held_out = set(order[: max(round(config.held_out * count), 1)].tolist())
        learned = [
            tree for i, document in enumerate(encoded) if i not in held_out for tree in split_document(document, length)
        ]
        held_out_pieces = [tree for i in sorted(held_out) for tree in split_document(encoded[i], length)]
    else:
        learned, held_out_pieces = [], []
        for document in encoded:
            cut = len(document) - max(round(config.held_out * len(document)), 2)
            if cut > 2:
                learned += split_document(document[:cut], length)
                held_out_pieces += split_document(document[cut:], length)
    tokens = sum(len(piece) for piece in learned)
    if len(learned) < 2 or not held_out_pieces or tokens < 256:
        total = sum(len(document) for document in encoded)
        raise PlauditError(f"{total} tokens of text are too few to learn from and to hold some out: give more text")
    return learned, held_out_pieces


def count_parameters(model: LanguageModel) -> int:
    """Number of parameters; an embedding that is also the output embedding counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def write_samples(
    write: Callable[[list[Tokens]], list[Tokens]], tokenizer: PreTrainedTokenizerBase, count: int
) -> list[str]:
    """Texts that the model writes after nothing but the end of another document."""
    wrapped: Any = tokenizer
    beginning = np.array([wrapped.convert_tokens_to_ids(END)], np.int64)
    return [wrapped.decode(tokens, skip_special_tokens=True).strip() for tokens in write([beginning] * count)]
