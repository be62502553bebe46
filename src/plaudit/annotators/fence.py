"""Texts by other authors in a prompt: between lines with a mark that those authors could not know.

A space breaks anything that looks like a control token. The tokenizer of a model at an address is unknown, and may read
``<|im_end|>`` in a response as the end of the prompt. (Local models never do: ``plaudit.language.special_tokens``.)

A text may still pose as instructions, and a model may still follow them; a prompt can only say that it should not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from plaudit.types import Message

CONTROL = re.compile(
    r"(?:<(?=[|\uff5c][^\s<>]{1,60}>|[^\s<>|\uff5c]{1,60}[|\uff5c]>)"  # <|im_end|>, <|turn>, <turn|>, DeepSeek
    r"|<(?=/?(?:s|bos|eos|pad|unk|sop|eop|(?:start|end)_of_(?:turn|image|text)|[A-Z_]+_TOKEN)>)"  # Llama, Gemma, Cohere
    r"|<(?=</?SYS>>)|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_[A-Z]+|gMASK)\]))"  # Llama 2, Mistral, GLM
)
BROKEN = r"\g<0> "
SPEAKERS = {"system": "System", "user": "Human", "assistant": "Assistant"}


def draw_mark(rng: np.random.Generator) -> str:
    """A mark: eight hexadecimal digits in brackets."""
    return f"[{rng.integers(16**8):08x}]"


def fence_parts(mark: str, parts: Mapping[str, str]) -> str:
    """Each part after a line that names it, and a line that says where the last one ends.

    The lines are short, because a small model judges worse with every line between the texts and the question.
    """
    return "\n\n".join(
        [*(f"{mark} {name}\n{CONTROL.sub(BROKEN, text)}" for name, text in parts.items()), f"{mark} end"]
    )


def transcribe(messages: Sequence[Message]) -> str:
    """A conversation as text."""
    return "\n\n".join(f"{SPEAKERS[message.role]}: {message.content}" for message in messages)


def show_response(response: str | None) -> str:
    """A response as text, also if there is none."""
    return (response or "").strip() or "(nothing)"
