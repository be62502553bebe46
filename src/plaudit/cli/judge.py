"""`plaudit judge` and `plaudit critique`: programs judge and criticise texts, without a run."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol, TypeVar

import torch
import tyro

from plaudit.annotators.choosing import SelectiveStore, can_judge
from plaudit.annotators.critique import self_critique
from plaudit.annotators.revisions import revisions_in, write_revisions
from plaudit.annotators.text import AI, text_annotator, text_critic
from plaudit.annotators.worker import drain
from plaudit.api.console import say, write_line
from plaudit.api.progress import bar
from plaudit.cli.arguments import parse
from plaudit.cli.files import FileArguments
from plaudit.cli.models import ModelArguments
from plaudit.feedback.store import Store
from plaudit.interfaces import Annotator
from plaudit.language.bundled import NAME
from plaudit.language.models import LanguageModel, ModelConfig, device_of, load
from plaudit.language.prompts import load_prompts
from plaudit.language.template import TemplateConfig
from plaudit.run.disk import disk_errors
from plaudit.run.interrupt import ctrl_c
from plaudit.types import Answer, Item, PlauditError, Question

Judge = TypeVar("Judge")
JUDGED_AT_ONCE = 16  # questions that are claimed, and answered, in one transaction
SQLITE = b"SQLite format 3\0"
JUDGE_HELP = """Have a program answer the open questions of a store: rules, or a model with written principles.

Questions that the program cannot answer (other kinds, clips) stay open. Every judgement is stored at once, so the same
command continues after a stop. Questions that were claimed at a kill are open again half a minute later.

examples:
  plaudit judge feedback.sqlite --annotator rule:brief+polite
  plaudit judge collect/feedback.sqlite --annotator ai:http://localhost:8000/v1#my-model
  plaudit judge feedback.sqlite --annotator "ai:local?constitution=principles.txt" --base runs/sft/model"""
CRITIQUE_HELP = """Have a model respond to prompts, criticise its responses by written principles, and write them anew.

FILE holds the last revision of each response, as demonstrations: plaudit tune sft FILE, or plaudit train chat
--demonstrate FILE. A store next to it holds the critiques. The same command continues after a stop. Ctrl-C waits for
the prompts that are under way; a second Ctrl-C does not wait.

examples:
  plaudit critique prompts.txt --annotator ai:http://localhost:8000/v1#my-model --out revised.jsonl
  plaudit critique builtin --annotator "ai:local?constitution=principles.txt" --base ./my-model --out revised.jsonl"""


@dataclass(frozen=True)
class JudgeArguments(ModelArguments):
    """`plaudit judge STORE`."""

    store: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STORE")]
    """Store with open questions: a file, or postgresql://..."""
    annotator: str
    """The annotator: rule:NAME+NAME, ai:local, or ai:http://host:port/v1#model, each with its options."""
    base: str = NAME
    """The model for ai:local: a hub id or a folder; judgements are signed with it (?model=...)."""
    template_kwargs: tuple[str, ...] = ()
    """Variables for the chat template of ai:local, such as enable_thinking=false."""
    seed: int = 0
    """Seed of the principles that are drawn, and of mistakes."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device for ai:local; auto: the GPU if there is one."""


@dataclass(frozen=True)
class CritiqueArguments(FileArguments, ModelArguments):
    """`plaudit critique PROMPTS`."""

    prompts: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PROMPTS")]
    """Prompts: builtin, a .txt with one prompt per line, or a file of prompts or of feedback."""
    annotator: str
    """The model that writes: ai:local, or ai:http://host:port/v1#model; ?constitution=FILE names other principles."""
    out: Path
    """File of demonstrations (.jsonl) to write; the store next to it ends in .critiques.sqlite."""
    revisions: int = 1
    """Number of times that each response is criticised and revised."""
    base: str = NAME
    """The model for ai:local: a hub id or a folder; critiques are signed with it (?model=...)."""
    template_kwargs: tuple[str, ...] = ()
    """Variables for the chat template of ai:local, such as enable_thinking=false."""
    seed: int = 0
    """Seed of the responses, and of the principles that are drawn."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device for ai:local; auto: the GPU if there is one."""


class AnnotatorArguments(Protocol):
    """The arguments that name an annotator and its model."""

    @property
    def annotator(self) -> str:
        """The annotator's name."""
        ...

    @property
    def base(self) -> str:
        """The model for ai:local."""
        ...

    @property
    def template_kwargs(self) -> tuple[str, ...]:
        """Variables for the chat template of ai:local."""
        ...

    @property
    def seed(self) -> int:
        """Seed of what is drawn."""
        ...

    @property
    def device(self) -> str:
        """Device for ai:local."""
        ...

    @property
    def trust_remote_code(self) -> bool:
        """Whether code that comes with the model may run."""
        ...


@dataclass(frozen=True)
class ReportingAnnotator:
    """An annotator that says how far it is, and stops between two answers when Ctrl-C was pressed."""

    annotator: Annotator
    on_progress: Callable[[str], None]
    check: Callable[[], None]

    @property
    def name(self) -> str:
        """As the annotator's."""
        return self.annotator.name

    def judge(self, question: Question, items: Sequence[Item]) -> Answer:
        """As the annotator's."""
        self.check()
        answer = self.annotator.judge(question, items)
        self.on_progress(question.id)
        return answer


