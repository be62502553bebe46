"""Conversations as others write them, into dialogues and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.feedback.formats._markup import split_markup
from plaudit.feedback.formats._record import Empty, Fields, Omissions, Record, parse_cell
from plaudit.feedback.formats._roles import ROLES, TOOLS
from plaudit.feedback.formats._transcripts import split_prompt
from plaudit.types import Dialogue, Message

PROMPTS = (
    *("prompt", "question", "instruction", "query", "inputs", "input", "post", "problem", "user_prompt"),
    *("context_messages", "prompt_messages"),
)
CONVERSATIONS = (
    *("messages", "conversations", "conversation", "dialog", "dialogue", "trajectory", "turns", "data", "contents"),
)
SYSTEMS = ("system", "system_prompt", "system_message", "system_instruction")
SUBJECTS = ("input", "context", "passage", "article", "document")  # what an instruction or a question is about
ASKING = ("instruction", "question", "query", "prompt")  # columns that may be about one of them
TASK = "definition"  # what to do with the inputs
PROMPT_WORDS = frozenset(  # in names of columns that may hold a prompt
    (
        *("prompt", "question", "instruction", "query", "input", "ask", "user", "human", "post", "context", "problem"),
        *("message", "messages", "conversation", "conv", "dialogue", "history", "request", "article", "document"),
        *("passage", "title", "situation", "task", "x"),
    )
)
NO_PROMPT_WORDS = frozenset(
    (
        *("id", "source", "model", "template", "type", "name", "hash", "category", "topic", "language", "chosen"),
        *("rejected", "rating", "score", "labelling", "system", "tokens", "length", "set", "url", "author"),
    )
)
PARTS = ("text", "input_text", "output_text")  # types of a content's parts that hold text
ROLE_KEYS = ("role", "from", "author", "speaker")  # of a turn; the last two as Label Studio's Paragraphs have it
CONTENT_KEYS = ("content", "value", "parts", "text")
TURN_KEYS = ({"role"}, {"from", "value"}, {"input", "output"}, {"author", "text"}, {"speaker", "text"})
ECHO = 20  # characters of a prompt from which on two responses that begin with it hold it
CLIPS = "their items are clips, and the format holds text"


def user(text: str) -> tuple[Message, ...]:
    """A prompt of one turn."""
    return (Message("user", text),)


def reply(prompt: Sequence[Message], response: str, model: str | None = None) -> Dialogue:
    """A prompt with a response to it."""
    return Dialogue((*prompt, Message("assistant", response)), model)


def messages(row: Fields, name: str) -> tuple[Message, ...]:
    """A list of ``{"role": ..., "content": ...}`` or ``{"from": ..., "value": ...}``, or one such object.

    Turns of tools and parts of a content that are no text are left out, and counted by the trace.
    """
    return tuple(message for message, _ in read_turns(row, name))


def read_turns(row: Fields, name: str) -> list[tuple[Message, Fields]]:
    """The same messages, each with the object that it was read from."""
    parsed = [(_message(turn), turn) for turn in _split_turns(row, name)]
    return [(message, turn) for message, turn in parsed if message is not None]


def _split_turns(row: Fields, name: str) -> list[Fields]:
    """The turns of a conversation, also of a list of texts by turns, and of exchanges with an input and an output."""
    value = parse_cell(row.get(name))
    if isinstance(value, Mapping):
        return [row.object(name)]
    path = f"{row.path}.{name}" if row.path else name
    if is_list_of_texts(value):
        return [
            Fields({"role": ("user", "assistant")[index % 2], "content": text}, f"{path}[{index}]", row.trace)
            for index, text in enumerate(value)
        ]
    if not isinstance(value, list | tuple):
        raise row.fault(name, f"must be text or a list, got {value!r:.60}")
    turns: list[Fields] = []
    for turn in row.objects(name):
        if {"input", "output"} <= set(turn.value) and "role" not in turn.value:
            turns += [
                Fields({"role": role, "content": turn.text(field)}, turn.path, row.trace)
                for role, field in (("user", "input"), ("assistant", "output"))
            ]
        else:
            turns.append(turn)
    return turns


def is_list_of_texts(value: Any) -> bool:
    """Whether a value is a list of one or more texts."""
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(text, str) for text in value)


def is_conversation(value: Any) -> bool:
    """Whether a value is a list of turns: with roles, texts by turns, or exchanges with an input and an output."""
    if not isinstance(value, list) or not value:
        return False
    if is_list_of_texts(value):
        return len(value) > 1
    keys = [set(turn) if isinstance(turn, Mapping) else set() for turn in value]
    return all(any(key >= turn for turn in TURN_KEYS) for key in keys)


def find_conversation(columns: Mapping[str, Any]) -> str | None:
    """The column that holds a conversation; None if there is none. One of texts alone may be a list of documents."""
    name = next((name for name in CONVERSATIONS if columns.get(name)), None)
    turns = None if name is None else parse_cell(columns[name])
    documents = name == "contents" and is_list_of_texts(turns)
    return name if is_conversation(turns) and not documents else None


def find_opening(columns: Mapping[str, Any]) -> str | None:
    """The column with a conversation that ends with the user's turn, so that a response may follow it; None if none."""
    name = find_conversation(columns)
    last = parse_cell(columns[name])[-1] if name is not None else None
    role = next((last[key] for key in ROLE_KEYS if key in last), "") if isinstance(last, Mapping) else ""
    return name if ROLES.get(str(role).strip().casefold()) == "user" else None


