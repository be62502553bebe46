"""What RLHF is held against: behaviour cloning, DAgger and inverse reinforcement learning.

They learn from demonstrations (:mod:`~plaudit.baselines.demonstrations`), which an expert plays
(:mod:`~plaudit.baselines.experts`). The baseline on the true reward is :mod:`plaudit.run.control.true_reward`.
"""
