"""The protocol of Labeled Faces in the Wild, View 2: same or not, with the threshold chosen on the other folds.

P pairs.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from firstsight.data.identities import PictureSet
from firstsight.data.pairs import PairList
from firstsight.errors import UserError
from firstsight.evaluation.bounds import Interval, binomial_interval, percentile_interval, wider
from firstsight.evaluation.embedded import CONFIDENCE, Embedded, embed, with_interval
from firstsight.evaluation.pairs import Pairs, pair_distances, resampled_pairs
from firstsight.evaluation.progress import OnProgress, silent
from firstsight.evaluation.verification import Verification, verification_figures, verify_pairs
from firstsight.models.folder import Model

ONE_FOLD = "One fold gives no honest accuracy: its threshold must be chosen on other pairs."


@dataclass(frozen=True, eq=False)
class FoldedAccuracy:
    """Accuracy on each fold, at the threshold that is best on the others.

    `accuracy` is their mean, `standard_error` that of the mean: the folds' standard deviation over √folds.
    """

    accuracy: float
    standard_error: float
    fold_accuracies: tuple[float, ...]
    thresholds: tuple[float, ...]
    correct: Bool[Tensor, "P"]


@dataclass(frozen=True, eq=False, kw_only=True)
class PairsEvaluation(Embedded):
    """Accuracy over folds, None where there is but one, and the rates of all pairs together."""

    pair_list: PairList
    folded: FoldedAccuracy | None
    interval: Interval | None
    verification: Verification

    @property
    def unembedded(self) -> list[str]:
        """The pairs that count as distance 4, since a picture of theirs is missing or cannot be read."""
        pairs = self.verification.pairs
        known_N = torch.zeros(len(pairs.labels), dtype=torch.bool)
        known_N[: len(self.pictures)] = self.embeddings.isfinite().all(1)
        unknown_P = ~(known_N[pairs.left] & known_N[pairs.right])
        return [f"{self._name(pairs.left[i])} | {self._name(pairs.right[i])}" for i in unknown_P.nonzero().flatten()]

    def to_json(self) -> dict[str, Any]:
        """One flat dict of plain values; shares are fractions, and what the pairs cannot support is None."""
        pairs = self.verification.pairs
        return {
            **self.about("pairs"),
            "pairs_file": self.pair_list.source,
            **self._accuracy_figures(),
            **verification_figures(self.verification),
            "confidence": CONFIDENCE,
            **self.counts(),
            "identities": pairs.identities,
            "folds": self.pair_list.folds,
            "pairs": len(pairs.same),
            "same_pairs": int(pairs.same.sum()),
            "different_pairs": int((~pairs.same).sum()),
            "missing_pictures": len(self.pair_list.missing),
            "unembedded_pairs": len(self.unembedded),
            "unembedded": self.unembedded,
        }

    def _accuracy_figures(self) -> dict[str, Any]:
        if self.folded is None or self.interval is None:
            return {"accuracy": None, "accuracy_refused": ONE_FOLD, "error": None}
        return {
            **with_interval("accuracy", self.folded.accuracy, self.interval),
            "error": 1 - self.folded.accuracy,
            "standard_error": self.folded.standard_error,
            "threshold": float(np.mean(self.folded.thresholds)),
        }

    def _name(self, index: Tensor) -> str:
        place = int(index) - len(self.pictures)
        return self.pictures.paths[int(index)] if place < 0 else " ".join(map(str, self.pair_list.missing[place]))


def evaluate_pairs(
    model: Model,
    pictures: PictureSet,
    pair_list: PairList,
    *,
    on_progress: OnProgress = silent,
) -> PairsEvaluation:
    """Measure a model on listed pairs, none left out: one without its pictures counts as distance 4.

    Of one fold there is no accuracy, only the rates.

    Args:
        model: what to measure.
        pictures: of identities that it was not trained on.
        pair_list: from `read_pairs`.
        on_progress: hears how far each stage is.

    Raises:
        DataError: no picture can be read.
    """
    pictures, pair_list = _named_only(pictures, pair_list)
    embedded = embed(model, pictures, on_progress=on_progress)
    pairs = listed_pairs(embedded, pair_list)
    several = pair_list.folds > 1
    folded = folded_accuracy(pairs.distances, pairs.same, torch.tensor(pair_list.fold)) if several else None
    return PairsEvaluation(
        **vars(embedded),
        pair_list=pair_list,
        folded=folded,
        interval=_interval(pairs, folded.correct) if folded else None,
        verification=verify_pairs(pairs, own=model.config.operating_point),
    )


def folded_accuracy(
    distances_P: Float[Tensor, "P"], same_P: Bool[Tensor, "P"], fold_P: Int64[Tensor, "P"]
) -> FoldedAccuracy:
    """Call a pair the same at a distance <= the threshold that is best on all other folds.

    Raises:
        UserError: one fold only, so that there are no others to choose on.
    """
    folds = torch.unique(fold_P).tolist()
    if len(folds) < 2:
        raise UserError(ONE_FOLD, hint="Give a pairs file of two folds or more.")
    thresholds = [best_threshold(distances_P[fold_P != fold], same_P[fold_P != fold]) for fold in folds]
    threshold_P = torch.tensor(thresholds, dtype=torch.float64)[torch.searchsorted(torch.tensor(folds), fold_P)]
    correct_P = (distances_P <= threshold_P) == same_P
    accuracies = [float(correct_P[fold_P == fold].double().mean()) for fold in folds]
    standard_error = float(np.std(accuracies, ddof=1) / len(folds) ** 0.5)
    return FoldedAccuracy(float(np.mean(accuracies)), standard_error, tuple(accuracies), tuple(thresholds), correct_P)


def best_threshold(distances_P: Float[Tensor, "P"], same_P: Bool[Tensor, "P"]) -> float:
    """The threshold at which most pairs are called right; of equally good ones the middle.

    Candidates lie halfway between neighboring distances, and below and above all.

    Example:
        >>> best_threshold(torch.tensor([0.25, 0.5, 1.0, 1.25]), torch.tensor([True, True, False, False]))
        0.75
    """
    sorted_P, order_P = distances_P.double().sort()
    sign_P = same_P[order_P].long() * 2 - 1  # a pair more below the threshold: one more right, or one less
    last_P = torch.cat([sorted_P[1:] > sorted_P[:-1], torch.tensor([True])])
    right_T = torch.cat([torch.zeros(1, dtype=torch.int64), sign_P.cumsum(0)[last_P]])
    edges_T = torch.cat([sorted_P[:1] - 1, sorted_P[last_P], sorted_P[-1:] + 1])
    best = (right_T == right_T.max()).nonzero().flatten()
    middle = int(best[len(best) // 2])
    return float(edges_T[middle] + edges_T[middle + 1]) / 2


def listed_pairs(embedded: Embedded, pair_list: PairList) -> Pairs:
    """The pairs of a list with their distances; pictures that are missing get places after all others."""
    known = {name: label for label, name in enumerate(embedded.pictures.names)}
    strangers = [known.setdefault(name, len(known)) for name, _ in pair_list.missing]
    labels_N = torch.cat([embedded.labels, torch.tensor(strangers, dtype=torch.int64)])
    x_ND = embedded.embeddings
    x_ND = torch.cat([x_ND, x_ND.new_full((len(strangers), x_ND.shape[1]), torch.nan)])
    left_P, right_P = torch.tensor(pair_list.left), torch.tensor(pair_list.right)
    distances_P = pair_distances(x_ND, left_P, right_P)
    return Pairs(left_P, right_P, torch.tensor(pair_list.same), distances_P, labels_N, complete=True)


def _named_only(pictures: PictureSet, pair_list: PairList) -> tuple[PictureSet, PairList]:
    """Only the pictures that the list names: the others need not be embedded."""
    named = sorted({i for i in pair_list.left + pair_list.right if i < len(pictures)})
    moved = {index: place for place, index in enumerate(named)}
    moved |= {len(pictures) + i: len(named) + i for i in range(len(pair_list.missing))}
    left, right = (tuple(moved[i] for i in side) for side in (pair_list.left, pair_list.right))
    return pictures.select(named), replace(pair_list, left=left, right=right)


def _interval(pairs: Pairs, correct_P: Bool[Tensor, "P"]) -> Interval:
    """The wider of exact binomial over pairs and bootstrap over identities."""
    weights = resampled_pairs(pairs, torch.arange(len(correct_P)), draws=1000)
    correct = correct_P.numpy()
    share_R = np.array([weight_P @ correct / weight_P.sum() for weight_P in weights if weight_P.any()])
    exact = binomial_interval(int(correct_P.sum()), len(correct_P))
    return wider(exact, percentile_interval(float(correct.mean()), share_R))
