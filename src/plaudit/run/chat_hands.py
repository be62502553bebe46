"""Who answers in a run on a language model, and the session that they answer to."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable

from plaudit.annotators.text import text_annotator, text_rule
from plaudit.annotators.worker import drain
from plaudit.feedback.store import Store
from plaudit.interfaces import Annotator
from plaudit.language.evaluate import Rule
from plaudit.language.models import LanguageModel, described, load
from plaudit.language.prompts import parted, prompts_of
from plaudit.language.text import check_template
from plaudit.run.chat import ChatSession, Hands
from plaudit.run.chat_config import ChatConfig, ChatRun
from plaudit.run.chat_start import Told, device_of, imported, plain, supervised, template, there
from plaudit.types import PlauditError

SHARE = 0.5  # of the answers by people that a fit waits for
LOOK_SECONDS = 1.0


def check(config: ChatConfig) -> None:
    """Find out what can be found out before anything is written.

    Raises:
        PlauditError: there is no such model, annotator, prompt file or device; the model knows no conversation, or
            takes fewer tokens than it shall.
    """
    device_of(config.device)
    tokenizer, shape = described(config.model)
    if config.data.template == "own":
        check_template(tokenizer)
    else:
        template(config.data.template)
    for field in ("demonstrations", "comparisons", "text"):
        name = getattr(config.data, field)
        if name is not None:
            there(field, name)
    longest, window = (
        config.data.prompt_tokens + config.sampling.tokens,
        getattr(shape, "max_position_embeddings", None),
    )
    if window is not None and longest > window:
        raise PlauditError(
            f"prompts of up to {config.data.prompt_tokens} tokens and {config.sampling.tokens} to be written do not "
            f"fit the model's window of {window}: lower --prompt-tokens or --tokens"
        )
    parted(prompts_of(config.data.prompts), config.data.held_out, config.seed)
    if not config.people:
        annotator_of(config.annotator, config)
    annotator_of(config.judge, config)


def annotator_of(name: str, config: ChatConfig) -> Annotator:
    """The annotator of that name; a local judge is the run's own model as it was before the run."""

    def local() -> LanguageModel:
        return load(plain(config.model), device_of(config.device))

    return text_annotator(name, config.seed, local)


def session_of(run: ChatRun, told: Told) -> tuple[ChatSession, Callable[[], None]]:
    """The session of a run whose first step is done, which it does first, and what closes it."""
    config = run.config
    prompts, _ = parted(prompts_of(config.data.prompts, config.data.system), config.data.held_out, config.seed)
    store = Store.open(run.folder / "feedback.sqlite")
    try:
        imported(run, store)
        settle: Callable[[int], object]
        if config.people:
            settle = functools.partial(_wait, store, told)
        else:
            annotator = annotator_of(config.annotator, config)
            store.release_all(annotator.name)  # leases that a killed run left behind
            settle = functools.partial(_drain, store, annotator)
        supervised(run, store, prompts, None if config.people else settle, told)
        return ChatSession(run, prompts, Hands(store, settle, watched(config), told)), store.close
    except BaseException:
        store.close()
        raise


def watched(config: ChatConfig) -> Rule | None:
    """The held-out rule, where the judge is one."""
    return text_rule(config.judge)


def _drain(store: Store, annotator: Annotator, asked: int) -> None:
    drain(store, annotator)


def _wait(store: Store, told: Told, asked: int) -> None:
    """Until people have answered half of what was asked so far: a run never gets further ahead of them."""
    wanted = max(1, math.ceil(SHARE * asked))
    while (answered := asked - store.waiting()) < wanted:
        told("waiting for answers", max(answered, 0), wanted, "")
        time.sleep(LOOK_SECONDS)
    told("waiting for answers", wanted, wanted, "")
