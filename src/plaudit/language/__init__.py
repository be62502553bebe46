"""Language: the policy is a causal language model, an action is a token, an observation is the text before it.

rows: prompts and completions as batches that share the prompt. models: models of transformers, loaded, shared, saved.
vocabulary: log-probabilities, a few tokens of logits at a time. decode: sampling. Everything after that is arithmetic
on (B, T), as in control.
"""
