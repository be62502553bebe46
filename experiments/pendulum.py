"""Pendulum from comparisons: continuous actions."""

from start import start

from plaudit.run.control.config import defaults

CONFIG = defaults("Pendulum-v1")

if __name__ == "__main__":
    start("pendulum", CONFIG)
