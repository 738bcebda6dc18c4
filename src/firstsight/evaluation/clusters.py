"""Who is on many pictures, without anybody enrolled: agglomerative clustering (FaceNet, section 5.6), and its figures.

N pictures, D embedding, I identities, C clusters.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray
from scipy.sparse import csr_array

from firstsight.errors import UserError
from firstsight.evaluation.bounds import Interval, percentile_interval, resampled_identities
from firstsight.evaluation.embedded import with_interval
from firstsight.model_config import OperatingPoint

MOST = 20_000
"""Pictures at once: the distances of every two then take 1.6 GB, and as much again while they are merged."""
EVIDENCE = 4
"""Of so many identities, one gallery: what a calibration says of larger galleries rests on a handful of identities, and
on the mistakes among their labels."""


@dataclass(frozen=True)
class Agreement:
    """How well clusters agree with names, over pairs of pictures.

    `precision` is the share of the pairs in one cluster that show one identity, `recall` the share of the pairs of one
    identity that are in one cluster; None where there is no such pair.
    """

    precision: float | None
    precision_interval: Interval | None
    recall: float | None
    recall_interval: Interval | None
    identities: int

    def to_json(self) -> dict[str, Any]:
        """One flat dict of plain values."""
        figures: dict[str, Any] = {"identities": self.identities}
        for name in ("precision", "recall"):
            share, interval = getattr(self, name), getattr(self, f"{name}_interval")
            figures |= {name: None} if share is None else with_interval(name, share, interval)
        return figures


def cluster(x_ND: Float[ndarray, "N D"], threshold: float) -> Int64[ndarray, "N"]:
    """The number of each picture's cluster, from 0 on, the largest first.

    Two clusters are merged while the mean squared distance between their pictures is at most `threshold`, the nearest
    two first (average linkage).

    Args:
        x_ND: unit embeddings.
        threshold: squared L2 (0 ... 4).

    Raises:
        UserError: more than `MOST` pictures.
    """
    refuse_many(len(x_ND))
    if len(x_ND) < 2:
        return np.zeros(len(x_ND), np.int64)
    from sklearn.cluster import AgglomerativeClustering

    # the cosine distance of unit vectors is half of their squared L2 distance
    merge = AgglomerativeClustering(
        n_clusters=None, metric="cosine", linkage="average", distance_threshold=np.nextafter(threshold / 2, 3)
    )
    found_N = merge.fit_predict(x_ND)
    sizes_C = np.bincount(found_N)
    first_C = np.full(len(sizes_C), len(x_ND))
    np.minimum.at(first_C, found_N, np.arange(len(x_ND)))
    rank_C = np.empty_like(sizes_C)
    rank_C[np.lexsort((first_C, -sizes_C))] = np.arange(len(sizes_C))
    ranked_N: ndarray = rank_C[found_N]
    return ranked_N


def refuse_many(pictures: int) -> None:
    """Raises UserError: more than `MOST`."""
    if pictures > MOST:
        raise UserError(f"{pictures:,} pictures are too many for one clustering.", hint=f"Give {MOST:,} at most.")


def cluster_threshold(point: OperatingPoint, pictures: int) -> float:
    """The calibrated threshold for so many pictures, or for as many as the calibration has evidence of."""
    return max(0.0, point.at(max(1, min(pictures, point.identities // EVIDENCE))).threshold)


def agreement(cluster_N: Int64[ndarray, "N"], label_N: Int64[ndarray, "N"]) -> Agreement:
    """How well clusters agree with labels, with the intervals of a bootstrap over identities.

    Example:
        >>> found = agreement(np.array([0, 0, 0, 1]), np.array([7, 7, 8, 8]))
        >>> found.precision, found.recall
        (0.3333333333333333, 0.5)
    """
    identities, label_N = np.unique(label_N, return_inverse=True)
    shape = int(cluster_N.max(initial=-1)) + 1, len(identities)
    counts_CI = csr_array((np.ones(len(label_N)), (cluster_N, label_N)), shape=shape)
    size_I = counts_CI.sum(0)
    same_I = size_I * (size_I - 1) / 2
    together_I = ((counts_CI.power(2)).sum(0) - size_I) / 2

    def shares(weight_I: Float[ndarray, "I"]) -> tuple[float, float]:
        both, same = float(weight_I @ together_I), float(weight_I @ same_I)
        square_CI = counts_CI.power(2)
        mixed = float(((counts_CI @ weight_I) ** 2 - square_CI @ weight_I**2).sum()) / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.float64(both) / (both + mixed)), float(np.float64(both) / same)

    precision, recall = shares(np.ones(len(identities)))
    drawn_R2 = np.array([shares(weight_I) for weight_I in resampled_identities(len(identities), draws=1000)])
    precisions, recalls = drawn_R2.T if len(drawn_R2) else (np.zeros(0), np.zeros(0))
    return Agreement(
        precision=None if np.isnan(precision) else precision,
        precision_interval=None if np.isnan(precision) else percentile_interval(precision, precisions),
        recall=None if np.isnan(recall) else recall,
        recall_interval=None if np.isnan(recall) else percentile_interval(recall, recalls),
        identities=len(identities),
    )
