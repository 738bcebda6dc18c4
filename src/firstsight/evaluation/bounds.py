"""How far a measured share can be trusted.

N pictures (or other trials), I identities, R resamplings (draws).
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class Interval:
    """A confidence interval of a share (0 ... 1), and how it was made."""

    low: float
    high: float
    method: str


def binomial_interval(successes: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """The exact two-sided interval of Clopper and Pearson (1934) for `successes` in `trials` independent trials.

    Example:
        >>> interval = binomial_interval(0, 100)
        >>> interval.low, round(interval.high, 4)
        (0.0, 0.0362)
    """
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = betaincinv(successes, trials - successes + 1, tail) if successes else 0.0
    high = betaincinv(successes + 1, trials - successes, 1 - tail) if successes < trials else 1.0
    return Interval(float(low), float(high), "exact binomial")


def binomial_upper_bound(successes: int, trials: int, *, confidence: float = 0.95) -> float:
    """The exact one-sided upper bound of a rate.

    Example:
        >>> round(binomial_upper_bound(0, 412), 4)  # no error in 412 people
        0.0072
    """
    return binomial_interval(successes, trials, confidence=2 * confidence - 1).high


def mean_upper_bound(mean: float, trials: int, *, confidence: float = 0.95) -> float:
    """The one-sided upper bound of the expectation of numbers in 0 ... 1, of which `trials` have this mean.

    Chernoff's bound in Hoeffding's form (1963, theorem 1): the largest p with trials x KL(mean, p) <= ln(1 / (1 -
    confidence)). It holds for trials that are independent, and for a U-statistic that is an average of such means
    (section 5 there). At mean 0 it is the exact binomial bound.

    Example:
        >>> round(mean_upper_bound(0.0, 412), 4)
        0.0072
    """
    if mean >= 1 or trials < 1:
        return 1.0
    return _bisect(lambda p: trials * _divergence(mean, p) <= -math.log(1 - confidence), mean, 1.0)


def mean_interval(mean: float, trials: int, *, confidence: float = 0.95) -> Interval:
    """The two-sided interval of the same kind."""
    one_sided = (1 + confidence) / 2
    low = 1 - mean_upper_bound(1 - mean, trials, confidence=one_sided)
    return Interval(max(low, 0.0), mean_upper_bound(mean, trials, confidence=one_sided), "Chernoff")


def student_interval(value_N: NDArray[np.floating], *, confidence: float = 0.95) -> Interval:
    """The interval of the expectation of few numbers that are independent and about normal, by Student's t.

    Raises:
        ValueError: fewer than two.

    Example:
        >>> interval = student_interval(np.array([1.0, 2.0, 3.0]))
        >>> round(interval.low, 3), round(interval.high, 3)
        (-0.484, 4.484)
    """
    from scipy.special import stdtrit

    if len(value_N) < 2:
        raise ValueError("an interval needs two numbers")
    half = float(stdtrit(len(value_N) - 1, (1 + confidence) / 2) * value_N.std(ddof=1) / len(value_N) ** 0.5)
    return Interval(float(value_N.mean()) - half, float(value_N.mean()) + half, "Student's t")


def largest_mean(target: float, trials: int, *, confidence: float = 0.95) -> float | None:
    """The largest mean whose upper bound is at most `target`; None where not even 0 has such a bound."""
    enough = -math.log(1 - confidence)
    if trials * _divergence(0.0, target) < enough:
        return None
    return _bisect(lambda mean: trials * _divergence(mean, target) >= enough, 0.0, target)


def trials_needed(target: float, *, confidence: float = 0.95) -> int:
    """How many independent trials without an error it takes to bound a rate at `target`.

    Example:
        >>> trials_needed(0.01)
        299
    """
    return math.ceil(math.log(1 - confidence) / math.log1p(-target))


def _divergence(mean: float, p: float) -> float:
    """Kullback and Leibler's, of coins that show heads at the rates `mean` and `p`."""
    heads = mean and (mean * math.log(mean / p) if p else math.inf)
    tails = mean < 1 and ((1 - mean) * math.log((1 - mean) / (1 - p)) if p < 1 else math.inf)
    return heads + tails


