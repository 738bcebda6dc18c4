"""The rates of pairs with identities drawn with replacement: what their intervals rest on. P pairs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from firstsight.evaluation.pairs import Pairs, resampled_pairs

DRAWS, AT_MOST = 300, 60_000
"""Resamplings of identities, and the pairs that take part in them."""


class ResampledRates(NamedTuple):
    """The figures of R resamplings; VAL at each of F false accept rates."""

    auc_R: NDArray[np.float64]
    average_precision_R: NDArray[np.float64]
    eer_R: NDArray[np.float64]
    val_RF: NDArray[np.float64]


def resampled_rates(
    pairs: Pairs, fars: Sequence[float], *, draws: int = DRAWS, at_most: int = AT_MOST
) -> ResampledRates:
    """The rates with identities drawn with replacement.

    The draws depend on the number of identities alone: those of two models on the same pairs belong together.
    """
    kept_P = thinned(pairs, at_most)
    distance_P, order_P = pairs.distances[kept_P].sort()
    kept_P = kept_P[order_P]
    same_P = pairs.same[kept_P].numpy()
    last_P = np.append(np.diff(distance_P.numpy()) > 0, True)  # of tied distances, the last: they pass together
    # how many pairs each kept one stands for
    kept_same = float(pairs.same.sum()) / same_P.sum()
    kept_different = float((~pairs.same).sum()) / (~same_P).sum()
    auc, precision, eer, val = [], [], [], []
    for weight_P in resampled_pairs(pairs, kept_P, draws=draws):
        same_T = np.append(0, np.cumsum(weight_P * same_P)[last_P])
        different_T = np.append(0, np.cumsum(weight_P)[last_P]) - same_T
        if not same_T[-1] or not different_T[-1]:
            continue  # all draws fell on one identity, or on identities without same pairs
        val_T, far_T = same_T / same_T[-1], different_T / different_T[-1]
        auc.append(np.trapezoid(val_T, far_T))
        all_same_T, all_different_T = kept_same * same_T[1:], kept_different * different_T[1:]
        passed_T = np.maximum(all_same_T + all_different_T, 1e-9)  # at first there may be none: they were not drawn
        precision.append(np.sum(np.diff(val_T) * all_same_T / passed_T))
        eer.append(np.interp(1, far_T + val_T, far_T))  # where false accepts are as many as false rejects
        val.append([val_T[np.searchsorted(far_T, far, side="right") - 1] for far in fars])
    val_RF = np.array(val).reshape(len(auc), len(fars))
    return ResampledRates(np.array(auc), np.array(precision), np.array(eer), val_RF)


def thinned(pairs: Pairs, at_most: int) -> Int64[Tensor, "K"]:
    """Which pairs to resample: all, or `at_most` drawn with the share of same pairs kept in reason."""
    if len(pairs.same) <= at_most:
        return torch.arange(len(pairs.same))
    rng = np.random.default_rng(0)
    drawn = []
    for kind_P in (pairs.same, ~pairs.same):
        all_of_kind = kind_P.nonzero().squeeze(1).numpy()
        drawn.append(rng.choice(all_of_kind, size=min(len(all_of_kind), at_most // 2), replace=False))
    return torch.from_numpy(np.concatenate(drawn))
