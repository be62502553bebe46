"""The tiny language model of the tests of language."""

from ..language.conftest import tiny, tokenizer

__all__ = ["tiny", "tokenizer"]
