"""Conversations to tokens, by the model's own chat template. A text is tokenised once and never read back.

A special token that a text spells out stays text, or becomes the token: see ``special_tokens.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit.language.fast.decode import endings
from plaudit.language.models import LanguageModel
from plaudit.language.rows import Tokens, Tree
from plaudit.language.special_tokens import MARK, SpecialTokens, adds_bos
from plaudit.language.template import TRANSCRIPT, Template, check_template
from plaudit.types import Dialogue, Message, PlauditError


def apply_template(tokenizer: Any, messages: Sequence[Message], prompted: bool = True) -> str:
    """A conversation as the tokenizer's template writes it; ``prompted``: with the opening of the assistant's turn.

    Raises:
        PlauditError: as :meth:`plaudit.language.template.Template.render`.
    """
    return Template.from_tokenizer(tokenizer).render(messages, prompted)


def check_vocabulary(name: str, tokenizer: Any, policy_tokenizer: Any) -> None:
    """Raise :class:`PlauditError` unless a reward model reads the policy's tokens as the policy means them."""
    if tokenizer.get_vocab() != policy_tokenizer.get_vocab():
        raise PlauditError(
            f"the reward model in {name} has another vocabulary than the policy: name one that was trained on the "
            "same base, or name its base as --base"
        )


def shared_prompt(dialogues: Sequence[Dialogue]) -> tuple[Message, ...]:
    """The messages that all dialogues begin with, up to a turn of the assistant in each; () if there are none."""
    first = dialogues[0]
    if all(dialogue.prompt == first.prompt for dialogue in dialogues):
        return first.prompt
    columns = list(zip(*(dialogue.messages for dialogue in dialogues), strict=False))
    shared = next((index for index, column in enumerate(columns) if len(set(column)) > 1), len(columns) - 1)
    while shared and any(message.role != "assistant" for message in columns[shared]):
        shared -= 1
    return first.messages[:shared]


