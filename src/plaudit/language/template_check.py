"""What a chat template does to the conversations of a run, found before anybody is asked and before anything is fitted.

Each conversation is written once and searched for its own texts. What depends only on the roles of a conversation
(a turn that is never written, an order that changes) is found once per sequence of roles, with texts that occur nowhere
else in place of the real ones.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

from plaudit.feedback.kinds import KINDS
from plaudit.feedback.store import Store
from plaudit.language.template import StoppedTemplate, Template
from plaudit.language.template_words import find_added
from plaudit.types import Dialogue, Message, PlauditError

Conversation = tuple[Message, ...]
THINKING = re.compile(r"</?think>")
NAMES = {"system": "the system message", "user": "a turn of the user", "assistant": "a turn of the assistant"}
PRIVATE = 0xF0000  # the first of 65,534 characters without a meaning
EXCERPT = 60  # characters of a text in a message
CALLS = 4  # times that a conversation is written, to find a template that writes it differently each time
DAYS = (*range(1, 32), *range(32, 400, 15))  # days after the template's, one in each month and of each kind
CLOCK = "strftime_now"
REFUSED = (
    "refuses",
    "drops",
    "changes",
    "varies",
    "moves",
    "repeats",
    "ignores",
    "begins",
)  # kinds that lose or change text


@dataclass
class Findings:
    """What a template does, by kind, with the number of conversations and the first one."""

    total: int = 0
    counts: Counter[str] = field(default_factory=Counter)  # by what the template does
    kinds: dict[str, str] = field(default_factory=dict)  # of each, its kind
    first: dict[str, str] = field(default_factory=dict)  # of each, the first conversation, or the template's words

    def add(self, kind: str, description: str, detail: str) -> None:
        """Count a conversation."""
        self.counts[description] += 1
        self.kinds.setdefault(description, kind)
        self.first.setdefault(description, detail)

    def lines(self, *kinds: str) -> list[str]:
        """A line for each finding of these kinds, or of all but those that are refused."""
        return [
            f"the chat template {description} ({count} of {self.total} conversations; {self.first[description]})"
            for description, count in self.counts.items()
            if (self.kinds[description] in kinds if kinds else self.kinds[description] not in REFUSED)
        ]

    def check_prompts(self) -> None:
        """Raise :class:`PlauditError` if the template refuses one, because a policy must answer every prompt."""
        lines = self.lines("refuses")
        if lines:
            raise PlauditError(f"{lines[0]}: leave those prompts out, change them, or name another --template")

    def check(self, changes: str) -> list[str]:
        """The lines to be said.

        Raises:
            PlauditError: the template loses or changes text, and ``changes`` is not "accept".
        """
        faults = self.lines(*(kind for kind in REFUSED if kind != "refuses"))
        if faults and changes != "accept":
            more = f" (and {len(faults) - 1} more: {'; '.join(faults[1:])})" if len(faults) > 1 else ""
            raise PlauditError(
                f"{faults[0]}{more}: name another --template, change the data, or take it as it is with "
                "--template-changes accept"
            )
        return [*self.lines("refuses"), *faults, *self.lines()]


@dataclass(frozen=True)
class Frame:
    """What a template writes for a sequence of roles, with a unique text in place of each message."""

    template: Template
    roles: tuple[str, ...]

    @cached_property
    def texts(self) -> list[str]:
        """The unique texts: one character each, of no alphabet, which a template can neither shorten nor change."""
        return [chr(PRIVATE + index) for index in range(len(self.roles))]

    @cached_property
    def messages(self) -> list[Message]:
        """The conversation of unique texts."""
        return [Message(role, text) for role, text in zip(self.roles, self.texts, strict=True)]  # type: ignore[arg-type]

    @cached_property
    def output(self) -> str:
        """The conversation; with the opening of the assistant's turn if the assistant is to continue."""
        return self._write()

    def _write(self, days: int = 0) -> str:
        """The conversation as the template writes it so many days later."""
        template = replace(self.template, date=self.template.date + datetime.timedelta(days)) if days else self.template
        return template.render(self.messages, self.roles[-1] != "assistant")

    @cached_property
    def starts(self) -> list[int]:
        """Where each unique text begins, or -1."""
        return [self.output.find(text) for text in self.texts]

    @cached_property
    def findings(self) -> list[tuple[str, str, str]]:
        """Kind, description and detail of what follows from the roles alone."""
        findings = [
            ("drops", f"drops {self.name(index)}", self._excerpt())
            for index, start in enumerate(self.starts)
            if start < 0
        ]
        findings += [
            ("repeats", f"writes {self.name(index)} twice", self._excerpt())
            for index, text in enumerate(self.texts)
            if self.output.count(text) > 1
        ]
        turns = [start for start, role in zip(self.starts, self.roles, strict=True) if role != "system" and start >= 0]
        if turns != sorted(turns):
            findings.append(("moves", "moves a turn to another place", self._excerpt()))
        if any(self._write() != self.output for _ in range(CALLS - 1)):
            return [*findings, ("varies", "writes a conversation differently each time", self._excerpt())]
        system = self._system()
        added = find_added(self.output, self.texts, bool(system), self.template.special_tokens)
        words = [("adds", "adds words of its own", _show(added))] if added else []
        return [*findings, *system, *words, *self._opening(), *self._date()]

    def _excerpt(self) -> str:
        text = self.output
        for unique, role in zip(self.texts, self.roles, strict=True):
            text = text.replace(unique, f"({role})")
        return f"it writes {_show(text)}"

    def name(self, index: int) -> str:
        """What the message at that index is."""
        role, last = self.roles[index], index == len(self.roles) - 1
        return NAMES[role] + ("" if role == "system" or last else " before the last turn")

    def _system(self) -> list[tuple[str, str, str]]:
        """What becomes of the system message, or the one that the template adds."""
        if "system" in self.roles:
            return self._merged_system()
        if self.roles[0] != "user":
            return []
        try:
            frame = Frame(self.template, ("system", *self.roles))
            start, user = frame.starts[:2]
        except StoppedTemplate:
            raise
        except PlauditError:  # the template takes no system message
            return []
        head, tail = frame.output[:start], frame.output[start + len(frame.texts[0]) : user]
        opening = self.output[: self.starts[0]]
        added = opening[len(head) : len(opening) - len(tail)]
        if start < 0 or user < start or not (opening.startswith(head) and opening.endswith(tail)) or not added.strip():
            return []
        return [("adds", "adds a system message of its own", _show(added.strip()))]

    def _merged_system(self) -> list[tuple[str, str, str]]:
        index = self.roles.index("system")
        start = self.starts[index]
        if start < 0 or index + 1 >= len(self.roles):
            return []
        behind = [s for s, role in zip(self.starts, self.roles, strict=True) if role != "system" and s > start]
        if not behind or min(behind) != self.starts[index + 1]:
            return [("merges", "writes the system message at another place", self._excerpt())]
        if not self.output[start + len(self.texts[index]) : min(behind)].strip():
            return [("merges", "writes the system message into the user's turn", self._excerpt())]
        return []

    def _opening(self) -> list[tuple[str, str, str]]:
        """Whether the conversation with a response begins with the prompt, and what stands before the response."""
        if self.roles[-1] == "assistant":
            prompt_roles = self.roles[:-1]
            try:
                return Frame(self.template, prompt_roles)._opening() if prompt_roles else []
            except StoppedTemplate:
                raise
            except PlauditError:  # the template writes whole conversations only
                return [("begins", "refuses a prompt without its response", self._excerpt())]
        response = Frame(self.template, (*self.roles, "assistant"))
        try:
            whole = response.output
        except StoppedTemplate:
            raise
        except PlauditError:  # the template has its own word about that when it is found in the data
            return []
        prompt = self.output if whole.startswith(self.output) else self.output.rstrip()
        if not whole.startswith(prompt):
            return [("begins", "writes a prompt otherwise once a response follows it", response._excerpt())]
        before = whole[len(prompt) : response.starts[-1]] if response.starts[-1] >= 0 else ""
        if before.strip() and self.output == self.template.render(self.messages, False):
            return [("ignores", "ignores add_generation_prompt", f"a response begins with {_show(before)}")]
        return []

    def _date(self) -> list[tuple[str, str, str]]:
        if CLOCK not in self.template.text or all(self._write(days) == self.output for days in DAYS):
            return []
        return [("dates", "writes the date", f"{self.template.date}, which the run keeps")]


