"""The threshold that keeps a promise, and the evidence for it. The derivations are in docs/promise.md.

A stranger is compared with G templates, of as many other people, and passes where one is at a distance <= the
threshold; the rate of that is FAR for G = 1, FPIR beyond. N pictures, D embedding, I identities, S strangers: of each
draw of one picture an identity, every identity in turn. R ranks: the others from the nearest to the farthest.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int8, Int64
from numpy.typing import NDArray
from torch import Tensor

from firstsight.errors import UserError
from firstsight.evaluation.bounds import largest_mean, mean_interval, mean_upper_bound, trials_needed
from firstsight.evaluation.pairs import FARTHEST
from firstsight.functional.quantize import quantize, template_distances
from firstsight.model_config import DISTANCE_STEP, Distances, GroupRate, OperatingPoint, Step

NOTHING = -1.0
"""A threshold that no distance is below."""
MOST_IDENTITIES = 6000
"""Of more, so many are drawn: every two of them are compared. They support 1 stranger in 1,000."""
COMPARISONS = 2_000_000
"""Pictures are drawn anew, at most `DRAWS` times, until there are so many."""
DRAWS = 20
PICTURES_OF_ONE = 20
"""The first so many tell how much the distances of one identity spread."""
ROUND_TARGETS = tuple(mantissa * 10.0**-power for power in range(1, 7) for mantissa in (5, 2, 1))


@dataclasses.dataclass(frozen=True, eq=False)
class Strangers:
    """Every identity of every draw as a stranger, before the templates of all others."""

    distance_SR: NDArray[np.float32]
    """To the others, ascending."""
    identities: int

    def rate(self, threshold: float, size: int) -> float:
        """The expected share who pass, of all galleries of `size` of the others."""
        near_S = (self.distance_SR <= threshold).sum(1)
        return float(np.append(0.0, np.cumsum(rank_weights(self.distance_SR.shape[1], size)))[near_S].mean())


def calibrate(
    x_ND: Float[Tensor, "N D"],
    labels_N: Int64[Tensor, "N"],
    *,
    target: float | None = None,
    groups: Sequence[str] = (),
) -> OperatingPoint:
    """The largest thresholds at which, 95 % sure, at most the share `target` of strangers pass.

    Args:
        x_ND: unit embeddings; a row of NaN is a picture that could not be embedded, and is left out.
        labels_N: the identity of each.
        target: of FAR, and of FPIR whatever the size of the gallery; by default the tightest of 50 %, 20 %, 10 %, 5 %
            ... that the identities support. Of fewer than 10 identities it is what no error among them would bound.
        groups: of each picture (a camera, an age band), to tell the rates of strangers of each; empty for none.

    Raises:
        UserError: one identity only, or a target that they cannot support; says how many it needs.
    """
    kept_N = x_ND.isfinite().all(1)
    q_ND, labels = quantize(x_ND[kept_N]), labels_N[kept_N].numpy()
    identities = min(len(np.unique(labels)), MOST_IDENTITIES)
    if identities < 2:
        raise UserError("A threshold needs pictures of two identities or more.", hint="Add pictures of another one.")
    target = supported_target(identities, target)
    strangers = met_strangers(q_ND, labels, np.ones(len(labels), bool))
    steps = _steps(strangers, target)
    far = steps[0].threshold
    group_N = [group for group, kept in zip(groups, kept_N.tolist(), strict=True) if kept] if groups else []
    return OperatingPoint(
        threshold=far,
        target=target,
        accepted=int((strangers.distance_SR <= far).sum()),
        comparisons=strangers.distance_SR.size,
        identities=identities,
        steps=steps,
        spread=genuine_spread(q_ND, labels),
        groups=_group_rates(q_ND, labels, group_N, steps),
        distances=count_distances(q_ND, labels, strangers),
    )


def supported_target(identities: int, target: float | None) -> float:
    """`target`, or the tightest round one that so many identities support.

    Raises:
        UserError: they cannot support it; says how many it needs.
    """
    compared = min(identities, MOST_IDENTITIES)
    tightest = mean_upper_bound(0.0, compared // 2)
    if target is None:
        return min((rate for rate in ROUND_TARGETS if rate >= tightest), default=tightest)
    if not 0 < target < 1:
        raise UserError(f"The target {target:g} is not a rate.", hint="Give one above 0 and below 1, or auto.")
    if target < tightest * (1 - 1e-9):
        needed = 2 * trials_needed(target)
        beyond = needed > MOST_IDENTITIES
        there = f"no more than {MOST_IDENTITIES:,} are compared" if beyond else f"there are {compared:,}"
        raise UserError(
            f"A rate of {target:.3g} needs {needed:,} identities, and {there}: they support {tightest:.2g} at best.",
            hint=f"Give {'' if beyond else 'pictures of more identities, '}a larger target, or auto.",
        )
    return target


def met_strangers(
    q_ND: Int8[Tensor, "N D"], labels: NDArray[np.int64], probes: NDArray[np.bool_], *, seed: int = 0
) -> Strangers:
    """Compare one picture of each identity with one of every other; repeated with other pictures where few identities
    have many. Only pictures marked in `probes` show a stranger; of any picture the templates are made."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(np.unique(labels))[:MOST_IDENTITIES]
    several = bool((np.bincount(labels) > 1).any())
    draws = min(max(round(COMPARISONS / len(chosen) ** 2), 1), DRAWS) if several else 1
    parts = []
    for _ in range(draws):
        enrolled_I, probe_S = _one_each(rng, labels, chosen), _one_each(rng, labels, chosen, probes)
        d_SI = template_distances(q_ND[probe_S], q_ND[enrolled_I]).numpy()
        others_SI = labels[probe_S][:, None] != labels[enrolled_I]
        parts.append(np.sort(d_SI[others_SI].reshape(len(d_SI), len(enrolled_I) - 1), axis=1))
    return Strangers(np.concatenate(parts), len(probe_S))


