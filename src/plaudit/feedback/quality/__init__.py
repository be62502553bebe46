"""The quality of judgements: do people agree, what do they say together, who needs a word, whom do they stand for.

Agreement: :func:`percent_agreement`, :func:`cohen_kappa`, :func:`fleiss_kappa`, :func:`krippendorff_alpha`.
One answer from many: :func:`majority_vote`, :func:`dawid_skene`, :func:`bradley_terry`, :func:`crowd_bradley_terry`.
Errors without a model: :func:`retest_lapse`, :func:`count_cycles`.
Bias and health: :func:`health`, :func:`length_bias`, :func:`bradley_terry_covariates`. Weights: :func:`rake`.

All of it reads :class:`Ratings` (an item, an annotator, a category) or :class:`Comparisons` (two items, an annotator,
a choice), needs numpy only, and raises PlauditError for what it cannot use.
"""

from plaudit.feedback.quality.aggregate import DawidSkene, MajorityVote, dawid_skene, majority_vote
from plaudit.feedback.quality.agreement import (
    CohenKappa,
    FleissKappa,
    KrippendorffAlpha,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    percent_agreement,
)
from plaudit.feedback.quality.conduct import Evidence, fewest_seconds
from plaudit.feedback.quality.covariates import Coefficients, LengthBias, bradley_terry_covariates, length_bias
from plaudit.feedback.quality.health import Health, Limits, health
from plaudit.feedback.quality.raking import Raking, effective_sample_size, rake
from plaudit.feedback.quality.ranking import BradleyTerry, CrowdBradleyTerry, bradley_terry, crowd_bradley_terry
from plaudit.feedback.quality.rates import Rate, binomial_test, holm, rates, wilson_interval
from plaudit.feedback.quality.retest import (
    Cycles,
    Repeats,
    RetestLapse,
    SecondJudgement,
    count_cycles,
    count_repeats,
    retest_lapse,
    second_judgement,
)
from plaudit.feedback.quality.surprise import LapseRates, Residuals, lapse_rates, residuals
from plaudit.feedback.quality.tables import Comparisons, Ratings

__all__ = [
    "BradleyTerry",
    "Coefficients",
    "CohenKappa",
    "Comparisons",
    "CrowdBradleyTerry",
    "Cycles",
    "DawidSkene",
    "Evidence",
    "FleissKappa",
    "Health",
    "KrippendorffAlpha",
    "LapseRates",
    "LengthBias",
    "Limits",
    "MajorityVote",
    "Raking",
    "Rate",
    "Ratings",
    "Repeats",
    "Residuals",
    "RetestLapse",
    "SecondJudgement",
    "binomial_test",
    "bradley_terry",
    "bradley_terry_covariates",
    "cohen_kappa",
    "count_cycles",
    "count_repeats",
    "crowd_bradley_terry",
    "dawid_skene",
    "effective_sample_size",
    "fewest_seconds",
    "fleiss_kappa",
    "health",
    "holm",
    "krippendorff_alpha",
    "lapse_rates",
    "length_bias",
    "majority_vote",
    "percent_agreement",
    "rake",
    "rates",
    "residuals",
    "retest_lapse",
    "second_judgement",
    "wilson_interval",
]