def _message(turn: Fields) -> Message | None:
    """A turn; None, and counted, if a tool wrote or read it."""
    role_name = next((name for name in ROLE_KEYS if name in turn.value), ROLE_KEYS[0])
    content_name = next((name for name in CONTENT_KEYS if name in turn.value), CONTENT_KEYS[0])
    spelling = turn.text(role_name)
    role = spelling.strip().casefold()
    if role in TOOLS:
        turn.note(f"a turn of the role {role!r} is left out")
        return None
    if role not in ROLES:
        raise turn.fault(role_name, f"must be one of {', '.join(ROLES)}, got {spelling!r}")
    if any(turn.has(field) for field in ("tool_calls", "function_call")):
        turn.note("a call of a tool is left out")
        if not turn.has(content_name):
            return None
    return Message(ROLES[role], _content(turn, content_name))


def _content(turn: Fields, name: str) -> str:
    """A content as text, or as a list of parts, of which those that hold text are joined."""
    if not isinstance(turn.get(name), list | tuple):
        return turn.text(name)
    texts = []
    for index, value in enumerate(turn.get(name)):
        if isinstance(value, str):
            texts.append(value)
            continue
        part = Fields(value, f"{turn.path}.{name}[{index}]")
        kind = part.text("type", None) or next((key for key in part.value if key not in PARTS), "text")
        if kind in PARTS or (not part.has("type") and part.has("text")):
            texts.append(part.text("text"))
        else:
            turn.note(f"a part of the type {kind!r} is left out")
    return "\n".join(texts)


def conversation(row: Fields, name: str, model: str | None = None) -> Dialogue:
    """A list of messages that is not empty, as a dialogue."""
    turns = messages(row, name)
    if not turns:
        raise Empty(f"field '{name}' is an empty conversation")
    return Dialogue(turns, model)


def prompt_of(row: Fields, name: str) -> tuple[Message, ...]:
    """A prompt given as text (one turn of the user, or a transcript), or as a list of messages."""
    value = row.get(name)
    inner = parse_cell(value)
    if isinstance(inner, Mapping) and "messages" in inner:  # OpenAI's files of preferences
        return messages(row.object(name), "messages")
    if not isinstance(value, str) or _spells_turns(value):
        return messages(row, name)
    return split_prompt(value) or user(value)