def check_conversations(template: Template, conversations: Iterable[Conversation]) -> Findings:
    """What a template does to these conversations, each counted once for each finding.

    Raises:
        StoppedTemplate: the template takes too much time or memory, or writes too much.
    """
    findings, frames = Findings(), {}
    for messages in dict.fromkeys(conversations):
        findings.total += 1
        roles = tuple(message.role for message in messages)
        frame = frames.setdefault(roles, Frame(template, roles))
        try:
            output = template.render(messages, roles[-1] != "assistant")
            described = frame.findings
        except StoppedTemplate:
            raise
        except PlauditError as error:
            words = str(error).removeprefix("the model's chat template refuses a conversation: ")
            findings.add("refuses", f"refuses {_describe_roles(roles)}", f'its own words: "{words}"')
            continue
        entries = [*described, *_compare(messages, output, frame)]
        if not any(kind in REFUSED for kind, _, _ in entries):
            entries += _compare_surroundings(messages, output, frame)
        for kind, description, detail in {
            description: entry for entry in entries for description in [entry[1]]
        }.values():
            findings.add(kind, description, detail)
    return findings


def judged_conversations(store: Store) -> list[Conversation]:
    """The conversations that judgements in a store are about, with the responses that people wrote."""
    judgements = store.judgements()
    conversations = []
    for judgement, question in zip(judgements, store.questions([j.question for j in judgements]), strict=True):
        dialogues = [item for item in store.items(list(question.items)) if isinstance(item, Dialogue)]
        kind = KINDS[question.kind]
        if kind.teaches == "response" and dialogues:
            response = kind.target(judgement.value)
            if response:
                conversations.append((*dialogues[0].prompt, Message("assistant", str(response))))
        elif kind.teaches is not None:
            conversations += [dialogue.messages for dialogue in dialogues]
    return [messages for messages in conversations if messages[-1].content.strip()]  # an empty one is passed over


