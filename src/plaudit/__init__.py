"""Plaudit: reinforcement learning from human feedback, end to end."""

import os

__version__ = "0.1.0"

# OpenMP's threads spin while they wait, up to 300,000 times. Beside another busy process they spin in each other's way:
# measured, two runs of two threads on two cores took eleven times as long as with one thread each, and with this limit
# 1.5 times. Atari gains too, for the emulator gets the core. Read when torch loads, so it stands here.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