def rank_weights(others: int, size: int) -> NDArray[np.float64]:
    """How probable it is that the R-th nearest of `others` is the nearest of a gallery of `size` of them.

    (others - R choose size - 1) / (others choose size), R from 1; their sum is 1.

    Example:
        >>> rank_weights(4, 2)
        array([0.5       , 0.33333333, 0.16666667, 0.        ])
    """
    farther_R = np.arange(others - 1, 0, -1)  # of those, after the R-th
    factors = np.maximum(farther_R - size + 1, 0) / farther_R
    return np.asarray(size / others * np.append(1.0, np.cumprod(factors)))


def genuine_spread(q_ND: Int8[Tensor, "N D"], labels: NDArray[np.int64]) -> float | None:
    """How far apart two distances of one identity to one of its templates are: the mean absolute difference, of the
    median identity. None where nobody has three pictures."""
    found = []
    for own in _pictures_of_each(labels, 3):
        d_KK = template_distances(q_ND[own], q_ND[own])
        others_KO = d_KK[~torch.eye(len(own), dtype=torch.bool)].view(len(own), -1)
        gaps_KOO = (others_KO[:, :, None] - others_KO[:, None, :]).abs()
        pairs = others_KO.shape[1] * (others_KO.shape[1] - 1)
        found.append(float(gaps_KOO.sum((1, 2)).mean() / pairs))
    return float(np.median(found)) if found else None


def count_distances(q_ND: Int8[Tensor, "N D"], labels: NDArray[np.int64], strangers: Strangers) -> Distances:
    """How many pairs of one identity, and of two, lie how far apart. Of one identity the first pictures count."""
    same = np.zeros(round(FARTHEST / DISTANCE_STEP) + 1, np.int64)
    repeated = 0
    for own in _pictures_of_each(labels, 2):
        repeated += 1
        first, second = torch.triu_indices(len(own), len(own), 1)
        same += _binned(template_distances(q_ND[own], q_ND[own])[first, second].numpy())
    different = _binned(strangers.distance_SR.ravel())
    return Distances(same=tuple(same.tolist()), different=tuple(different.tolist()), repeated=repeated)


def _pictures_of_each(labels: NDArray[np.int64], least: int) -> Iterator[Int64[Tensor, "K"]]:
    """The first pictures of each identity that has `least` or more."""
    found, count = np.unique(labels, return_counts=True)
    for label in found[count >= least]:
        yield torch.from_numpy(np.flatnonzero(labels == label)[:PICTURES_OF_ONE])


def _binned(distances: NDArray[np.float32]) -> NDArray[np.int64]:
    bins = np.ceil(distances / DISTANCE_STEP).clip(0, round(FARTHEST / DISTANCE_STEP)).astype(np.int64)
    return np.bincount(bins, minlength=round(FARTHEST / DISTANCE_STEP) + 1)


