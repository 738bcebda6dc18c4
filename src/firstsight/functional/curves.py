"""How well distances tell the same from the different (FaceNet, section 4). N: pairs; T: thresholds.

A pair is accepted as the same at threshold d where its distance is <= d. VAL(d), the validation rate, is the share of
the same-identity pairs that are accepted; FAR(d), the false accept rate, that of the different-identity pairs.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from firstsight.errors import UserError


class Curve(NamedTuple):
    """VAL and FAR (float64) at every distinct distance, ascending; the first threshold, -inf, accepts nothing."""

    thresholds: Float[Tensor, "T"]
    far: Float[Tensor, "T"]
    val: Float[Tensor, "T"]


class ValAtFar(NamedTuple):
    """VAL at a threshold, and the FAR really met there."""

    val: float
    threshold: float
    far: float


def roc(distances_N: Float[Tensor, "N"], same_N: Bool[Tensor, "N"]) -> Curve:
    """The receiver operating characteristic of pairs: VAL against FAR, tied distances in one step.

    Raises:
        UserError: no same pair, no different pair, or a distance that is not a number.

    Example:
        >>> roc(torch.tensor([0.1, 0.5, 0.5, 0.9]), torch.tensor([True, True, False, False])).val
        tensor([0.0000, 0.5000, 1.0000, 1.0000], dtype=torch.float64)
    """
    positives = int(same_N.sum())
    negatives = len(same_N) - positives
    if not positives or not negatives:
        missing = "same" if not positives else "different"
        raise UserError(f"No pair of the {missing} identity among {len(same_N)}.", hint="Give pairs of both kinds.")
    if distances_N.isnan().any():
        raise UserError(f"Pair {int(distances_N.isnan().nonzero()[0])} has no distance: it is not a number.")
    sorted_N, order_N = distances_N.detach().sort()
    last_N = torch.cat([sorted_N[1:] != sorted_N[:-1], sorted_N.new_ones(1, dtype=torch.bool)])
    accepted_same_T = same_N[order_N].cumsum(0)[last_N]
    accepted_T = last_N.nonzero().squeeze(1) + 1
    start = accepted_T.new_zeros(1)
    return Curve(
        torch.cat([sorted_N.new_full((1,), -torch.inf), sorted_N[last_N]]),
        torch.cat([start, accepted_T - accepted_same_T]).double() / negatives,
        torch.cat([start, accepted_same_T]).double() / positives,
    )


def auc(curve: Curve) -> float:
    """Area under the curve: the chance that a same pair is closer than a different one, ties counted half."""
    return float(torch.trapezoid(curve.val, curve.far))


def average_precision(curve: Curve, *, same: float) -> float:
    """Σ (VALₜ − VALₜ₋₁) · precisionₜ, where `same` is the share of same pairs; tied distances are one step.

    Precision is the share of same pairs among those accepted. It depends on how many there are at all: unlike the
    area under the curve, the figures of two sets of pairs cannot be compared.
    """
    accepted_T = same * curve.val + (1 - same) * curve.far
    precision_T = same * curve.val[1:] / accepted_T[1:]
    return float((curve.val.diff() * precision_T).sum())


def equal_error_rate(curve: Curve) -> float:
    """The rate at which false accepts (FAR) and false rejects (1 - VAL) are equal, interpolated along the curve."""
    excess_T = curve.far - (1 - curve.val)  # from -1 up to 1, never down
    after = int((excess_T >= 0).nonzero()[0])
    low, high = float(excess_T[after - 1]), float(excess_T[after])
    share = -low / (high - low)
    return float(torch.lerp(curve.far[after - 1], curve.far[after], share))


def val_at_far(distances_N: Float[Tensor, "N"], same_N: Bool[Tensor, "N"], far: float) -> ValAtFar:
    """VAL at the largest threshold, among the distances seen, at which FAR <= `far`.

    Where even the smallest distance accepts too many, the threshold is -inf, and VAL and FAR are 0.

    Raises:
        UserError: as `roc`, or `far` outside 0 ... 1.
    """
    if not 0 <= far <= 1:
        raise UserError(f"A false accept rate of {far} is none.", hint="Give a share from 0 to 1, such as 0.001.")
    curve = roc(distances_N, same_N)
    at = int((curve.far <= far).nonzero()[-1])
    return ValAtFar(float(curve.val[at]), float(curve.thresholds[at]), float(curve.far[at]))
