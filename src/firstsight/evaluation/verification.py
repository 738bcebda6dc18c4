"""Are these two pictures of the same identity? Distances of pairs, and the rates they lead to (FaceNet, section 4).

N pictures, D embedding, P pairs, I identities.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from firstsight.evaluation.bounds import FEWEST_THAT_TELL, Interval, binomial_interval, percentile_interval, wider
from firstsight.evaluation.calibration import NOTHING
from firstsight.evaluation.embedded import far_name, with_interval
from firstsight.evaluation.pairs import (
    MAX_PAIRS,
    PAIRS_OF_TWO_IDENTITIES,
    Pairs,
    distinct,
    picture_pairs,
    resampled_pairs,
)
from firstsight.evaluation.resampling import AT_MOST, DRAWS, resampled_rates, thinned
from firstsight.functional import curves
from firstsight.model_config import OperatingPoint

FARS = (1e-1, 1e-2, 1e-3, 1e-4)


@dataclass(frozen=True)
class ValAtFar:
    """The share of same pairs accepted (`val`) at the largest threshold at which FAR <= `target`.

    Where the pairs cannot support the target, `refused` says why, and the figures are missing.
    """

    target: float
    val: float | None = None
    interval: Interval | None = None
    threshold: float | None = None
    far: float | None = None
    refused: str = ""


@dataclass(frozen=True)
class AtThreshold:
    """What a user gets at a threshold: the shares of same (VAL) and of different pairs (FAR) that are accepted."""

    threshold: float
    val: float
    val_interval: Interval
    far: float
    far_interval: Interval


@dataclass(frozen=True, eq=False)
class Verification:
    """What the distances of pairs say about a model."""

    pairs: Pairs
    curve: curves.Curve
    auc: float
    auc_interval: Interval
    average_precision: float
    average_precision_interval: Interval
    eer: float
    eer_interval: Interval
    val_at_far: tuple[ValAtFar, ...]
    mean_same: float
    mean_different: float
    own: "AtThreshold | None" = None
    """At the model's own threshold, where it has one."""

    def histogram(self, bins: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Counts of same and of different pairs, and the edges of the bins: from 0 to the largest distance.

        By default there are as many bins as the square root of the rarer kind of pair, from 20 to 80.
        """
        same_P = self.pairs.same.numpy()
        bins = bins or min(max(round(min(same_P.sum(), (~same_P).sum()) ** 0.5), 20), 80)
        distance_P = self.pairs.distances.double().numpy()
        edges = np.linspace(0, float(distance_P.max()) or 1.0, bins + 1)
        return np.histogram(distance_P[same_P], edges)[0], np.histogram(distance_P[~same_P], edges)[0], edges


def verification(
    x_ND: Float[Tensor, "N D"],
    labels_N: Int64[Tensor, "N"],
    *,
    max_pairs: int = MAX_PAIRS,
    fars: Sequence[float] = FARS,
    own: OperatingPoint | None = None,
) -> Verification:
    """Compare every two pictures as the gallery does, by their int8 templates.

    Above `max_pairs` pairs, half of them same and half different are drawn at random with replacement, always the
    same ones. A row of NaN is a picture that could not be embedded: it is at distance 4 from every other. `own` is the
    model's operating point.

    Raises:
        UserError: no two pictures of one identity, or one identity only.
    """
    return verify_pairs(picture_pairs(x_ND, labels_N, max_pairs=max_pairs), fars=fars, own=own)


def verify_pairs(pairs: Pairs, *, fars: Sequence[float] = FARS, own: OperatingPoint | None = None) -> Verification:
    """The figures of pairs whose distances are known, whatever the measure.

    Raises:
        UserError: no same or no different pair.
    """
    curve = curves.roc(pairs.distances, pairs.same)
    refusals = [unsupported(far, pairs) for far in fars]
    resampled = resampled_rates(pairs, [far for far, why in zip(fars, refusals, strict=True) if not why])
    val_columns = iter(resampled.val_RF.T)
    auc, eer = curves.auc(curve), curves.equal_error_rate(curve)
    precision = curves.average_precision(curve, same=float(pairs.same.double().mean()))
    return Verification(
        pairs,
        curve,
        auc=auc,
        auc_interval=_over_identities(pairs, auc, resampled.auc_R),
        average_precision=precision,
        average_precision_interval=_over_identities(pairs, precision, resampled.average_precision_R),
        eer=eer,
        eer_interval=_over_identities(pairs, eer, resampled.eer_R),
        val_at_far=tuple(
            ValAtFar(far, refused=why) if why else _val_at_far(far, pairs, curve, next(val_columns))
            for far, why in zip(fars, refusals, strict=True)
        ),
        mean_same=float(pairs.distances[pairs.same].double().mean()),
        mean_different=float(pairs.distances[~pairs.same].double().mean()),
        own=at_threshold(pairs, own.threshold) if own else None,
    )


def _over_identities(pairs: Pairs, value: float, value_R: NDArray[np.float64]) -> Interval:
    """Two identities drawn again are the same two, or one twice: such a bootstrap has no width."""
    if pairs.identities < FEWEST_THAT_TELL:
        return Interval(0.0, 1.0, f"{pairs.identities} identities tell nothing")
    return percentile_interval(value, value_R)


def at_threshold(pairs: Pairs, threshold: float) -> AtThreshold:
    """VAL and FAR at a threshold that was chosen elsewhere, each with the wider of two intervals.

    These are exact binomial, over pictures (VAL) or the comparisons that count as evidence (FAR), and the bootstrap
    over identities.
    """
    accepted_P = (pairs.distances <= threshold).numpy()
    same_P = pairs.same.numpy()
    kept_K = thinned(pairs, AT_MOST)
    kinds_2K = np.stack([same_P[kept_K], ~same_P[kept_K]])
    weights_RK = resampled_pairs(pairs, kept_K, draws=DRAWS)
    with np.errstate(invalid="ignore"):  # a draw without such pairs has no share
        share_R2 = np.array([kinds_2K @ (w_K * accepted_P[kept_K]) / (kinds_2K @ w_K) for w_K in weights_RK])
    val, far = float(accepted_P[same_P].mean()), float(accepted_P[~same_P].mean())
    trials = distinct(pairs.left[pairs.same], pairs.right[pairs.same]), pairs.comparisons
    val_interval, far_interval = (
        wider(binomial_interval(round(share * n), n), percentile_interval(share, share_R))
        for share, n, share_R in zip((val, far), trials, share_R2.T, strict=True)
    )
    return AtThreshold(threshold, val, val_interval, far, far_interval)


def unsupported(far: float, pairs: Pairs) -> str:
    """Why a false accept rate cannot be measured on these pairs, and the tightest that can; empty where it can.

    A rate of f needs 3/f comparisons: with fewer, not even zero accepted would bound the rate below f at 95 %. Of
    the pairs of the same two identities at most 100 count, for they say little more about strangers.
    """
    comparisons = pairs.comparisons
    if far * comparisons >= 3 - 1e-9:
        return ""
    return (
        f"FAR {far_name(far)} needs {3 / far:,.0f} comparisons of different identities, and there are {comparisons:,}, "
        f"of the same two at most {PAIRS_OF_TWO_IDENTITIES} counted: the tightest FAR is {3 / max(comparisons, 3):.2g}."
    )


def largest_threshold(distance_P: NDArray[np.floating], different_Q: NDArray[np.floating], target: float) -> float:
    """The largest of the distances seen at which at most the share `target` of the different ones is accepted.

    -1 where even the smallest distance accepts more.
    """
    allowed = int(target * len(different_Q) * (1 + 1e-12))  # 0.29 x 100 is 28.999999999999996
    beyond = np.sort(different_Q)[allowed] if allowed < len(different_Q) else np.inf
    return float(distance_P[distance_P < beyond].max(initial=NOTHING))


def verification_figures(result: Verification) -> dict[str, Any]:
    """The figures as a flat dict; one that the pairs cannot support is None, and `..._refused` says why."""
    figures: dict[str, Any] = {
        **with_interval("auc", result.auc, result.auc_interval),
        **with_interval("average_precision", result.average_precision, result.average_precision_interval),
        **with_interval("eer", result.eer, result.eer_interval),
    }
    for point in result.val_at_far:
        name = f"val_at_far_{far_name(point.target)}"
        if point.interval is None or point.val is None:
            figures |= {name: None, f"{name}_refused": point.refused}
        else:
            figures |= with_interval(name, point.val, point.interval)
            figures |= {f"{name}_threshold": point.threshold, f"{name}_far": point.far}
    if result.own:
        figures |= {
            "model_threshold": result.own.threshold,
            **with_interval("val_at_model_threshold", result.own.val, result.own.val_interval),
            **with_interval("far_at_model_threshold", result.own.far, result.own.far_interval),
        }
    return figures | {"mean_distance_same": result.mean_same, "mean_distance_different": result.mean_different}


def _val_at_far(far: float, pairs: Pairs, curve: curves.Curve, val_R: NDArray[np.float64]) -> ValAtFar:
    at = int((curve.far <= far).nonzero()[-1])
    val = float(curve.val[at])
    pictures = distinct(pairs.left[pairs.same], pairs.right[pairs.same])
    exact = binomial_interval(round(val * pictures), pictures)
    threshold = max(float(curve.thresholds[at]), NOTHING)
    return ValAtFar(far, val, wider(exact, percentile_interval(val, val_R)), threshold, float(curve.far[at]))