def judge(arguments: list[str]) -> int:
    """`plaudit judge STORE`."""
    _check_store(arguments)
    parsed = parse(JudgeArguments, arguments, "judge", JUDGE_HELP)
    annotator = make_annotator(text_annotator, parsed)
    with Store.open(parsed.store, create=False) as store, bar() as on_progress, ctrl_c() as check:
        chosen = SelectiveStore(store, functools.partial(can_judge, annotator.name))
        total, judged = store.waiting(), set[str]()

        def count_judgement(question: str) -> None:
            judged.add(question)
            on_progress("judging", min(len(judged), total), total, f"{len(chosen.rejected)} skipped")

        on_progress("judging", 0, max(total, 1), "")
        try:
            drain(chosen, ReportingAnnotator(annotator, count_judgement, check), batch=JUDGED_AT_ONCE, wait=False)
        except KeyboardInterrupt:
            say(f"stopped after {len(judged)} judgements, which are kept; the same command continues")
            raise
        left = store.waiting()
    for remark in getattr(annotator, "remarks", ()):
        say(remark)
    skipped = len(chosen.rejected)
    open_elsewhere = max(left - skipped, 0)
    write_line(
        f"{len(judged)} judged by {annotator.name}, {skipped} skipped (not for this annotator)"
        + (
            f", {open_elsewhere} still open: claimed by others, undecided, or in need of more judgements"
            if open_elsewhere
            else ""
        )
    )
    return 0


def is_store(path: Path) -> bool:
    """Whether a file is empty or begins as an SQLite database does."""
    with disk_errors(path), path.open("rb") as file:
        return file.read(len(SQLITE)) in (b"", SQLITE)


def _check_store(arguments: Sequence[str]) -> None:
    """Raise :class:`PlauditError` if a file of feedback is named in place of a store."""
    files = [name for name in arguments[:1] if Path(name).is_file() and not is_store(Path(name))]
    options = [name for name in arguments if name.partition("=")[0] in ("--format", "--columns")]
    if files or options:
        raise PlauditError(
            f"plaudit judge reads a store, and {[*files, *options][0]} is about a file: make a store of its questions, "
            "plaudit import FILE feedback.sqlite --ask 1 (which takes --format and --columns), and judge that"
        )


def critique(arguments: list[str]) -> int:
    """`plaudit critique PROMPTS`."""
    parsed = parse(CritiqueArguments, arguments, "critique", CRITIQUE_HELP)
    if parsed.revisions < 1:
        raise PlauditError(f"--revisions must be at least 1, got {parsed.revisions}")
    if not parsed.annotator.startswith(AI):
        raise PlauditError(f"{parsed.annotator} cannot write responses: name ai:local or ai:http://host:port/v1#model")
    prompts = list(dict.fromkeys(load_prompts(parsed.prompts, reading=parsed.reading)))
    critiques_path = parsed.out.with_suffix(".critiques.sqlite")
    if parsed.out.suffix not in (".jsonl", ".json"):
        raise PlauditError(f"{parsed.out} must end in .jsonl or .json")
    if parsed.out.exists() and not critiques_path.exists():
        raise PlauditError(f"{parsed.out} already exists without its critiques: choose another --out")
    critic = make_annotator(text_critic, parsed)
    with Store.open(critiques_path) as store, bar() as on_progress, ctrl_c(at_once=False) as check:

        def progress(done: int) -> None:
            on_progress("writing", min(already_done + done, len(prompts)), len(prompts), f"{critic.name}")
            check()

        already_done = len(revisions_in(store, critic.name, prompts))
        on_progress("writing", already_done, len(prompts), "")
        try:
            self_critique(store, prompts, critic, parsed.revisions, progress)
        except KeyboardInterrupt:
            say(f"stopped; continue with: plaudit critique {shlex.join(arguments)}")
            raise
        finally:  # the revisions so far are useful, too
            revised = revisions_in(store, critic.name, prompts)
            with disk_errors(parsed.out):
                write_revisions(parsed.out, revised)
    for remark in critic.remarks:
        say(remark)
    missing = len(prompts) - len(revised)
    write_line(
        f"{len(revised)} responses revised by {critic.name}: {parsed.out}; critiques: {critiques_path}"
        + (f"; {missing} prompts left out, because the model wrote nothing for them" if missing else "")
    )
    return 0


def make_annotator(make: Callable[..., Judge], parsed: AnnotatorArguments) -> Judge:
    """The annotator or the critic that the arguments name; ``make`` is :func:`text_annotator` or its like."""
    name, device = _sign(parsed.annotator, parsed.base), device_of(parsed.device)
    template = TemplateConfig(parsed.template_kwargs)
    return make(name, parsed.seed, _local(device), device, template, parsed.trust_remote_code)


def _sign(annotator: str, base: str) -> str:
    """The annotator with the model in its name, where that is not the default: what another says is not its own."""
    local, _, options = annotator.partition("?")
    if local != f"{AI}local" or base == NAME or re.search(r"(^|&)model=", options):
        return annotator
    return f"{local}?{options and options + '&'}model={base}"


def _local(device: torch.device) -> Callable[[], LanguageModel]:
    """What loads the model that ai:local means, when it is first asked."""
    return lambda: load(ModelConfig(NAME, "frozen"), device)
