"""Annotators of text by name: rules, or language models that judge by written principles.

rule:brief*2+polite?mistake=0.1           rules, weights, how often they err
ai:local                                  the model at hand
ai:http://host:port/v1#model              a model at an address
ai:local?constitution=principles.txt      either of them, by principles of one's own
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from plaudit.annotators.ai_judge import CONSTITUTION, Judge, RemoteReader, principles
from plaudit.annotators.critique import Critic
from plaudit.annotators.endpoint import Endpoint
from plaudit.annotators.local import LocalModel, LocalReader
from plaudit.annotators.rules import PREFIX as RULE
from plaudit.annotators.rules import RULES, Satisfied, rules
from plaudit.interfaces import Annotator
from plaudit.language.models import LanguageModel
from plaudit.types import PlauditError

AI = "ai:"
Load = Callable[[], LanguageModel]


def text_annotator(name: str, seed: int = 0, local: Load | None = None) -> Annotator:
    """The annotator of that name. A model is loaded, or an address called, when the first question comes.

    local: gives the model that ``ai:local`` means.

    Raises:
        PlauditError: nobody is called so, or a constitution cannot be read.
    """
    if name.startswith(RULE):
        return rules(name, seed)
    model, found = _model(name, local)
    reader = RemoteReader(model) if isinstance(model, Endpoint) else LocalReader(model)
    return Judge(reader, found, name, seed)


def text_critic(name: str, seed: int = 0, local: Load | None = None) -> Critic:
    """The critic called ``ai:...``; raises as :func:`text_annotator`."""
    model, found = _model(name, local)
    return Critic(model, found, name, seed)


def text_rule(name: str) -> Callable[[str], bool] | None:
    """Whether a text has full marks, where the annotator of that name goes by rules; None where it does not."""
    return Satisfied(rules(name)) if name.startswith(RULE) else None


def _model(name: str, local: Load | None) -> tuple[LocalModel | Endpoint, tuple[str, ...]]:
    """The model and the principles that ``ai:...`` means."""
    if not name.startswith(AI):
        raise PlauditError(
            f"there is no annotator of texts called {name!r}: rule:NAME+NAME with {', '.join(RULES)}; ai:local; or "
            "ai:http://host:port/v1#model"
        )
    named, _, options = name.removeprefix(AI).partition("?")
    option, _, value = options.partition("=")
    if options and (option != "constitution" or not value):
        raise PlauditError(f"{name}: there is no option {options!r}: write ?constitution=FILE, or leave it out")
    found = principles(Path(value) if value else CONSTITUTION)
    if named != "local":
        return Endpoint.named(named), found
    if local is None:
        raise PlauditError("ai:local is the model at hand, and there is none: name ai:http://host:port/v1#model")
    return LocalModel(local, name), found
