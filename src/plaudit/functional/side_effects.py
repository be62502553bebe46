"""Penalties of side effects in a table of S states and A actions with K outcomes; NumPy, exact.

Both compare what can still be attained after an action with what could be attained after doing nothing.
"""

import numpy as np
from jaxtyping import Bool, Float, Int


def attainable_utility(
    action_values: Float[np.ndarray, "N S A"], baseline: Float[np.ndarray, "N S"]
) -> Float[np.ndarray, "S A"]:
    """mean_i |Q_i(s, a) - b_i(s)| / |b_i(s)|: attainable utility preservation (Turner et al. 2020, equations 3 and 4).

    action_values: Q_i of N auxiliary rewards. baseline: their values b_i(s) if the agent does nothing instead. The
    paper divides by the sum over i; here each auxiliary reward has its own scale, and so counts alike.
    """
    scale = np.abs(baseline)[..., None]
    return (np.abs(action_values - baseline[..., None]) / np.where(scale > 0, scale, 1.0)).mean(axis=0)


def reachability(
    next_state: Int[np.ndarray, "S A K"],
    probabilities: Float[np.ndarray, "S A K"],
    gamma: float,
    tolerance: float = 1e-6,
) -> Float[np.ndarray, "S S"]:
    """R[x, s] = max over policies of E[gamma^T], where T is the number of steps from s to x; 1 for x = s.

    Krakovna et al. 2018, equation 4; a state that cannot be reached has 0.
    """
    diagonal = np.eye(len(next_state), dtype=np.bool_)
    reach = diagonal.astype(np.float64)
    while True:
        expected = np.einsum("xsak,sak->xsa", reach[:, next_state], probabilities)
        updated = np.where(diagonal, 1.0, gamma * expected.max(axis=2))
        moved = np.abs(updated - reach).max()
        reach = updated
        if moved <= tolerance:
            return reach


def relative_reachability(
    reach: Float[np.ndarray, "X S"],
    baseline: Float[np.ndarray, "X S"],
    next_state: Int[np.ndarray, "S A K"],
    probabilities: Float[np.ndarray, "S A K"],
) -> Float[np.ndarray, "S A"]:
    """E over outcomes s' of mean_x max(0, b[x, s] - R[x, s']): the reachability that an action loses.

    Krakovna et al. 2018, equation 5. baseline: b[x, s], the reachability of x if the agent does nothing in s instead.
    """
    loss = np.maximum(baseline[:, :, None, None] - reach[:, next_state], 0.0).mean(axis=0)
    return (probabilities * loss).sum(axis=2)


def spare_ends(
    penalty: Float[np.ndarray, "S A"],
    next_state: Int[np.ndarray, "S A K"],
    probabilities: Float[np.ndarray, "S A K"],
    terminal: Bool[np.ndarray, " S"],
) -> Float[np.ndarray, "S A"]:
    """The penalty without the share of steps that end the episode, after which nothing can be attained anyway."""
    ends = (probabilities * terminal[next_state]).sum(axis=2)
    return np.where(terminal[:, None], 0.0, penalty * (1.0 - ends))
