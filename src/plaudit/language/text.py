"""Between conversations and tokens: a text is tokenised once, by the model's own chat template, and never again.

What a text spells out is text: see ``spelled.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit.language.fast.decode import endings
from plaudit.language.models import LanguageModel
from plaudit.language.rows import Tokens, Tree
from plaudit.language.spelled import MARK, Spelled, begins
from plaudit.types import Dialogue, Message, PlauditError

# HH-RLHF's own marks, for models that were never taught a template. As expressions: a newline after a block is trimmed.
TRANSCRIPT = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}"
    "{% elif message['role'] == 'user' %}{{ '\n\nHuman: ' + message['content'] }}"
    "{% else %}{{ '\n\nAssistant: ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\n\nAssistant:' }}{% endif %}"
)


def check_template(tokenizer: Any) -> None:
    """Raise :class:`PlauditError` unless the tokenizer has a chat template."""
    if not getattr(tokenizer, "chat_template", None):
        raise PlauditError(
            "the model's tokenizer has no chat template, so nobody can say how a conversation looks to it: use "
            "--template transcript (Human: ... Assistant: ...), or name a file with one"
        )


def by_template(tokenizer: Any, messages: Sequence[Message], prompted: bool = True) -> str:
    """A conversation as a tokenizer's template writes it; ``prompted``: up to where the assistant is to speak.

    Raises:
        PlauditError: the template refuses it, or is none.
    """
    plain = [{"role": each.role, "content": each.content} for each in messages]
    try:
        return str(tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=prompted))
    except Exception as error:  # a template is a program of whoever made the model, and may raise anything
        raise PlauditError(f"the model's chat template refuses a conversation: {error}") from error


class Chat:
    """A model's way of writing conversations."""

    def __init__(self, model: LanguageModel) -> None:
        """
        Raises:
            PlauditError: the tokenizer has no chat template, or no token that ends a text.
        """
        self.tokenizer: Any = model.tokenizer
        self.ends = endings(model)
        check_template(self.tokenizer)
        if self.tokenizer.chat_template == TRANSCRIPT and begins(self.tokenizer):
            self.tokenizer.chat_template = "{{ bos_token }}" + TRANSCRIPT
        self._spelled = Spelled(self.tokenizer)
        # a tokenizer of words with their spaces may read one in front of a text where a conversation has none
        self._prefixes = [*self._spelled.tokens("a\n"), *self._spelled.tokens("a")] != self._spelled.tokens("a\na")

    def prompt(self, messages: Sequence[Message]) -> Tokens:
        """Tokens of a conversation up to where the assistant is to speak."""
        return self._tokens(self._written(messages, True))

    def tree(self, prompt: Sequence[Message], responses: Sequence[str]) -> Tree:
        """A prompt and responses to it, each with the token that ends it.

        Raises:
            PlauditError: a response is empty, or the template writes what does not begin with the prompt.
        """
        begun = self._written(prompt, True)
        rests = [self._rest(begun, prompt, response) for response in responses]
        return Tree(self._tokens(begun), tuple(self._ended(self._behind(begun, rest)[0]) for rest in rests))

    def placed(self, prompt: Sequence[Message], response: str) -> tuple[Tree, Tokens]:
        """A prompt with a response, and where each of its tokens begins and ends in the response (T, 2), in characters.

        What the template writes around the response lies outside of it: below 0, or behind its end.

        Raises:
            PlauditError: the template changes the response; as :meth:`tree`.
        """
        begun = self._written(prompt, True)
        rest = self._rest(begun, prompt, response)
        before = len(response) - len(response.lstrip())  # a template may trim what stands around
        at = rest.find(self._spelled.kept(response.strip())) - before
        if at < -before:
            raise PlauditError("the chat template changes a response, so that marks in it cannot be placed")
        ids, found = self._behind(begun, rest, placed=True)
        tokens = self._ended(ids)
        end = len(rest.replace(MARK, ""))
        places = np.array([*found, (end, end)], np.int64)[: len(tokens)] - at
        return Tree(self._tokens(begun), (tokens,)), places

    def _rest(self, begun: str, prompt: Sequence[Message], response: str) -> str:
        """What the template writes behind a prompt that it began so."""
        if not response.strip():
            raise PlauditError("a response is empty: leave it out")
        whole = self._written([*prompt, Message("assistant", response)], False)
        if whole.startswith(begun):
            return whole[len(begun) :]
        if whole.startswith(begun.rstrip()):  # "Assistant:" and "Assistant: yes" share no last space
            return whole[len(begun.rstrip()) :]
        raise PlauditError(
            "the chat template writes a conversation that does not begin with its own prompt: name another one"
        )

    def _behind(self, begun: str, rest: str, placed: bool = False) -> tuple[Tokens, list[tuple[int, int]]]:
        """Tokens of what stands behind a prompt, as they are in the whole text where the prompt's are the same there.

        And their places in it, if asked for.
        """
        read = self._spelled.placed if placed else lambda text: (self._spelled.tokens(text), [])
        if self._prefixes:
            (ids, places), before = read(begun + rest), self._spelled.tokens(begun)
            if ids[: len(before)] == before:
                passed = len(begun.replace(MARK, ""))
                places = [(max(start - passed, 0), end - passed) for start, end in places[len(before) :]]
                return np.array(ids[len(before) :], np.int64), places
        ids, places = read(rest)
        return np.array(ids, np.int64), places

    def _ended(self, tokens: Tokens) -> Tokens:
        """Up to the first token that ends a text; with one where there is none."""
        end = np.flatnonzero(np.isin(tokens, self.ends))
        return tokens[: end[0] + 1] if len(end) else np.append(tokens, self.ends[0])

    def dialogues(self, dialogues: Sequence[Dialogue]) -> Tree:
        """Responses to one prompt, as a tree.

        Raises:
            PlauditError: they have different prompts or no response; as :meth:`tree`.
        """
        prompt = dialogues[0].prompt
        responses = [each.response for each in dialogues]
        if any(each.prompt != prompt for each in dialogues) or any(each is None for each in responses):
            raise PlauditError("conversations that are compared must be responses to one prompt")
        return self.tree(prompt, [each for each in responses if each is not None])

    def text(self, tokens: Tokens) -> str:
        """What a completion says, without the tokens that end it."""
        return self.tokenizer.decode(tokens, skip_special_tokens=True).strip()

    def _written(self, messages: Sequence[Message], prompted: bool) -> str:
        return by_template(
            self.tokenizer, [Message(each.role, self._spelled.kept(each.content)) for each in messages], prompted
        )

    def _tokens(self, text: str) -> Tokens:
        return np.array(self._spelled.tokens(text), np.int64)
