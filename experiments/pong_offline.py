"""Duel with every comparison gathered before training starts, about the random policy's clips.

Christiano et al. 2017, section 3.3: in Pong the agent then learns to avoid losing points but not to score, and
plays volleys without end. The report's clip shows what it does here.
"""

import dataclasses

from start import start

from plaudit.questions import FeedbackConfig
from plaudit.run.config import defaults

CONFIG = dataclasses.replace(defaults("Duel"), feedback=FeedbackConfig(labels=300, offline=True))

if __name__ == "__main__":
    start("pong_offline", CONFIG)
