"""Duel from 300 comparisons by an oracle, with the true-reward baseline beside it: what `make demo` runs."""

from start import start

from plaudit.run.control.config import defaults

CONFIG = defaults("Duel")

if __name__ == "__main__":
    start("duel", CONFIG)
