"""Two models side by side, on the same pictures."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from firstsight.data.cache import Skipped
from firstsight.errors import UserError
from firstsight.evaluation.bounds import (
    Interval,
    by_cluster,
    cluster_bootstrap,
    percentile_interval,
    widened_where_few_differ,
)
from firstsight.evaluation.embedded import far_name, with_interval
from firstsight.evaluation.episodes import EpisodesEvaluation
from firstsight.evaluation.folds import PairsEvaluation
from firstsight.evaluation.pairs import resampled_pairs
from firstsight.evaluation.protocols import Evaluation
from firstsight.evaluation.resampling import resampled_rates
from firstsight.evaluation.retrieval import RetrievalEvaluation

Comparable = Evaluation | PairsEvaluation | EpisodesEvaluation | RetrievalEvaluation


@dataclass(frozen=True, eq=False)
class Comparison:
    """`differences` holds, for a key of `to_json`, the figure of one less that of the other.

    Its interval is that of the difference: both models meet the same identities in each resampling, so it is narrower
    than the two intervals let fear.
    """

    one: Comparable
    other: Comparable
    differences: dict[str, tuple[float, Interval]]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The pictures that either model could not embed; the reasons name the model."""
        reasons: dict[str, list[str]] = {}
        for evaluation in (self.one, self.other):
            for path, reason in evaluation.skipped:
                reasons.setdefault(path, []).append(f"{evaluation.model.name}: {reason.removesuffix('.')}")
        return tuple(Skipped(path, "; ".join(named)) for path, named in reasons.items())

    def verdict(self) -> str:
        """Which model recognizes better, if the interval of the difference leaves no doubt."""
        _, interval = next(iter(self.differences.values()))
        if interval.low > 0:
            return f"{self.one.model.name} is better."
        if interval.high < 0:
            return f"{self.other.model.name} is better."
        return "These pictures do not tell which is better."

    def to_json(self) -> dict[str, Any]:
        """One flat dict: the figures of one, those of the other as `against_...`, and the differences."""
        figures = self.one.to_json() | {f"against_{key}": value for key, value in self.other.to_json().items()}
        for key, (difference, interval) in self.differences.items():
            figures |= with_interval(f"{key}_difference", difference, interval)
        return figures


def compare(one: Comparable, other: Comparable) -> Comparison:
    """Set two evaluations by the same protocol side by side.

    Raises:
        UserError: they are not of the same pictures and random choices.
    """
    if not _same_trials(one, other):
        raise UserError(
            "Two evaluations can only be compared on the same pictures, trials and seed.",
            hint="Evaluate both models with the same --data, --trials and --seed.",
        )
    figures, others = one.to_json(), other.to_json()
    intervals = _of_recognition(one, other) | _of_verification(one, other)
    return Comparison(one, other, {key: (figures[key] - others[key], found) for key, found in intervals.items()})


def _same_trials(one: Comparable, other: Comparable) -> bool:
    mine, theirs = one.verification.pairs, other.verification.pairs
    if type(one) is not type(other) or one.pictures.paths != other.pictures.paths:
        return False
    if not (torch.equal(mine.left, theirs.left) and torch.equal(mine.right, theirs.right)):
        return False
    if isinstance(one, PairsEvaluation) and isinstance(other, PairsEvaluation):
        return one.pair_list.fold == other.pair_list.fold
    if isinstance(one, Evaluation | EpisodesEvaluation) and isinstance(other, Evaluation | EpisodesEvaluation):
        return np.array_equal(one.one_shot.probed, other.one_shot.probed)
    return True


def _of_recognition(one: Comparable, other: Comparable) -> dict[str, Interval]:
    """The intervals of the differences of accuracy, or what the protocol has in its place."""
    if isinstance(one, PairsEvaluation) and isinstance(other, PairsEvaluation):
        return _of_folds(one, other)
    if isinstance(one, RetrievalEvaluation) and isinstance(other, RetrievalEvaluation):
        scores_N3 = one.retrieval.scores - other.retrieval.scores
        queries_N = np.isfinite(scores_N3).all(1)
        labels_Q, once_Q = one.labels.numpy()[queries_N], np.ones(queries_N.sum(), np.int64)
        columns = zip(("accuracy", "r_precision", "map_at_r"), scores_N3[queries_N].T, strict=True)
        return {key: _of_clusters(score_Q, once_Q, labels_Q) for key, score_Q in columns}
    assert isinstance(one, Evaluation | EpisodesEvaluation)
    assert isinstance(other, Evaluation | EpisodesEvaluation)
    clusters_N, unit = (one.clusters, one.unit) if isinstance(one, EpisodesEvaluation) else (one.labels, "identities")
    gained_N = one.one_shot.recognized - other.one_shot.recognized
    return {"accuracy": _of_clusters(gained_N, one.one_shot.probed, clusters_N.numpy(), unit=unit)}


def _of_clusters(
    gained_N: NDArray[np.number], tried_N: NDArray[np.integer], cluster_N: NDArray[np.integer], unit: str = "identities"
) -> Interval:
    gained_I, tried_I = by_cluster(cluster_N, gained_N, tried_N)
    gain_I = gained_I[tried_I > 0] / tried_I[tried_I > 0]
    return widened_where_few_differ(cluster_bootstrap(gained_N, tried_N, cluster_N, unit=unit), gain_I)


def _of_folds(one: PairsEvaluation, other: PairsEvaluation) -> dict[str, Interval]:
    if one.folded is None or other.folded is None:
        return {}
    gained_P = (one.folded.correct.long() - other.folded.correct.long()).numpy()
    weights = resampled_pairs(one.verification.pairs, torch.arange(len(gained_P)), draws=1000)
    share_R = np.array([weight_P @ gained_P / weight_P.sum() for weight_P in weights if weight_P.any()])
    interval = percentile_interval(one.folded.accuracy - other.folded.accuracy, share_R)
    return {"accuracy": widened_where_few_differ(interval, gained_P.astype(float))}


def _of_verification(one: Comparable, other: Comparable) -> dict[str, Interval]:
    fars = [point.target for point in one.verification.val_at_far if point.val is not None]
    keys = ["auc", "average_precision", "eer", *(f"val_at_far_{far_name(far)}" for far in fars)]
    auc_R, precision_R, eer_R, val_RF = (
        mine - theirs
        for mine, theirs in zip(
            resampled_rates(one.verification.pairs, fars), resampled_rates(other.verification.pairs, fars), strict=True
        )
    )
    figures, others = one.to_json(), other.to_json()
    columns = zip(keys, [auc_R, precision_R, eer_R, *val_RF.T], strict=True)
    return {key: percentile_interval(figures[key] - others[key], column_R) for key, column_R in columns}
