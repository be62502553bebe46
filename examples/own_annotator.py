"""A program of one's own compares clips: CartPole's pole shall stand upright, and nothing else is said."""

import json
import os
from collections.abc import Sequence

import plaudit

SETTINGS = json.loads(os.environ.get("SETTINGS", "{}"))  # such as {"steps": 50000}, for a shorter trial


class Upright:
    """Prefers the clip in which the pole leans less."""

    name = "upright"

    def judge(self, question: plaudit.Question, items: Sequence[plaudit.Segment]) -> plaudit.Answer:
        """Strength 4: the first clip is better; -4: the second; 0: a tie; None: can't tell."""
        first, second = (abs(clip.observations[:, 2]).mean() for clip in items)  # radians, by step
        return plaudit.Answer({"strength": 4 if first < second else -4}, rationale=f"{first:.3f} or {second:.3f} rad")


run = plaudit.train("CartPole-v1", annotator=Upright(), labels=200, out="runs/example-annotator", **SETTINGS)
print(f"true return: {run.metrics()[-1]['true_return']} of 500; see {run.folder / 'report.html'}")

with plaudit.Store(run.folder / "feedback.sqlite") as store:
    for row in list(store.judgements())[:3]:
        print(row["annotator"], row["answer"], row["rationale"])
