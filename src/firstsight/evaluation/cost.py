"""What another threshold would cost: error rates over the threshold, with what is known of each. T thresholds."""

import dataclasses
from functools import lru_cache

import numpy as np

from firstsight.evaluation.bounds import mean_interval, mean_upper_bound
from firstsight.model_config import DISTANCE_STEP, Distances


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """By threshold (squared L2), one picture against one template.

    `far` is the share of pairs of two identities that would be taken for the same, `far_bound` its one-sided 95 % upper
    bound; `frr` the share of pairs of one identity that would not, with its two-sided 95 % interval; empty where nobody
    has two pictures.
    """

    threshold: tuple[float, ...]
    far: tuple[float, ...]
    far_bound: tuple[float, ...]
    frr: tuple[float, ...] = ()
    frr_low: tuple[float, ...] = ()
    frr_high: tuple[float, ...] = ()


@lru_cache(maxsize=4)
def cost_of(distances: Distances, identities: int) -> Cost:
    """Of the pairs of so many `identities`, which are the independent trials: half of them for pairs of two.

    Example:
        >>> cost = cost_of(Distances(same=(0, 3, 1), different=(0, 0, 4), repeated=4), 8)
        >>> cost.threshold, cost.far, cost.frr
        ((0.0, 0.02, 0.04), (0.0, 0.0, 1.0), (1.0, 0.25, 0.0))
    """
    passed_T, known_T = np.cumsum(distances.different), np.cumsum(distances.same)
    far = [float(count / max(passed_T[-1], 1)) for count in passed_T]
    bounds = {rate: mean_upper_bound(rate, identities // 2) for rate in set(far)}
    frr = [float(1 - count / known_T[-1]) for count in known_T] if distances.repeated else []
    intervals = {rate: mean_interval(rate, distances.repeated) for rate in set(frr)}
    return Cost(
        threshold=tuple(round(i * DISTANCE_STEP, 6) for i in range(len(far))),
        far=tuple(far),
        far_bound=tuple(bounds[rate] for rate in far),
        frr=tuple(frr),
        frr_low=tuple(intervals[rate].low for rate in frr),
        frr_high=tuple(intervals[rate].high for rate in frr),
    )