def _bisect(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The largest number that `holds`, which is true up to it from `low` on; 2**-60 of the range below it at most."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


FEWEST_THAT_TELL = 6
"""Clusters that all differ in one direction, of which a sign test says so with 95 % confidence: 2 / 2^6 < 5 %."""


def share_interval(
    score_N: NDArray[np.number],
    trials_N: NDArray[np.integer],
    cluster_N: NDArray[np.integer],
    *,
    confidence: float = 0.95,
    unit: str = "identities",
) -> Interval:
    """The interval of a share of successes, where picture n was tried `trials_N[n]` times and scored `score_N[n]`.

    It is the wider of two. The bootstrap over clusters (identities, mostly) knows that some are harder than others,
    but has no width where all do equally well. The exact binomial still has: it takes each picture for one trial,
    however often it was tried, which is cautious, as an average of tries varies less than one try.
    """
    share = score_N.sum() / trials_N.sum()
    pictures = int((trials_N > 0).sum())
    exact = binomial_interval(round(float(share) * pictures), pictures, confidence=confidence)
    return wider(exact, cluster_bootstrap(score_N, trials_N, cluster_N, confidence=confidence, unit=unit))


def cluster_bootstrap(
    score_N: NDArray[np.number],
    trials_N: NDArray[np.integer],
    cluster_N: NDArray[np.integer],
    *,
    confidence: float = 0.95,
    draws: int = 2000,
    unit: str = "identities",
) -> Interval:
    """The percentile bootstrap of the score per trial, with clusters drawn instead of pictures.

    Pictures of one identity succeed or fail together, so they are not independent evidence; identities are.
    The draws depend on the number of clusters alone: the same data give the same interval.
    """
    score_I, trials_I = by_cluster(cluster_N, score_N, trials_N)
    weights = resampled_identities(len(trials_I), draws=draws)
    with np.errstate(invalid="ignore"):  # a draw of clusters that were never tried has no share
        share_R = np.array([(weight_I @ score_I) / (weight_I @ trials_I) for weight_I in weights])
    share = float(score_I.sum() / trials_I.sum())
    return percentile_interval(share, share_R, confidence=confidence, unit=unit)


def by_cluster(cluster_N: NDArray[np.integer], *value_N: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The sum over each cluster of each of the values."""
    _, index_N = np.unique(cluster_N, return_inverse=True)
    return (np.bincount(index_N, weights=each_N) for each_N in value_N)


def widened_where_few_differ(interval: Interval, gain_I: NDArray[np.floating]) -> Interval:
    """The interval of the mean difference of two shares over I clusters, in each of which one gained on the other.

    A bootstrap has no width where all clusters that differ do so alike. Where they are too few for a sign test to tell
    anything (two-sided, 95 %: fewer than six), the exact interval of how often one is the better counts if it is wider.
    """
    gains = gain_I[gain_I != 0]
    if not 0 < len(gains) < FEWEST_THAT_TELL:
        return interval
    better = binomial_interval(int((gains > 0).sum()), len(gains))
    size = float(np.abs(gains).sum()) / len(gain_I)
    return wider(interval, Interval((2 * better.low - 1) * size, (2 * better.high - 1) * size, "exact sign test"))


def wider(one: Interval, other: Interval) -> Interval:
    """The interval of the two that claims less."""
    return max(one, other, key=lambda interval: interval.high - interval.low)


def resampled_identities(identities: int, *, draws: int) -> Iterator[NDArray[np.float64]]:
    """For each of `draws` resamplings, how often each identity is drawn when I are drawn with replacement."""
    rng = np.random.default_rng(identities)
    for _ in range(draws):
        yield np.bincount(rng.integers(identities, size=identities), minlength=identities).astype(float)


def percentile_interval(
    value: float, value_R: NDArray[np.floating], *, confidence: float = 0.95, unit: str = "identities"
) -> Interval:
    """The middle share `confidence` of resampled values, widened to `value`, which few identities can leave out.

    NaN, a draw without data, is left aside.
    """
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(value_R, [tail, 1 - tail])
    return Interval(min(float(low), value), max(float(high), value), f"bootstrap over {unit}")
