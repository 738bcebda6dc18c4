"""Pairs of pictures, and how far apart their templates are. N pictures, D embedding, P pairs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8, Int64
from numpy.typing import NDArray
from torch import Tensor

from firstsight.evaluation.bounds import resampled_identities
from firstsight.functional.quantize import paired_distances, quantize, template_distances

FARTHEST = 4.0
"""Squared distance of opposite unit vectors: what a picture that could not be embedded is at from everything."""
MAX_PAIRS = 2_000_000
PAIRS_OF_TWO_IDENTITIES = 100
"""Ten pictures of each: further pairs of the same two identities say little more about strangers."""
DISTANCES_AT_ONCE = 1 << 24
"""Distances held at a time, beside those of pairs: 64 MiB in fp32."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of pictures, by index, and their squared L2 distances (0 ... 4)."""

    left: Int64[Tensor, "P"]
    right: Int64[Tensor, "P"]
    same: Bool[Tensor, "P"]
    distances: Float[Tensor, "P"]
    labels: Int64[Tensor, "N"]
    complete: bool
    """Every pair there is, not a sample of them."""

    @cached_property
    def identities(self) -> int:
        return distinct(self.labels[self.left], self.labels[self.right])

    @cached_property
    def comparisons(self) -> int:
        """How many different pairs count as evidence: at most `PAIRS_OF_TWO_IDENTITIES` for each two identities."""
        low_P, high_P = torch.stack([self.labels[self.left], self.labels[self.right]]).sort(0).values
        code_P = (low_P * (int(self.labels.max()) + 1) + high_P)[~self.same]
        return int(code_P.unique(return_counts=True)[1].clamp(max=PAIRS_OF_TWO_IDENTITIES).sum())


def picture_pairs(x_ND: Float[Tensor, "N D"], labels_N: Int64[Tensor, "N"], *, max_pairs: int = MAX_PAIRS) -> Pairs:
    """Every two of N pictures, or a sample where they are more than `max_pairs`, at the distances of their templates.

    Raises:
        UserError: fewer than two pictures.
    """
    left_P, right_P, complete = index_pairs(labels_N, max_pairs=max_pairs)
    distance_P = pair_distances(x_ND, left_P, right_P)
    return Pairs(left_P, right_P, labels_N[left_P] == labels_N[right_P], distance_P, labels_N, complete)


def drawn_pairs(
    x_ND: Float[Tensor, "N D"],
    labels_N: Int64[Tensor, "N"],
    drawn: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    *,
    max_pairs: int = MAX_PAIRS,
) -> Pairs:
    """What the probes met: each with every picture enrolled in its trial, each pair once.

    Where they would be more than `max_pairs`, the last trials are left out.
    """
    codes: list[NDArray[np.int64]] = []
    met = 0
    for enrolled_C, probes_M in drawn:
        met += len(enrolled_C) * len(probes_M)
        if met > max_pairs and codes:
            break
        low_MC, high_MC = np.minimum(probes_M[:, None], enrolled_C), np.maximum(probes_M[:, None], enrolled_C)
        codes.append((low_MC * len(labels_N) + high_MC).ravel())
    left_P, right_P = map(torch.from_numpy, np.divmod(np.unique(np.concatenate(codes)), len(labels_N)))
    distance_P = pair_distances(x_ND, left_P, right_P)
    same_P = labels_N[left_P] == labels_N[right_P]
    return Pairs(left_P, right_P, same_P, distance_P, labels_N, len(codes) == len(drawn))


def index_pairs(
    labels_N: Int64[Tensor, "N"], *, max_pairs: int = MAX_PAIRS
) -> tuple[Int64[Tensor, "P"], Int64[Tensor, "P"], bool]:
    """Left and right indices of every two pictures (and True), or of half same, half different ones (and False)."""
    pictures = len(labels_N)
    if pictures * (pictures - 1) // 2 <= max_pairs:
        left_P, right_P = torch.triu_indices(pictures, pictures, offset=1)
        return left_P, right_P, True
    rng = np.random.default_rng(0)
    labels = labels_N.numpy()
    order = np.argsort(labels, kind="stable")
    count_I = np.bincount(labels).astype(np.int64)
    start_I = np.cumsum(count_I) - count_I
    same_I = count_I * (count_I - 1) / 2
    half = max_pairs // 2 if same_I.any() else 0
    identity = rng.choice(len(count_I), size=half, p=same_I / max(same_I.sum(), 1)) if half else np.zeros(0, int)
    first = rng.integers(count_I[identity])
    other = (first + 1 + rng.integers(np.maximum(count_I[identity] - 1, 1))) % np.maximum(count_I[identity], 1)
    same = order[start_I[identity] + np.stack([first, other])]
    drawn = rng.integers(pictures, size=(2, 2 * max_pairs))
    different = drawn[:, labels[drawn[0]] != labels[drawn[1]]][:, : max_pairs - half]
    left_P, right_P = torch.from_numpy(np.concatenate([same, different], axis=1))
    return left_P, right_P, False


def pair_distances(
    x_ND: Float[Tensor, "N D"], left_P: Int64[Tensor, "P"], right_P: Int64[Tensor, "P"]
) -> Float[Tensor, "P"]:
    """Squared L2 distances of the int8 templates of pairs; 4 where a row of the pair is NaN."""
    q_ND, embedded_N = templates(x_ND)
    if len(q_ND) ** 2 <= DISTANCES_AT_ONCE:
        distance_P = template_distances(q_ND, q_ND)[left_P, right_P]
    else:
        blocks = zip(torch.split(left_P, 2**14), torch.split(right_P, 2**14), strict=True)
        distance_P = torch.cat([paired_distances(q_ND[left], q_ND[right]) for left, right in blocks])
    return distance_P.masked_fill_(~(embedded_N[left_P] & embedded_N[right_P]), FARTHEST)


def templates(x_ND: Float[Tensor, "N D"]) -> tuple[Int8[Tensor, "N D"], Bool[Tensor, "N"]]:
    """int8 templates, and which of them stand for a picture: a row of NaN, not embedded, gets a stand-in."""
    embedded_N = x_ND.isfinite().all(1)
    return quantize(torch.where(embedded_N[:, None], x_ND, 1.0)), embedded_N


def resampled_pairs(pairs: Pairs, kept_P: Int64[Tensor, "K"], *, draws: int) -> Iterator[NDArray[np.float64]]:
    """The weights of the pairs `kept_P`, over and over, with identities drawn with replacement.

    A pair of identities i and j counts as often as i times j was drawn, a same pair of i as often as i was.
    """
    identities, labels_N = torch.unique(pairs.labels, return_inverse=True)
    left_P, right_P = labels_N[pairs.left[kept_P]].numpy(), labels_N[pairs.right[kept_P]].numpy()
    for weight_I in resampled_identities(len(identities), draws=draws):
        yield weight_I[left_P] * np.where(left_P == right_P, 1, weight_I[right_P])


def distinct(one_P: Int64[Tensor, "P"], other_P: Int64[Tensor, "P"]) -> int:
    """How many different indices there are on either side."""
    return int((torch.bincount(torch.cat([one_P, other_P])) > 0).sum())
