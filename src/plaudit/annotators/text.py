"""Annotators of text by name: rules, or language models that judge by written principles.

rule:brief*2+polite?mistake=0.1           rules, weights, how often they err
rule:brief+path/to/file.py:function       a rule from a user's file
ai:local                                  the model that is already loaded
ai:local?model=FOLDER                     another model on this machine
ai:http://host:port/v1#model              a model at an address
ai:local?constitution=principles.txt      any model with a user's principles; & joins options
module:factory                            a user's own annotator
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from plaudit.annotators.ai_judge import CONSTITUTION, Judge, RemoteReader, principles
from plaudit.annotators.critique import Critic
from plaudit.annotators.endpoint import Endpoint
from plaudit.annotators.local import LocalModel, LocalReader
from plaudit.annotators.own import load_annotator
from plaudit.annotators.rules import PREFIX as RULE
from plaudit.annotators.rules import RULES, RuleCheck, rules
from plaudit.interfaces import Annotator
from plaudit.language.models import LanguageModel, ModelConfig, describe_model, load
from plaudit.language.template import TemplateConfig
from plaudit.types import Dialogue, PlauditError

AI = "ai:"
WAYS = {"constitution": "FILE", "model": "FOLDER"}
Load = Callable[[], LanguageModel]


def text_annotator(
    name: str,
    seed: int = 0,
    local: Load | None = None,
    device: torch.device | None = None,
    template: TemplateConfig | None = None,
    trust: bool = False,
) -> Annotator:
    """The annotator of that name. It loads its model, or calls its address, at the first question.

    local: loads the model that ``ai:local`` means. device: for another model; None: a GPU if there is one.
    template: variables for the chat template of ``ai:local``. trust: run Python code that another model's author put
    next to its weights.

    Raises:
        PlauditError: the name is unknown, or a constitution or a model's tokenizer cannot be read; the chat template
            does not read a variable; as :func:`~plaudit.annotators.own.load_annotator`.
    """
    _check_variables(name, template)
    if name.startswith(RULE):
        return rules(name, seed)
    if ":" in name and not name.startswith(AI):
        return load_annotator(name)
    model, constitution = _model(
        name, local, partial(_another, device=device, template=template, trust=trust), template
    )
    reader = RemoteReader(model) if isinstance(model, Endpoint) else LocalReader(model)
    return Judge(reader, constitution, name, seed)


def text_critic(
    name: str,
    seed: int = 0,
    local: Load | None = None,
    device: torch.device | None = None,
    template: TemplateConfig | None = None,
    trust: bool = False,
) -> Critic:
    """The critic called ``ai:...``; as :func:`text_annotator`."""
    _check_variables(name, template)
    model, constitution = _model(
        name, local, partial(_another, device=device, template=template, trust=trust), template
    )
    return Critic(model, constitution, name, seed)


def text_rule(name: str) -> Callable[[Dialogue], bool] | None:
    """A check that a response has full marks by the rules of that name; None if the annotator does not use rules."""
    return RuleCheck(rules(name)) if name.startswith(RULE) else None


def _check_variables(name: str, template: TemplateConfig | None) -> None:
    """Raise :class:`PlauditError` if variables are passed to an annotator that writes by no chat template here."""
    if template is not None and template.kwargs and name.partition("?")[0] != f"{AI}local":
        raise PlauditError(f"--template-kwargs is for ai:local, and {name} uses no chat template here: leave it out")


def _model(
    name: str, local: Load | None, another: Callable[[str], Load], template: TemplateConfig | None
) -> tuple[LocalModel | Endpoint, tuple[str, ...]]:
    """The model and the principles that ``ai:...`` means."""
    if not name.startswith(AI):
        raise PlauditError(
            f"there is no annotator of texts called {name!r}: rule:NAME+NAME with {', '.join(RULES)}; ai:local; "
            "ai:http://host:port/v1#model; or your own as MODULE:FACTORY"
        )
    model_name, _, query = name.removeprefix(AI).partition("?")
    options = _options(name, query, ("constitution", "model") if model_name == "local" else ("constitution",))
    constitution = principles(Path(options["constitution"]) if "constitution" in options else CONSTITUTION)
    if model_name != "local":
        return Endpoint.from_name(model_name), constitution
    if "model" in options:
        return LocalModel(another(options["model"]), name), constitution
    if local is None:
        raise PlauditError("ai:local is the model at hand, and there is none: name ai:http://host:port/v1#model")
    return LocalModel(_with_template(local, template), name), constitution


def _options(name: str, text: str, allowed: Sequence[str]) -> dict[str, str]:
    """``constitution=FILE&model=FOLDER`` as a table."""
    options: dict[str, str] = {}
    for setting in re.split(rf"&(?=(?:{'|'.join(allowed)})=)", text) if text else []:
        option, _, value = setting.partition("=")
        if option not in allowed or option in options or not value:
            ways = " or ".join(f"?{option}={WAYS[option]}" for option in allowed)
            raise PlauditError(f"{name}: there is no option {setting!r}: write {ways}, or leave it out")
        options[option] = value
    return options


def _another(model: str, device: torch.device | None, template: TemplateConfig | None, trust: bool) -> Load:
    """A loader of the model of that name; its chat template is checked at once."""
    config = ModelConfig(model, "frozen", trust_remote_code=trust)
    (template or TemplateConfig()).apply(describe_model(config)[0], "own")
    target = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return _with_template(lambda: load(config, target), template)


def _with_template(load_model: Load, template: TemplateConfig | None) -> Load:
    """A loader of the same model, whose chat template has the variables."""
    if template is None or not template.kwargs:
        return load_model

    def load_with_variables() -> LanguageModel:
        model = load_model()
        template.apply(model.tokenizer, "own")
        return model

    return load_with_variables
