"""Who is it, if anyone? Some probes show enrolled identities, others strangers (Phillips, Grother, Micheals 2011).

DIR, the detection and identification rate, is the share of known probes whose nearest enrolled identity is the right
one, at a distance <= the threshold. FPIR, the false positive identification rate, is the share of unknown probes with
anyone enrolled at a distance <= the threshold. N pictures, D embedding, K known and U unknown identifications.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor, nn

from firstsight.data.identities import PictureSet, require_identities
from firstsight.errors import UserError
from firstsight.evaluation.bounds import Interval, share_interval
from firstsight.evaluation.embedded import CONFIDENCE, Embedded, embed, far_name, with_interval
from firstsight.evaluation.identification import (
    Mistake,
    TemplateSpace,
    affordable_trials,
    confusions_of,
    worst_mistakes,
)
from firstsight.evaluation.pairs import Pairs, pair_distances
from firstsight.evaluation.probes import Identifications, Probes, joined
from firstsight.evaluation.progress import OnProgress, counter, silent
from firstsight.evaluation.verification import largest_threshold
from firstsight.model_config import ModelConfig, OperatingPoint
from firstsight.models.folder import Model
from firstsight.recognition.decision import Rule, rule_of
from firstsight.recognition.gallery import Gallery

FPIRS = (1e-1, 1e-2, 1e-3)
NO_THRESHOLD = "The model has no threshold of its own, so there are no decisions to call right."
PROBES_OF_ONE_STRANGER = 10
"""Further pictures of the same stranger say little more about strangers."""


@dataclass(frozen=True)
class DirAtFpir:
    """DIR at the largest threshold at which FPIR <= `target`; missing, with the reason, where it is not supported."""

    target: float
    dir: float | None = None
    interval: Interval | None = None
    threshold: float | None = None
    fpir: float | None = None
    refused: str = ""


@dataclass(frozen=True, eq=False)
class OpenSet:
    """Identification with strangers at the door, over many random choices of who is enrolled."""

    known: Identifications
    unknown: Identifications
    dir_at_fpir: tuple[DirAtFpir, ...]
    threshold: float | None
    """Where decisions are taken with `gallery_size` enrolled."""
    promise: float | None
    """The bound of FPIR that the calibration stated for this size; None where it stated none."""
    dir: float | None
    """DIR of the decisions at `threshold`, with its interval; None where no threshold was given."""
    dir_interval: Interval | None
    fpir: float | None
    fpir_interval: Interval | None
    accuracy: float | None
    """The share of right decisions at `threshold`: the enrolled by their names, strangers unknown."""
    accuracy_interval: Interval | None
    trials: int
    gallery_size: int
    met: Pairs
    """The enrolled with their own pictures, strangers with whom they were nearest to; each pair once."""
    probed: NDArray[np.int64]
    """How often each of the N pictures was a probe while its identity was enrolled."""
    recognized: NDArray[np.int64]
    """How often it was nearest to its own identity."""
    confusions: tuple[tuple[int, int, int], ...]
    """(true label, label of the nearest, how often) of the enrolled, most frequent first."""
    mistakes: tuple[Mistake, ...]
    """Of the enrolled, those where another was nearer than their own picture by most."""

    def verdict(self) -> str | None:
        """What became of the promise; None where there was none."""
        if self.promise is None or self.fpir is None or self.fpir_interval is None:
            return None
        if self.fpir <= self.promise:
            return "kept"
        return "broken" if self.fpir_interval.low > self.promise else "exceeded, within chance"

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """FPIR and DIR at every distance of a stranger, ascending."""
        stranger_U = np.sort(self.unknown.distance)
        detected_K = np.sort(self.known.distance[self.known.right])
        dir_U = np.searchsorted(detected_K, stranger_U, side="right") / len(self.known.right)
        return np.arange(1, len(stranger_U) + 1) / len(stranger_U), dir_U


@dataclass(frozen=True, eq=False, kw_only=True)
class OpenSetEvaluation(Embedded):
    """Open-set identification on a set of pictures."""

    open_set: OpenSet

    def to_json(self) -> dict[str, Any]:
        """One flat dict of plain values; shares are fractions, and what the data cannot support is None."""
        found = self.open_set
        figures: dict[str, Any] = {}
        accuracy: dict[str, Any]
        for point in found.dir_at_fpir:
            name = f"dir_at_fpir_{far_name(point.target)}"
            if point.interval is None or point.dir is None:
                figures |= {name: None, f"{name}_refused": point.refused}
            else:
                figures |= with_interval(name, point.dir, point.interval)
                figures |= {f"{name}_threshold": point.threshold, f"{name}_fpir": point.fpir}
        if found.dir is not None and found.dir_interval and found.fpir is not None and found.fpir_interval:
            figures |= {"threshold": found.threshold, **with_interval("dir", found.dir, found.dir_interval)}
            figures |= with_interval("fpir", found.fpir, found.fpir_interval)
            figures |= {"fpir_promised": found.promise, "promise": found.verdict()}
        if found.accuracy is not None and found.accuracy_interval:
            accuracy = with_interval("accuracy", found.accuracy, found.accuracy_interval)
            accuracy["error"] = 1 - found.accuracy
        else:
            accuracy = {"accuracy": None, "accuracy_refused": NO_THRESHOLD, "error": None}
        return {
            **self.about("open-set"),
            **accuracy,
            **figures,
            "confidence": CONFIDENCE,
            **self.counts(),
            "trials": found.trials,
            "gallery_size": found.gallery_size,
            "known_identifications": len(found.known.right),
            "unknown_identifications": len(found.unknown.right),
        }


def evaluate_open_set(
    model: Model,
    pictures: PictureSet,
    *,
    trials: int | None = None,
    seed: int = 0,
    threshold: OperatingPoint | float | None = None,
    on_progress: OnProgress = silent,
) -> OpenSetEvaluation:
    """Enroll half of the identities from one picture each; identify all other pictures, strangers included.

    Args:
        model: what to measure.
        pictures: of identities that it was not trained on.
        trials: random choices of who is enrolled, and with which picture; 100, of very many pictures fewer.
        seed: of these choices.
        threshold: where decisions are taken; by default the model's own operating point, for as many as are enrolled.
        on_progress: hears how far each stage is.

    Raises:
        DataError: fewer than two identities with two pictures, or no picture can be read.
    """
    require_identities(pictures, 2, with_pictures=2)
    embedded = embed(model, pictures, on_progress=on_progress)
    if threshold is None:
        threshold = model.config.operating_point
    x_ND, labels_N = embedded.embeddings, embedded.labels
    trials = affordable_trials(labels_N, 100) if trials is None else trials
    found = open_set(x_ND, labels_N, trials=trials, seed=seed, threshold=threshold, on_progress=on_progress)
    return OpenSetEvaluation(**vars(embedded), open_set=found)


def open_set(
    x_ND: Float[Tensor, "N D"],
    labels_N: Int64[Tensor, "N"],
    *,
    trials: int = 100,
    seed: int = 0,
    threshold: OperatingPoint | float | None = None,
    fpirs: Sequence[float] = FPIRS,
    on_progress: OnProgress = silent,
) -> OpenSet:
    """In each trial enroll one picture each of a random half of the identities, and identify all other pictures.

    A row of NaN is a picture that could not be embedded: as a probe it is at distance 4 from everyone, and whoever
    was to be enrolled with it is not in that trial's gallery.

    Raises:
        UserError: fewer than two identities, or none with two pictures that was ever enrolled.
    """
    labels = labels_N.numpy()
    identities, counts = np.unique(labels, return_counts=True)
    if len(identities) < 2 or (counts < 2).all():
        raise UserError(
            f"Strangers cannot be told from the enrolled on {len(identities)} identities, of which "
            f"{(counts > 1).sum()} have a second picture.",
            hint="Give pictures of two identities or more, two pictures of each.",
        )
    rng = np.random.default_rng(seed)
    known, unknown = [], []
    on_done = counter(on_progress, "Identifying", trials * (len(labels) - len(identities) // 2))
    with Gallery("sqlite://") as gallery:
        gallery.bind_model(Model(nn.Identity(), ModelConfig(identity="evaluation"), name="evaluation"))
        space = Probes(gallery, x_ND, labels, threshold)
        for _ in range(trials):
            chosen = rng.permutation(identities)[: len(identities) // 2]
            order = rng.permutation(np.flatnonzero(np.isin(labels, chosen)))
            enrolled_C = order[np.unique(labels[order], return_index=True)[1]]
            others = np.setdiff1d(np.arange(len(labels)), enrolled_C)
            is_known = np.isin(labels[others], chosen)
            space.enroll(enrolled_C)
            known.append(space.identify(others[is_known], on_done))
            unknown.append(space.identify(others[~is_known], on_done))
    answers = joined(known), joined(unknown)
    if not len(answers[0].picture):
        raise UserError("Nobody who was enrolled has another picture to be known by.", hint="Give more --trials.")
    rule = None if threshold is None else rule_of(threshold, len(identities) // 2)
    return _rates(*answers, fpirs, rule, trials, len(identities) // 2, x_ND, labels_N)


def _rates(
    known: Identifications,
    unknown: Identifications,
    fpirs: Sequence[float],
    rule: Rule | None,
    trials: int,
    gallery_size: int,
    x_ND: Float[Tensor, "N D"],
    labels_N: Int64[Tensor, "N"],
) -> OpenSet:
    labels = labels_N.numpy()
    probed = np.bincount(labels[np.unique(unknown.picture)])
    comparisons = int(np.minimum(probed, PROBES_OF_ONE_STRANGER).sum())
    points = []
    for target in fpirs:
        if target * comparisons >= 3 - 1e-9:
            at = largest_threshold(np.append(known.distance, unknown.distance), unknown.distance, target)
            points.append(_at(known, unknown, labels, target, at))
        else:
            tightest = min(3 / comparisons, 1)
            reason = (
                f"FPIR {far_name(target)} needs {3 / target:,.0f} probes of strangers, and there are {comparisons:,}, "
                f"of one stranger at most {PROBES_OF_ONE_STRANGER} counted: the tightest FPIR is {tightest:.2g}."
            )
            points.append(DirAtFpir(target, refused=reason))
    dir_, dir_interval = _share(known, known.right & known.accepted, labels)
    fpir, fpir_interval = _share(unknown, unknown.accepted, labels)
    decided_right = np.append(known.right & known.accepted, ~unknown.accepted)
    accuracy, accuracy_interval = _share(joined([known, unknown]), decided_right, labels)
    given = rule is not None
    return OpenSet(
        known=known,
        unknown=unknown,
        dir_at_fpir=tuple(points),
        threshold=rule.threshold if rule else None,
        promise=rule.bound if rule and rule.bound is not None and rule.bound < 1 else None,
        dir=dir_ if given else None,
        dir_interval=dir_interval if given else None,
        fpir=fpir if given else None,
        fpir_interval=fpir_interval if given else None,
        accuracy=accuracy if given else None,
        accuracy_interval=accuracy_interval if given else None,
        trials=trials,
        gallery_size=gallery_size,
        met=_met(known, unknown, x_ND, labels_N),
        **_mistaken(known, x_ND, labels),
    )


def _met(
    known: Identifications, unknown: Identifications, x_ND: Float[Tensor, "N D"], labels_N: Int64[Tensor, "N"]
) -> Pairs:
    pairs_P2 = [
        np.stack([probes.picture, other], axis=1)[other >= 0]
        for probes, other in ((known, known.own), (unknown, unknown.taken_for))
    ]
    left_P, right_P = torch.from_numpy(np.unique(np.concatenate(pairs_P2), axis=0)).T
    same_P = labels_N[left_P] == labels_N[right_P]
    return Pairs(left_P, right_P, same_P, pair_distances(x_ND, left_P, right_P), labels_N, False)


def _mistaken(known: Identifications, x_ND: Float[Tensor, "N D"], labels: NDArray[np.int64]) -> dict[str, Any]:
    wrong = ~known.right & (known.taken_for >= 0)
    confused = wrong & (known.own >= 0)
    triples_3M = np.stack([known.picture, known.taken_for, known.own])[:, confused]
    return {
        "probed": np.bincount(known.picture, minlength=len(labels)),
        "recognized": np.bincount(known.picture[known.right], minlength=len(labels)),
        "confusions": confusions_of(labels[known.picture[wrong]], labels[known.taken_for[wrong]]),
        "mistakes": worst_mistakes(TemplateSpace(x_ND), triples_3M),
    }


def _at(
    known: Identifications, unknown: Identifications, labels: NDArray[np.int64], target: float, threshold: float
) -> DirAtFpir:
    dir_, interval = _share(known, known.right & (known.distance <= threshold), labels)
    return DirAtFpir(target, dir_, interval, threshold, float((unknown.distance <= threshold).mean()))


def _share(probes: Identifications, success: NDArray[np.bool_], labels: NDArray[np.int64]) -> tuple[float, Interval]:
    """The share of successes, and its interval over pictures and identities, however often each was a probe."""
    count_N = np.bincount(probes.picture, minlength=len(labels))
    success_N = np.bincount(probes.picture, weights=success, minlength=len(labels))
    return float(success.mean()), share_interval(success_N, count_N, labels)
