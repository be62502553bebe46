"""CartPole from comparisons, at a fixed horizon: a fallen pole stays fallen, and nothing tells the learner."""

from start import start

from plaudit.run.control.config import defaults

CONFIG = defaults("CartPole-v1")

if __name__ == "__main__":
    start("cartpole", CONFIG)