def _describe_roles(roles: Sequence[str]) -> str:
    """What is unusual about a sequence of roles."""
    turns = [role for role in roles if role != "system"]
    if not turns:
        return "a system message without a turn"
    if turns[0] == "assistant":
        return "conversations that begin with the assistant"
    if any(first == second for first, second in pairwise(turns)):
        return "two turns of one role in a row"
    return "a system message" if "system" in roles else "a conversation"


def _compare(messages: Conversation, output: str, frame: Frame) -> list[tuple[str, str, str]]:
    """Texts that are not in what the template wrote, in their order; texts that it never writes are left out."""
    position, findings = 0, []
    for index in sorted((i for i, start in enumerate(frame.starts) if start >= 0), key=lambda i: frame.starts[i]):
        content, name = messages[index].content, frame.name(index)
        parts = [part.strip() for part in [content]]
        end = _find(parts, output, position)
        if end < 0 and THINKING.search(content):  # a template may lay out thinking anew, or leave it out
            parts = [part.strip() for part in THINKING.split(content)]
            end = _find(parts, output, position)
            if end < 0:
                end = _find(parts[-1:], output, position)
                if end >= 0:
                    kind = "drops" if index == len(messages) - 1 else "thinks"
                    findings.append((kind, f"leaves out the thinking of {name}", f"the first: {_show(content)}"))
        if end < 0:
            findings.append(("changes", f"changes {name}", f"the first: {_show(content)} in {_show(output, content)}"))
        else:
            position = end
    return findings


def _compare_surroundings(messages: Conversation, output: str, frame: Frame) -> list[tuple[str, str, str]]:
    """Whether the template writes something else around these texts than around other texts; not white space."""
    contents = dict(zip(frame.texts, (message.content for message in messages), strict=True))
    if any(THINKING.search(content) for content in contents.values()):  # templates lay it out in their own way
        return []
    expected = re.sub("|".join(contents), lambda match: contents[match[0]], frame.output)
    plain, expected_plain = ("".join(text.split()) for text in (output, expected))
    if plain == expected_plain:
        return []
    length = next(
        (i for i, (a, b) in enumerate(zip(plain, expected_plain, strict=False)) if a != b), len(expected_plain)
    )
    excerpt = _show(plain[max(length - EXCERPT // 3, 0) :])
    return [("depends", "writes other words around some texts, which depend on what they say", f"the first: {excerpt}")]


def _find(parts: Sequence[str], output: str, position: int) -> int:
    """The end of the last of these texts, which stand in the text in this order; -1 if they do not."""
    for part in parts:
        start = output.find(part, position)
        if start < 0:
            return -1
        position = start + len(part)
    return position


def _show(text: str, beginning: str = "") -> str:
    """An excerpt of a text in one line, in quotation marks: its start, or where it leaves ``beginning``."""
    if beginning:
        length = next((n for n in range(min(len(beginning), EXCERPT), 2, -1) if beginning[:n] in text), 0)
        start = max(text.find(beginning[:length]) + length - EXCERPT // 2, 0) if length else 0
        text = text[start:]
    text = " ".join(text.split())
    return f'"{text[:EXCERPT]}{"..." if len(text) > EXCERPT else ""}"'
