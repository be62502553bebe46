"""Pure functions on tensors. Each formula of the project stands here, once.

preference: what people prefer, and losses on what they said. returns: returns and advantages. objective: the
actor-critic losses. divergence: KL estimators and the penalised reward. masked: statistics that skip padding.
pooling: one reward from an ensemble's. calibration, intervals: how far probabilities and means can be believed.
groups: the loss of the group that is served worst. side_effects: penalties in a table of states.
"""
