"""The annotators of a run on a language model, and the session whose questions they answer."""

from __future__ import annotations

import functools
import importlib.util
import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from plaudit import layout
from plaudit.annotators.choosing import SelectiveStore, can_judge
from plaudit.annotators.own import check_annotator
from plaudit.annotators.text import text_annotator, text_rule
from plaudit.annotators.worker import drain
from plaudit.feedback.store import Store
from plaudit.interfaces import Annotator
from plaudit.language.evaluate import Rule
from plaudit.language.loading import report
from plaudit.language.models import LanguageModel, describe_model, device_of, window_of
from plaudit.language.policy import Completions
from plaudit.language.prompts import expand_held_out
from plaudit.language.reward import load_heads_config
from plaudit.language.spans import load_span_heads
from plaudit.language.special_tokens import read_special
from plaudit.language.template import Template, check_template
from plaudit.language.template_check import Findings, check_conversations, judged_conversations
from plaudit.language.text import check_vocabulary
from plaudit.run.fitting import Progress
from plaudit.run.language.config import ChatConfig, ChatRun
from plaudit.run.language.data import add_counts, prompts_in, read_counts, texts_in
from plaudit.run.language.rlhf import ChatContext, ChatDomain
from plaudit.run.language.sft import check_file, fine_tune, frozen_config, import_files, load_model
from plaudit.run.session import Session
from plaudit.types import PlauditError

SHARE = 0.5  # of the answers by people that a fit waits for
LOOK_SECONDS = 1.0
PROMPTS_WRITTEN, CONVERSATIONS_WRITTEN = "template on prompts", "template on conversations"  # names of counts
SPELLED = "texts with special tokens read as text"  # name of counts


def pin_template(config: ChatConfig) -> ChatConfig:
    """The settings with the text and the date of the chat template: a run that resumes uses them on every day.

    Raises:
        PlauditError: there is no such model or template, or the template does not read a variable.
    """
    tokenizer, _ = describe_model(config.model)
    return replace(config, chat_template=config.chat_template.pin(tokenizer, config.data.template))


def check(config: ChatConfig, annotator: Annotator | None = None) -> list[str]:
    """Find faults of the settings before anything is written; what the chat template does to prompts, a line each.

    annotator: as :func:`session_of`.

    Raises:
        PlauditError: there is no such model, annotator, prompt file or device; the model knows no conversation, or
            takes fewer tokens than it shall; a reward model does not go with it; vLLM is asked for and not there; the
            chat template refuses a prompt, or loses or changes text and the settings do not accept that.
    """
    device_of(config.device)
    tokenizer, shape = describe_model(config.model)
    config.chat_template.apply(tokenizer, config.data.template)
    check_template(tokenizer)
    _check_window(config, "the model", shape)
    if config.passages is not None and not Path(config.passages).is_dir():
        raise PlauditError(f"there is no folder {config.passages}: check --passages")
    for name, heads, model_name in (
        (config.reward_model, partial(load_heads_config, trust=config.model.trust_remote_code), "the reward model"),
        (config.passages, load_span_heads, "the passages model"),
    ):
        if name is not None:
            heads(Path(name))
            reward_tokenizer, shape = describe_model(replace(config.model, model=name))
            check_vocabulary(name, reward_tokenizer, tokenizer)
            _check_window(config, model_name, shape)
    if config.sampling.engine == "vllm":
        _check_vllm()
    for field, name in config.feedback_files.items():
        check_file(field, name)
    texts = texts_in(config)
    findings = _check_prompts(config, tokenizer)
    special_tokens = read_special(
        tokenizer, [*_prompt_texts(config), *([texts[0], *texts[1]] if config.data.text else [])]
    )
    if annotator is not None:
        check_annotator(annotator)
    elif not config.people:
        annotator_of(config.annotator, config)
    annotator_of(config.judge, config)
    return [*findings.check(config.chat_template.changes), *special_tokens.describe_refused()]


def _prompt_texts(config: ChatConfig) -> list[str]:
    return [message.content for side in prompts_in(config) for prompt in side for message in prompt]


def _check_prompts(config: ChatConfig, tokenizer: Any) -> Findings:
    """What the chat template does to the prompts of a run.

    Raises:
        PlauditError: it refuses a prompt.
    """
    prompts = [prompt for side in prompts_in(config) for prompt in side]
    findings = check_conversations(Template.from_tokenizer(tokenizer), prompts)
    findings.check_prompts()
    return findings


