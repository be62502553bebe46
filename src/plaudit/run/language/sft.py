"""The first step of a run on a language model: what to imitate, and imitating it (Ouyang et al. 2022, figure 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from plaudit import layout
from plaudit.feedback.formats import Setting
from plaudit.feedback.formats._hub import exists
from plaudit.feedback.formats.incoming import Reading, import_file
from plaudit.feedback.kinds import KINDS
from plaudit.feedback.kinds.ranking import KIND as RANKING
from plaudit.feedback.store import Store
from plaudit.files import replace_folder
from plaudit.language.demonstrations import read_demonstrations
from plaudit.language.fast.decode import sample
from plaudit.language.models import LanguageModel, ModelConfig, device_of, load
from plaudit.language.prompts import Prompt, explanations
from plaudit.language.text import Chat
from plaudit.language.tune import Demonstrations, Tuner
from plaudit.run.disk import disk_errors
from plaudit.run.fitting import Progress, fit_steps, trainable_state
from plaudit.run.language.config import ChatConfig, ChatRun
from plaudit.run.language.data import add_counts, mendable, read_counts, read_json_file, tokenise, write_json_file
from plaudit.run.language.files import FileCounts
from plaudit.types import Dialogue, Message, PlauditError, Question

BEST = "best-of-n"  # the project of those rankings
TEACHES = {"demonstrations": ("response",), "comparisons": ("preference", "ranks", "ratings")}
IMITATED = "imitated"  # what became of demonstrations, beside what became of their file


def starting_model(run: ChatRun, trained: bool = True) -> LanguageModel:
    """The model that the run is about, or what supervised fine-tuning made of it."""
    # a plain model is loaded once more: low-rank additions of the first step are merged into it by then
    name = str(run.sft) if trained else run.config.model.model
    return load_model(run.config, replace(run.config.model, model=name))


def load_model(config: ChatConfig, model: ModelConfig) -> LanguageModel:
    """A model on the run's device, which writes conversations by the run's template."""
    language_model = load(model, device_of(config.device))
    config.chat_template.apply(language_model.tokenizer, config.data.template)
    return language_model


def frozen_config(config: ModelConfig) -> ModelConfig:
    """The same model, of which nothing learns."""
    return replace(config, method="frozen", layers=None)


def check_file(field: str, name: str) -> None:
    """Raise :class:`PlauditError` unless the file that ``data.field`` names is there."""
    if not exists(Path(name)):
        raise PlauditError(f"there is no {name}: check --data.{field}")


def import_files(run: ChatRun, store: Store) -> None:
    """Bring the files that the run names into its store; doing so again adds nothing.

    Questions that they leave open are not asked in this run.

    Raises:
        PlauditError: a file cannot be read, or one of its lines.
    """
    for project, name in run.config.feedback_files.items():
        check_file(project, name)
        before, starts = read_counts(run).get(project), read_json_file(run, layout.IMPORTS)
        if before is None and project not in starts:
            starts[project] = store.last_event()
            write_json_file(run, layout.IMPORTS, starts)
        reading = Reading() if Path(name) == explanations() else run.config.files.reading
        result = import_file(store, Path(name), reading, Setting(project, closed=True))
        result.check_whole()
        if not result.accepted + result.duplicates + result.surplus:
            reasons = [*result.problems.first, *result.problems.empty]
            first = f" ({reasons[0]})" if reasons else ""
            raise PlauditError(f"{name} holds no judgement{first}: check --data.{project}")
        if before is None:  # with what an import that was killed before it was counted has stored
            events = list(store.events(starts[project]))
            _check_kinds(store, [event.judgement.question for event in events], project, f"{name} ({result.format})")
            new = Counter(event.status == "surplus" for event in events)
            files = FileCounts()
            files.add(Path(name).name, result)
            passed_over = {"repeats": files.repeats, "say nothing": files.empty, "could not be read": files.unread}
            passed_over = {reason: number for reason, number in passed_over.items() if number}
            add_counts(run, project, {"accepted": new[False], "surplus": new[True], **passed_over})
        elif result.accepted or result.surplus:  # else nothing is new to a run that is resumed
            more = {"accepted": result.accepted, "surplus": result.surplus}
            add_counts(run, project, {status: before.get(status, 0) + number for status, number in more.items()})


def _check_kinds(store: Store, questions: Sequence[str], project: str, file: str) -> None:
    """Raise :class:`PlauditError` if a step can learn from no kind of judgement that was new in its file."""
    kinds = Counter(question.kind for question in store.questions(questions))
    if kinds and not any(KINDS[kind].teaches in TEACHES[project] for kind in kinds):
        counts = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.most_common())
        raise PlauditError(
            f"{file} holds no {project}; the kinds of its judgements: {counts}. Name another file as "
            f"--data.{project}, or read this one otherwise: --format"
        )


def fine_tune(
    run: ChatRun,
    store: Store,
    prompts: Sequence[Prompt],
    held_out: Collection[Prompt],
    settle: Callable[[int], object] | None,
    on_progress: Progress,
) -> None:
    """Fine-tune on demonstrations and leave the model in ``run.sft``; goes on where it was stopped.

    held_out: prompts whose responses are not imitated. settle: has the rankings answered of which the best is imitated;
    None: no annotator answers at once.
    """
    if run.sft.exists():
        return
    config = run.config
    torch.manual_seed(config.seed)
    model = starting_model(run, trained=False)
    chat = Chat(model)
    if "demonstrations" not in config.feedback_files and config.best_of and settle is not None:
        _ask_rankings(run, store, model, prompts, settle, on_progress)
    length = min(config.sft.length, model.window)
    examples, counts = read_demonstrations(store, chat, length, chosen=(BEST,), held_out=held_out)
    add_counts(run, IMITATED, counts)
    if examples:
        tuner = Tuner(
            model, model.trainable_parameters(), Demonstrations(model), examples, replace(config.sft, seed=config.seed)
        )
        on_progress("imitating", 0, tuner.steps, str(counts))
        path = run.folder / layout.SFT_CHECKPOINT
        with mendable(run, "sft"):
            for row in fit_steps(run, tuner, trainable_state(model), path, layout.SFT_METRICS):
                on_progress("imitating", tuner.done, tuner.steps, f"loss {row['loss']:.3f}")
    with disk_errors(run.sft):
        with replace_folder(run.sft) as partial:
            model.save(partial)
        (run.folder / layout.SFT_CHECKPOINT).unlink(missing_ok=True)


def _ask_rankings(
    run: ChatRun,
    store: Store,
    model: LanguageModel,
    prompts: Sequence[Prompt],
    settle: Callable[[int], object],
    on_progress: Progress,
) -> None:
    """Have several responses of the untrained model to each of some prompts ranked."""
    config = run.config
    chat = Chat(model)
    order = np.random.default_rng((config.seed, 2)).permutation(len(prompts))[: config.n_demonstrations]
    chosen, counts = tokenise(run, [prompts[index] for index in order], chat)
    add_counts(run, "prompts of step 1", counts)
    generator = torch.Generator(model.device).manual_seed(config.seed)
    questions: list[Question] = []
    items: dict[str, Dialogue] = {}
    batch = max(64 // config.best_of, 1)
    for begin in range(0, len(chosen), batch):
        pairs = chosen[begin : begin + batch]  # prompts, as messages and as tokens
        sampled = sample(model, [tokens for _, tokens in pairs], config.sampling, generator, config.best_of)
        texts = [chat.text(tokens) for tokens in sampled.completions()]
        for position, (prompt, _) in enumerate(pairs):
            responses = texts[config.best_of * position : config.best_of * (position + 1)]
            dialogues = {
                dialogue.id: dialogue
                for dialogue in (Dialogue((*prompt, Message("assistant", t)), "start") for t in responses if t)
            }
            if len(dialogues) > 1:
                items |= dialogues
                questions.append(Question("ranking", tuple(dialogues), RANKING.wording, project=BEST))
        on_progress(
            "writing", min(begin + batch, len(chosen)), len(chosen), f"{config.best_of} responses to each prompt"
        )
    store.ask(questions, list(items.values()))
    settle(len(questions))