def read_prompt(row: Fields, required: bool = False) -> tuple[Message, ...]:
    """The prompt under any of its usual names, after the columns ``system`` and ``history``; () if there is none.

    ``history`` is a list of pairs (a user's turn, the answer), as in LLaMA-Factory's Alpaca files. Alpaca's ``input``
    and Dolly's ``context`` are what an ``instruction`` is about.
    """
    opening = find_opening(row.value) if row.find(PROMPTS) is None else None
    name = row.find(PROMPTS, required) if opening is None else opening
    prompt = () if name is None else prompt_of(row, name)
    if opening is not None:
        row.mark(opening, PROMPTS[0])
    subject = next((column for column in SUBJECTS if _is_subject(row, column, name)), None)
    if subject is not None and prompt and row.text(subject).strip() not in prompt[-1].content:
        prompt = (*prompt[:-1], Message("user", f"{prompt[-1].content}\n\n{row.text(subject)}"))
    if name == "inputs" and prompt and row.value.get(TASK):  # of Super-NaturalInstructions
        prompt = (Message("system", row.text(TASK)), *prompt)
    turns: list[Message] = []
    for index, exchange in enumerate(row.list("history", ())):
        pair = exchange if isinstance(exchange, list | tuple) else ()
        if len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise row.fault("history", f"[{index}] must be a pair of texts: a turn of the user and the answer")
        turns += [Message("user", pair[0]), Message("assistant", pair[1])]
    return with_system(row, (*turns, *prompt)) if prompt or turns else ()


def check_prompt(row: Fields) -> None:
    """Raise where responses have no prompt, and a column that is not read looks like one.

    Raises:
        Empty: the prompt is null.
        Fault: a column of another name holds text that may be the prompt.
    """
    for name, value in row.value.items():
        if name in PROMPTS and value is None:
            raise Empty(f"field '{name}' is null, and the responses hold no prompt")
        words = set(re.findall(r"[a-z]+", name.casefold().replace("_", " "))) if isinstance(name, str) else set()
        text = isinstance(value, str) and value.strip() != ""
        if words & PROMPT_WORDS and not words & NO_PROMPT_WORDS and (text or is_conversation(parse_cell(value))):
            raise row.fault(
                name, f"looks like the prompt, which the two responses do not hold: --columns prompt={name} reads it"
            )


def _is_subject(row: Fields, column: str, prompt: str | None) -> bool:
    """Whether a column holds the text that an instruction, or a question with a context, is about."""
    if prompt not in (("instruction", "prompt") if column == "input" else ASKING):
        return False
    row.mark(column, column)
    text = row.value.get(column)
    return isinstance(text, str) and bool(text.strip())


def with_system(row: Fields, turns: tuple[Message, ...]) -> tuple[Message, ...]:
    """A conversation after the text of the column ``system``, unless it begins with the same.

    Raises:
        Fault: it begins with another system message.
    """
    row.mark(SYSTEMS[0], SYSTEMS[0])
    name = next((name for name in SYSTEMS if row.value.get(name) not in (None, "", [], {})), None)
    if name is None or not turns:
        return turns
    row.mark(name, SYSTEMS[0])
    system = _read_system(row, name)
    if not system.strip():
        return turns
    if turns[0].role != "system":
        return (Message("system", system), *turns)
    if turns[0].content.strip() != system.strip():
        raise row.fault(name, "is another text than the system message that the conversation begins with")
    return turns


def _read_system(row: Fields, name: str) -> str:
    """The text of a system message: text, a list of parts, or an object that holds either."""
    value = row.get(name)
    if isinstance(value, Mapping):
        message = row.object(name)
        return _content(message, "parts" if "parts" in value else "content" if "content" in value else "text")
    return _content(row, name)


def continue_prompt(row: Fields, name: str, prompt: tuple[Message, ...]) -> tuple[Message, ...]:
    """The whole conversation that a column's text or messages make with a prompt.

    Messages that begin as the prompt does hold it already: then it is not put before them.

    Raises:
        Fault: the messages begin with a turn of the user that is not the prompt's.
    """
    value = row.get(name)
    if is_list_of_texts(value) and prompt:
        raise row.fault(name, f"is a list of texts: --columns completion={name}[0] takes the first of them")
    if isinstance(value, str) and not _spells_turns(value):
        turns = split_markup(value)
        if turns and (not prompt or repeats(prompt, turns)):
            return _with_prompt(prompt, turns)
        return (*prompt, Message("assistant", value))
    turns = messages(row, name)
    if not turns:
        raise Empty(f"field '{name}' is an empty conversation")
    if not prompt or turns[0].role == "assistant":
        return (*prompt, *turns)
    if repeats(prompt, turns):
        return _with_prompt(prompt, turns)
    raise row.fault(name, f"begins with {quote(turns[0].content)}, and the prompt is {quote(prompt[-1].content)}")