def count_template(run: ChatRun, store: Store) -> None:
    """Count what the chat template does to prompts and files, and special tokens in them, before anybody is asked.

    Raises:
        PlauditError: it loses or changes text, and the settings do not accept that.
    """
    config = run.config
    if PROMPTS_WRITTEN in read_counts(run):
        return
    tokenizer, _ = describe_model(config.model)
    config.chat_template.apply(tokenizer, config.data.template)
    conversations = judged_conversations(store)
    judged = check_conversations(Template.from_tokenizer(tokenizer), conversations)
    special_tokens = read_special(tokenizer, [message.content for messages in conversations for message in messages])
    for line in [*judged.check(config.chat_template.changes), *special_tokens.describe_refused()]:
        report(line)
    spelled = read_special(tokenizer, [*special_tokens.refused, *_prompt_texts(config)]).count_refused()
    if spelled:
        add_counts(run, SPELLED, spelled)
    if judged.total:
        add_counts(run, CONVERSATIONS_WRITTEN, {"checked": judged.total, **judged.counts})
    prompts = _check_prompts(config, tokenizer)
    add_counts(run, PROMPTS_WRITTEN, {"checked": prompts.total, **prompts.counts})


def _check_window(config: ChatConfig, model_name: str, shape: PretrainedConfig) -> None:
    longest = config.data.prompt_tokens + config.sampling.tokens
    window = window_of(shape)
    if longest > window:
        raise PlauditError(
            f"prompts of up to {config.data.prompt_tokens} tokens and {config.sampling.tokens} new tokens do not "
            f"fit {model_name}'s window of {window}: lower --prompt-tokens or --tokens"
        )


def _check_vllm() -> None:
    if "vllm" not in sys.modules and importlib.util.find_spec("vllm") is None:
        raise PlauditError("--sampling.engine vllm needs vLLM: pip install vllm, on a machine with a GPU")


def annotator_of(name: str, config: ChatConfig) -> Annotator:
    """The annotator of that name; a local judge is the run's own model as it was before the run."""

    def local() -> LanguageModel:
        return load_model(config, frozen_config(config.model))

    trust = config.model.trust_remote_code
    return text_annotator(name, config.seed, local, device_of(config.device), trust=trust)


def session_of(
    run: ChatRun, on_progress: Progress, annotator: Annotator | None = None
) -> tuple[Session[Completions, ChatDomain], Callable[[], None]]:
    """Fine-tune first where that is not done; then the session of the run, and the function that closes it.

    annotator: judges in the place of the annotator that the settings name.
    """
    config = run.config
    prompts, held_out = prompts_in(config)
    store = Store.open(run.folder / layout.FEEDBACK)
    try:
        import_files(run, store)
        count_template(run, store)
        settle: Callable[[int], object]
        if config.people:
            settle = functools.partial(_wait, store, on_progress)
        else:
            annotator = annotator_of(config.annotator, config) if annotator is None else check_annotator(annotator)
            store.release_all(annotator.name)  # leases that a killed run left behind
            settle = functools.partial(_drain, store, annotator)
        unseen_prompts = expand_held_out(held_out, config.data.system)
        fine_tune(run, store, prompts, unseen_prompts, None if config.people else settle, on_progress)
        context = ChatContext(store, settle, held_out_rule(config), unseen_prompts, on_progress)
        return ChatDomain(run, prompts, context).session(), store.close
    except BaseException:
        store.close()
        raise


def session_to_report(run: ChatRun) -> tuple[Session[Completions, ChatDomain], Callable[[], None]]:
    """The session of a run as its last checkpoint left it, to be reported on, and the function that closes it.

    Nothing is trained, asked or written, and no lease is touched: the run may be under way in another process.

    Raises:
        PlauditError: there is no checkpoint yet.
    """
    config = run.config
    if not (run.sft.exists() and run.checkpoints()):
        raise PlauditError(
            f"{run.folder} has nothing to report yet, because its first round is not over: wait for it, or continue "
            "with "
            f"`plaudit resume {layout.shell_path(run.folder)}`"
        )
    prompts, held_out = prompts_in(config)
    store = Store.open(run.folder / layout.FEEDBACK, create=False)
    try:
        unseen_prompts = expand_held_out(held_out, config.data.system)
        context = ChatContext(store, lambda n_asked: None, held_out_rule(config), unseen_prompts, lambda *_: None)
        return ChatDomain(run, prompts, context).session(), store.close
    except BaseException:
        store.close()
        raise


def held_out_rule(config: ChatConfig) -> Rule | None:
    """The held-out rule, where the judge is one."""
    return text_rule(config.judge)


def _drain(store: Store, annotator: Annotator, n_asked: int) -> None:
    """Questions that the annotator cannot answer stay open: other programs may ask in a run's store."""
    drain(SelectiveStore(store, functools.partial(can_judge, annotator.name)), annotator)


def _wait(store: Store, on_progress: Progress, n_asked: int) -> None:
    """Wait until people have answered half of the questions so far: a run never gets further ahead of them."""
    n_required = math.ceil(SHARE * n_asked)
    while (answered := max(n_asked - store.waiting(), 0)) < n_required:
        on_progress("waiting for answers", answered, n_required, "")
        time.sleep(LOOK_SECONDS)
    on_progress("waiting for answers", n_required, n_required, "")
