"""`plaudit assist`: a model writes the critiques that people read beside the questions of a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from plaudit.annotators.assist import criticise
from plaudit.annotators.text import AI, text_critic
from plaudit.api.console import say, write_line
from plaudit.api.progress import bar
from plaudit.cli.arguments import parse
from plaudit.cli.judge import make_annotator
from plaudit.cli.models import ModelArguments
from plaudit.feedback.store import Store
from plaudit.language.bundled import NAME
from plaudit.run.interrupt import ctrl_c
from plaudit.types import PlauditError

ASSIST_HELP = """Have a model criticise the responses of a project's open questions, for the people who judge them.

The project's setting "assistance" is the share of questions beside which people read the critiques. The same command
continues after a stop, and criticises responses that were added since. `plaudit audit STORE` compares the answers with
and without critiques to the known ones.

examples:
  plaudit assist collect/feedback.sqlite --project talks --annotator ai:http://localhost:8000/v1#my-model
  plaudit assist feedback.sqlite --project talks --annotator "ai:local?constitution=principles.txt" --base ./my-model"""


@dataclass(frozen=True)
class AssistArguments(ModelArguments):
    """`plaudit assist STORE`."""

    store: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STORE")]
    """Store with open questions: a file, or postgresql://..."""
    project: str
    """The project whose responses are criticised."""
    annotator: str
    """The model that writes: ai:local, or ai:http://host:port/v1#model; ?constitution=FILE names other principles."""
    base: str = NAME
    """The model for ai:local: a hub id or a folder; critiques are signed with it (?model=...)."""
    template_kwargs: tuple[str, ...] = ()
    """Variables for the chat template of ai:local, such as enable_thinking=false."""
    seed: int = 0
    """Seed of the principles that are drawn."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device for ai:local; auto: the GPU if there is one."""


def assist(arguments: list[str]) -> int:
    """`plaudit assist STORE`."""
    parsed = parse(AssistArguments, arguments, "assist", ASSIST_HELP)
    if not parsed.annotator.startswith(AI):
        raise PlauditError(f"{parsed.annotator} cannot write critiques: name ai:local or ai:http://host:port/v1#model")
    critic = make_annotator(text_critic, parsed)
    with Store.open(parsed.store, create=False) as store, bar() as on_progress, ctrl_c(at_once=False) as check:

        def report_progress(done: int, total: int) -> None:
            on_progress("criticising", done, total, critic.name)
            check()

        try:
            done, failures = criticise(store, parsed.project, critic, report_progress)
        except KeyboardInterrupt:
            say("stopped; the critiques so far are kept, and the same command continues")
            raise
    for remark in critic.remarks:
        say(remark)
    missing = (
        f"; the model wrote nothing about {failures} responses, whose questions are shown without" if failures else ""
    )
    write_line(f"{done} critiques written by {critic.name}{missing}")
    return 0