def _with_prompt(prompt: Sequence[Message], turns: tuple[Message, ...]) -> tuple[Message, ...]:
    """A conversation that holds its prompt already, after the system message of the prompt if it has none."""
    return turns if turns[0].role == "system" or not prompt or prompt[0].role != "system" else (prompt[0], *turns)


def cut_prompt(row: Fields, names: Sequence[str]) -> Fields:
    """The same object without the prompt's text where all these columns are texts that begin with it.

    The prompt must be too long for chance, because two responses to a short one may begin with its words.
    """
    column = row.find(PROMPTS)
    text = row.get(column).strip() if column and isinstance(row.get(column), str) else ""
    values = [row.get(name) for name in names]
    if len(text) < ECHO or not all(isinstance(value, str) and value.lstrip().startswith(text) for value in values):
        return row
    responses = {name: value.lstrip()[len(text) :].lstrip() for name, value in zip(names, values, strict=True)}
    return Fields({**row.value, **responses}, row.path, row.trace)


def repeats(prompt: Sequence[Message], turns: Sequence[Message]) -> bool:
    """Whether a conversation holds its prompt: it begins with the same turns, or the prompt is one turn of its user."""
    conversation_turns, prompt_turns = _normalise(turns), _normalise(prompt)
    begins = conversation_turns[: len(prompt_turns)] == prompt_turns
    return begins or (len(prompt_turns) == 1 and prompt_turns[0] in conversation_turns)


def _normalise(turns: Sequence[Message]) -> list[tuple[str, str]]:
    """Roles and texts without system messages and without differences in white space."""
    return [(message.role, " ".join(message.content.split())) for message in turns if message.role != "system"]


def quote(text: str) -> str:
    """The begin of a text, in quotes, for a message."""
    short = " ".join(text.split())
    return repr(short if len(short) <= 40 else f"{short[:37]}...")


def _spells_turns(text: str) -> bool:
    """Whether a text, such as a cell of a CSV file, spells a list of messages as JSON."""
    value = parse_cell(text)
    turn = value[0] if isinstance(value, list) and value else value
    return isinstance(turn, Mapping) and ({"role", "content"} <= set(turn) or {"from", "value"} <= set(turn))


def chat(sequence: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as ``{"role": ..., "content": ...}``."""
    return [{"role": message.role, "content": message.content} for message in sequence]


def plain(prompt: Sequence[Message]) -> Any:
    """A prompt as text where it is one user turn, else as a list of messages."""
    return prompt[0].content if len(prompt) == 1 and prompt[0].role == "user" else chat(prompt)


def texts(record: Record, left: Omissions) -> list[Dialogue] | None:
    """The record's items where all of them are text; None, and counted, where one is a clip."""
    dialogues = [item for item in record.items if isinstance(item, Dialogue)]
    if len(dialogues) < len(record.items):
        left.add(CLIPS, len(record.judgements))
        return None
    return dialogues


def shared_prompt(first: Dialogue, second: Dialogue) -> tuple[Message, ...] | None:
    """The prompt of two responses to the same prompt; None where they are no such pair."""
    comparable = first.prompt == second.prompt and first.response is not None and second.response is not None
    return first.prompt if comparable else None


def by_identity(chosen: Dialogue, rejected: Dialogue) -> tuple[tuple[Dialogue, Dialogue], int]:
    """The two in the order of their ids, and the strength that says the first argument is the better one.

    A file of chosen and rejected does not say which was shown first. In this order the same pair is the same question,
    whoever prefers which, and the chosen one does not always stand on the left.
    """
    if chosen.id == rejected.id:
        raise Empty("field 'chosen' is the same as 'rejected': there is nothing to compare")
    return ((chosen, rejected), 4) if chosen.id < rejected.id else ((rejected, chosen), -4)