def _steps(strangers: Strangers, target: float) -> tuple[Step, ...]:
    """Thresholds for galleries of growing size, up to the largest for which one keeps the target.

    The rate of a gallery larger than half of the identities is at most that of such a half, times how much larger it
    is: the template that lets a stranger in is among a random part of them with the probability that is its share.
    """
    trials = strangers.identities // 2
    largest = max(1, trials)
    others = strangers.distance_SR.shape[1]
    distance_M, rank_M = _nearest(strangers.distance_SR, target)
    steps: list[Step] = []
    for size in _sizes(largest, target / mean_upper_bound(0.0, trials)):
        parts = max(1.0, size / largest)
        allowed = largest_mean(min(target / parts * (1 + 1e-9), 1 - 1e-12), trials) or 0.0
        rate_M = np.cumsum(rank_weights(others, min(size, largest))[rank_M]) / len(strangers.distance_SR)
        beyond = int(np.searchsorted(rate_M, allowed + 1e-12, side="right"))
        threshold = _just_below(distance_M[beyond]) if beyond < len(distance_M) else FARTHEST
        if steps and threshold == NOTHING:
            break  # nobody would be recognized: the threshold before it stays, and its bound says what it costs
        passed = int(np.searchsorted(distance_M, threshold, side="right"))
        rate = float(rate_M[passed - 1]) if passed else 0.0
        steps.append(Step(size=size, threshold=threshold, bound=min(1.0, parts * mean_upper_bound(rate, trials))))
        # a larger gallery has no larger threshold
        distance_M, rank_M = distance_M[: beyond + 1], rank_M[: beyond + 1]
    return tuple(steps)


def _nearest(distance_SR: NDArray[np.float32], share: float) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
    """Somewhat more than the nearest `share` of all distances, ascending, and the rank of each."""
    flat = distance_SR.ravel()
    reach = min(int(share * len(flat)) + 1, len(flat) - 1)
    near = np.flatnonzero(flat <= np.partition(flat, reach)[reach])
    near = near[np.argsort(flat[near])]
    return flat[near], near % distance_SR.shape[1]


def _sizes(largest: int, room: float) -> list[int]:
    """1, 2, 3, 4, 6, 8, 11 ... up to `largest`, then up to `room` times as many."""
    end = max(largest, math.floor(largest * room * (1 + 1e-9)))
    doubled = {round(2 ** (half / 2)) for half in range(2 * end.bit_length())}
    return sorted({size for size in doubled if size < end} | {largest, end})


def _group_rates(
    q_ND: Int8[Tensor, "N D"], labels: NDArray[np.int64], group_N: Sequence[str], steps: Sequence[Step]
) -> tuple[GroupRate, ...]:
    """What strangers of each group do at the thresholds for one template, and for half of all identities.

    Without a group of which nobody is among the `MOST_IDENTITIES` compared.
    """
    names = sorted(set(group_N) - {""})
    if len(names) < 2:
        return ()
    half = max(1, min(len(np.unique(labels)), MOST_IDENTITIES) // 2)
    found = []
    for name in names:
        strangers = met_strangers(q_ND, labels, np.array([group == name for group in group_N]))
        if not strangers.identities:
            continue
        trials = strangers.identities // 2
        for size in sorted({1, half}):
            threshold = next((step for step in steps if size <= step.size), steps[-1]).threshold
            rate = strangers.rate(threshold, size)
            interval = mean_interval(rate, trials)
            found.append(
                GroupRate(
                    group=name,
                    identities=strangers.identities,
                    size=size,
                    rate=rate,
                    low=interval.low,
                    high=interval.high,
                    bound=mean_upper_bound(rate, trials),
                )
            )
    return tuple(found)


def _one_each(
    rng: np.random.Generator,
    labels: NDArray[np.int64],
    chosen: NDArray[np.int64],
    usable: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """A random picture of each identity chosen that has a usable one, by index."""
    order = rng.permutation(len(labels) if usable is None else np.flatnonzero(usable))
    order = order[np.isin(labels[order], chosen)]
    return np.asarray(order[np.unique(labels[order], return_index=True)[1]])


def _just_below(distance: np.float32) -> float:
    """The next smaller fp32: the same number wherever it is compared with distances."""
    return float(np.nextafter(distance, np.float32(NOTHING))) if distance > 0 else NOTHING