class Chat:
    """Writes conversations as a model's tokens, and reads completions as text.

    Attributes:
        special_tokens: those of the model, with a count of the texts in which they stayed text.
    """

    def __init__(self, model: LanguageModel) -> None:
        """
        Raises:
            PlauditError: the tokenizer has no chat template, or no token that ends a text.
        """
        self.tokenizer: Any = model.tokenizer
        self._size = len(model.output)
        self.ends = endings(model)
        check_template(self.tokenizer)
        if self.tokenizer.chat_template == TRANSCRIPT and adds_bos(self.tokenizer):
            self.tokenizer.chat_template = "{{ bos_token }}" + TRANSCRIPT
        self.special_tokens = SpecialTokens(self.tokenizer)
        # some tokenizers add a space before every text, also where the conversation has none
        tokens = self.special_tokens.tokens
        self._prefixes = [*tokens("a\n"), *tokens("a")] != tokens("a\na")

    def prompt(self, messages: Sequence[Message]) -> Tokens:
        """Tokens of a conversation, with the opening of the assistant's turn."""
        return self._tokens(self._apply_template(messages, True))

    def tree(self, prompt: Sequence[Message], responses: Sequence[str]) -> Tree:
        """A prompt and responses to it, each with the token that ends it.

        Raises:
            PlauditError: a response is empty, or the template's conversation does not begin with the prompt.
        """
        written_prompt = self._apply_template(prompt, True)
        rests = [self._rest(written_prompt, prompt, response) for response in responses]
        return Tree(
            self._tokens(written_prompt),
            tuple(self._end(self._tokens_after(written_prompt, rest)[0]) for rest in rests),
        )

    def locate(self, prompt: Sequence[Message], response: str) -> tuple[Tree, Tokens]:
        """A prompt with a response, and each response token's begin and end in the response (T, 2), in characters.

        What the template writes around the response lies outside of it: below 0, or after its end.

        Raises:
            PlauditError: the template changes the response; as :meth:`tree`.
        """
        written_prompt = self._apply_template(prompt, True)
        rest = self._rest(written_prompt, prompt, response)
        before = len(response) - len(response.lstrip())  # a template may trim white space
        start = rest.find(self.special_tokens.mark(response.strip())) - before
        if start < -before:
            raise PlauditError("the chat template changes a response, so that marks in it cannot be placed")
        ids, offsets = self._tokens_after(written_prompt, rest, with_offsets=True)
        tokens = self._end(ids)
        end = len(rest.replace(MARK, ""))
        offsets_in_response = np.array([*offsets, (end, end)], np.int64)[: len(tokens)] - start
        return Tree(self._tokens(written_prompt), (tokens,)), offsets_in_response

    def _rest(self, written_prompt: str, prompt: Sequence[Message], response: str) -> str:
        """What the template writes after the prompt, with the response."""
        self._check_response(response)
        return self._after(written_prompt, [*prompt, Message("assistant", response)])

    def _check_response(self, response: str) -> None:
        """Raise :class:`PlauditError` if a response is empty, or spells the token that ends it before its end."""
        begin, after = response, ""
        if self.special_tokens.learn:
            ends = self.tokenizer.convert_ids_to_tokens(self.ends)
            positions = {response.find(name): name for name in ends if name in response}
            if positions:
                first = min(positions)
                begin, after = response[:first], response[first + len(positions[first]) :]
                for name in ends:
                    after = after.replace(name, "")
        if not begin.strip():
            raise PlauditError("a response is empty: leave it out")
        if after.strip():
            raise PlauditError(
                "a response spells the token that ends it before its last words: cut the response there, or read it as "
                "text (--special-tokens text)"
            )

    def _after(self, written_prompt: str, messages: Sequence[Message]) -> str:
        """What the template writes of a conversation after the prompt that it begins with."""
        whole = self._apply_template(messages, False)
        if whole.startswith(written_prompt):
            return whole[len(written_prompt) :]
        if whole.startswith(written_prompt.rstrip()):  # "Assistant:" and "Assistant: yes" share no last space
            return whole[len(written_prompt.rstrip()) :]
        raise PlauditError(
            "with this chat template a conversation does not begin with its prompt: name another template"
        )

    def _tokens_after(
        self, written_prompt: str, rest: str, with_offsets: bool = False
    ) -> tuple[Tokens, list[tuple[int, int]]]:
        """Tokens of ``rest``, which stands after the prompt, and their offsets in it ([] without ``with_offsets``).

        If the tokenizer adds a space before a text, they are cut from the tokens of the whole text, provided that those
        begin with the prompt's.
        """
        read = (
            self.special_tokens.tokens_with_offsets
            if with_offsets
            else lambda text: (self.special_tokens.tokens(text), [])
        )
        if self._prefixes:
            (ids, offsets), before = read(written_prompt + rest), self.special_tokens.tokens(written_prompt)
            if ids[: len(before)] == before:
                prompt_length = len(written_prompt.replace(MARK, ""))
                offsets = [
                    (max(start - prompt_length, 0), end - prompt_length) for start, end in offsets[len(before) :]
                ]
                return self._check_tokens(ids[len(before) :]), offsets
        ids, offsets = read(rest)
        return self._check_tokens(ids), offsets

    def _check_tokens(self, ids: Sequence[int]) -> Tokens:
        """The tokens as an array.

        Raises:
            PlauditError: the model has no embedding for one of them.
        """
        token = max(ids, default=0)
        if token >= self._size:
            name = self.tokenizer.convert_ids_to_tokens(token)
            raise PlauditError(
                f"the tokenizer reads a text as token {token} ({name!r}), and the model has {self._size} tokens: leave "
                "that text out"
            )
        return np.array(ids, np.int64)

    def _end(self, tokens: Tokens) -> Tokens:
        """The tokens up to the first that ends a text; one is appended if there is none.

        Raises:
            PlauditError: words follow that token, because an end is a token that texts contain.
        """
        end = np.flatnonzero(np.isin(tokens, self.ends))
        if not len(end):
            return np.append(tokens, self.ends[0])
        if (
            not self.special_tokens.learn
            and self.tokenizer.decode(tokens[end[0] + 1 :], skip_special_tokens=True).strip()
        ):
            name = self.tokenizer.convert_ids_to_tokens(int(tokens[end[0]]))
            raise PlauditError(
                f"a response contains the token {name!r}, which ends a text, before its last words: leave it out, or "
                "take that token out of eos_token_id in the model's generation_config.json"
            )
        return tokens[: end[0] + 1]

    def dialogues(self, dialogues: Sequence[Dialogue]) -> Tree:
        """Dialogues with one prompt as a tree; if they part earlier, the prompt is the messages that they share.

        Raises:
            PlauditError: they have nothing in common, or one has no response; as :meth:`tree`.
        """
        responses = [dialogue.response for dialogue in dialogues]
        if None in responses:
            raise PlauditError("conversations that are compared must end with the assistant's turn")
        prompt = shared_prompt(dialogues)
        if all(dialogue.prompt == prompt for dialogue in dialogues):
            return self.tree(prompt, [response for response in responses if response is not None])
        if not prompt:
            raise PlauditError(
                "conversations that are compared must be responses to one prompt: they begin differently"
            )
        written_prompt = self._apply_template(prompt, True)
        completions = [self._continuation(written_prompt, dialogue.messages) for dialogue in dialogues]
        return Tree(self._tokens(written_prompt), tuple(completions))

    def _continuation(self, written_prompt: str, messages: Sequence[Message]) -> Tokens:
        """All turns after the prompt, up to the token that ends the last one."""
        for message in messages:
            if message.role == "assistant":
                self._check_response(message.content)
        tokens, _ = self._tokens_after(written_prompt, self._after(written_prompt, messages))
        ends = np.flatnonzero(np.isin(tokens, self.ends))
        if len(ends) and not self.tokenizer.decode(tokens[ends[-1] + 1 :]).strip():
            return tokens[: ends[-1] + 1]
        return np.append(tokens, self.ends[0])

    def text(self, tokens: Tokens) -> str:
        """The text of a completion, without the token that ends it.

        Other special tokens are left out, or stay as they are spelled if texts spell them.
        """
        if self.special_tokens.learn:
            tokens = tokens[:-1] if len(tokens) and tokens[-1] in self.ends else tokens
            return self.tokenizer.decode(tokens, skip_special_tokens=False).strip()
        return self.tokenizer.decode(tokens, skip_special_tokens=True).strip()

    def _apply_template(self, messages: Sequence[Message], prompted: bool) -> str:
        return apply_template(
            self.tokenizer,
            [Message(message.role, self.special_tokens.mark(message.content)) for message in messages],
            prompted,
        )

    def _tokens(self, text: str) -> Tokens:
        return self._check_tokens(self.special_tokens.tokens(text))
