"""Duel with every comparison gathered before training starts, about the random policy's clips.

Christiano et al. 2017, section 3.3: in Pong the agent then learns to avoid losing points but not to score, and
plays volleys without end. Here it does not, because Duel's untrained policy wins points too: see LOG.md.
"""

import dataclasses

from start import start

from plaudit.run.control.config import defaults

DUEL = defaults("Duel")
CONFIG = dataclasses.replace(DUEL, feedback=dataclasses.replace(DUEL.feedback, offline=True))

if __name__ == "__main__":
    start("pong_offline", CONFIG)
