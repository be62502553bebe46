"""Atari Pong from pixels and 1,000 comparisons, in the paper's set-up (Christiano et al. 2017, appendix A.2)."""

from start import start

from plaudit.run.config import defaults

CONFIG = defaults("ALE/Pong-v5")

if __name__ == "__main__":
    start("atari_pong", CONFIG, baseline=False)
