"""Atari Pong from 600 comparisons, with the paper's networks and clips, sized for an hour on two cores."""

from start import start

from plaudit.run.control.config import defaults

CONFIG = defaults("ALE/Pong-v5")

if __name__ == "__main__":
    start("atari_pong", CONFIG, baseline=False)
