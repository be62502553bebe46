"""Duel from 600 comparisons by a teacher who says the opposite one time in ten (B-Pref's mistake teacher)."""

import dataclasses

from start import start

from plaudit.run.control.config import defaults

DUEL = defaults("Duel")
CONFIG = dataclasses.replace(DUEL, annotator="mistake", feedback=dataclasses.replace(DUEL.feedback, labels=600))

if __name__ == "__main__":
    start("duel_mistake", CONFIG)
