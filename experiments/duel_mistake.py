"""Duel from 600 comparisons by a teacher who says the opposite one time in ten (B-Pref's mistake teacher)."""

import dataclasses

from start import start

from plaudit.questions import FeedbackConfig
from plaudit.run.config import defaults

CONFIG = dataclasses.replace(defaults("Duel"), teacher="mistake", feedback=FeedbackConfig(labels=600))

if __name__ == "__main__":
    start("duel_mistake", CONFIG)
