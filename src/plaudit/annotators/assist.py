"""A model criticises the responses that people are about to judge, so that the pages can show its critiques."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from plaudit.annotators.critique import Critic, answer_of, record_answers
from plaudit.annotators.undecided import Streak, UndecidedQuestion
from plaudit.feedback.assistance import (
    SETTING,
    add_critiques_project,
    critiques_project,
    find_drawn,
    load_critiques,
)
from plaudit.feedback.kinds import kind
from plaudit.feedback.projects import load_project
from plaudit.feedback.store import Store
from plaudit.types import Answer, Dialogue, PlauditError

BATCH = 16  # responses that are criticised before their critiques are stored


def criticise(
    store: Store, project: str, critic: Critic, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[int, int]:
    """Write a critique of each response in the drawn open questions of ``project``; what is stored is not written anew.

    Returns:
        The number of new critiques, and of responses for which the model wrote none.

    Raises:
        PlauditError: there is no such project, it shows no critiques, or the critic fails.
    """
    row = load_project(store, project)
    if row is None:
        raise PlauditError(f"there is no project called {project!r} in {store.database.name}")
    share = float(row.settings.get(SETTING, 0.0))
    if share <= 0:
        raise PlauditError(
            f"project {project} shows no critiques: set the share of questions that have them in its settings, first"
        )
    questions = find_drawn(store, project, share)
    ids = list(dict.fromkeys(item for question in questions for item in question.items))
    present = load_critiques(store, project, ids)
    responses = [
        item
        for item in store.items([identity for identity in ids if identity not in present])
        if isinstance(item, Dialogue) and item.response is not None
    ]
    add_critiques_project(store, project, kind("critique").wording, time.time())
    streak, done, failures = Streak(), 0, 0
    for begin in range(0, len(responses), BATCH):
        on_progress(begin, len(responses))
        batch = responses[begin : begin + BATCH]
        answers = [
            ("critique", response, answer)
            for response, answer in zip(batch, _write(critic, batch, streak), strict=True)
            if answer is not None
        ]
        record_answers(store, critiques_project(project), critic.name, answers)
        done, failures = done + len(answers), failures + len(batch) - len(answers)
    on_progress(len(responses), len(responses))
    return done, failures


def _write(critic: Critic, dialogues: Sequence[Dialogue], streak: Streak) -> list[Answer | None]:
    """A critique of each response, with the principle that it goes by; None where the model writes nothing."""
    try:
        revised = critic.revise(dialogues, rewrite=False)
    except UndecidedQuestion as error:
        if len(dialogues) > 1:
            return [answer for dialogue in dialogues for answer in _write(critic, [dialogue], streak)]
        streak.count_undecided(critic.name, str(error))
        return [None]
    streak.reset()
    return [answer_of(item) for item in revised]
