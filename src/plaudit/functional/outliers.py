"""How far rows lie from the bulk of all rows, which a few planted ones must not move."""

import numpy as np

from plaudit.functional.significance import exceedance
from plaudit.types import Array

_BULK = 0.75  # share of rows that the centre and the covariance are estimated on
_STEPS = 10  # of concentration
_RIDGE = 1e-6  # of the features' variance: a constant feature has none


def robust_distances(rows: Array) -> Array:
    """Squared Mahalanobis distances (N,) of rows (N, F) from the bulk, whose median is that of a chi-squared variable.

    Concentration steps of Rousseeuw and Van Driessen 1999, section 3: estimate centre and covariance on the rows that
    are nearest by the last estimate, until the set stays. The first estimate is on the rows nearest to the medians.
    """
    scale = rows.std(axis=0)
    scaled = (rows - np.median(rows, axis=0)) / np.where(scale > 0, scale, 1.0)
    distances = np.square(scaled).sum(axis=1)
    bulk = max(int(_BULK * len(rows)), min(len(rows), rows.shape[1] + 1))
    chosen = np.zeros(0, np.int64)
    for _ in range(_STEPS):
        nearest = np.sort(np.argsort(distances, kind="stable")[:bulk])
        if np.array_equal(nearest, chosen):
            break
        chosen = nearest
        centred = scaled - scaled[chosen].mean(axis=0)
        covariance = centred[chosen].T @ centred[chosen] / len(chosen) + _RIDGE * np.eye(rows.shape[1])
        distances = np.einsum("nf,nf->n", centred @ np.linalg.inv(covariance), centred)
    median = float(np.median(distances))
    return distances * (chi2_quantile(0.0, rows.shape[1]) / median if median > 0 else 1.0)


def chi2_quantile(z: float, degrees: int) -> float:
    """The quantile of chi-squared whose normal quantile is ``z``: Wilson and Hilferty 1931; 0 is the median."""
    share = 2 / (9 * degrees)
    return float(degrees * max(1 - share + z * share**0.5, 0.0) ** 3)


def area_under_roc(scores: Array, labels: Array) -> float:
    """P[a labelled row has the higher score than one without a label], ties one half; NaN without either."""
    return exceedance(scores[labels], scores[~labels])
