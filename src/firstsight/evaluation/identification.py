"""Who is it, of those seen once? Some pictures are enrolled, others are to be recognized, over many drawings of lots.

N pictures, D embedding, C pictures enrolled, M probes, P pairs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from torch import Tensor, nn

from firstsight.errors import UserError
from firstsight.evaluation.bounds import Interval, share_interval
from firstsight.evaluation.pairs import pair_distances, templates
from firstsight.evaluation.progress import OnProgress, counter, silent
from firstsight.model_config import ModelConfig
from firstsight.models.folder import Model
from firstsight.recognition.gallery import Gallery

Draw = tuple[NDArray[np.int64], NDArray[np.int64]]
"""One trial, by index: the pictures to enroll (C), ordered by label, and the probes (M)."""
PROBES_AT_ONCE = 4096
"""Probes searched between two words on the progress."""
TRIALS = 200
"""Of a protocol over all identities that was not told how many."""
COMPARISONS = 10_000_000_000
"""Of probes with the enrolled, in all trials of a protocol that was not told how many: minutes on two cores."""


@dataclass(frozen=True)
class Mistake:
    """A probe that was taken for another identity: indices of three pictures, and squared L2 distances of two.

    Where several pictures of the right identity were enrolled, `right` is the first.
    """

    probe: int
    taken_for: int
    right: int
    distance: float
    distance_to_right: float


@dataclass(frozen=True, eq=False)
class OneShot:
    """Recognition from one picture each (or a few), over many random choices of them.

    `accuracy` is the share of all identifications that were right; `interval` its 95 % interval. `confusions` counts
    (true label, label taken for), most frequent first; `mistakes` are the worst, each probe once: those where the
    wrong picture was nearer by most than the right one, if that could be embedded.
    """

    accuracy: float
    interval: Interval
    trials: int
    ways: int
    identifications: int
    probed: NDArray[np.int64]
    """How often each of the N pictures was a probe."""
    recognized: NDArray[np.int64]
    """How often it was recognized."""
    confusions: tuple[tuple[int, int, int], ...]
    mistakes: tuple[Mistake, ...]


@runtime_checkable
class Space(Protocol):
    """Where pictures are near or far: their templates in a gallery, or their bare pixels."""

    stage: str
    """What a search in it is called on a progress bar."""
    readable: Bool[Tensor, "N"]

    def nearest(self, drawn: Sequence[Draw], on_done: Callable[[int], None]) -> list[NDArray[np.int64]]:
        """For each trial and probe the place among the enrolled of the nearest; -1 where it has none.

        `on_done` hears of each lot of probes how many they are. Memory grows with the pictures, not their square.
        """

    def distances(self, one_P: Int64[Tensor, "P"], other_P: Int64[Tensor, "P"]) -> Float[Tensor, "P"]:
        """Squared distances of pairs of pictures."""


class TemplateSpace:
    """int8 templates, enrolled and searched in a real gallery. A row of NaN could not be embedded."""

    stage = "Recognizing"

    def __init__(self, x_ND: Float[Tensor, "N D"]) -> None:
        self._x_ND = x_ND
        self._q_ND, self.readable = templates(x_ND)

    def nearest(self, drawn: Sequence[Draw], on_done: Callable[[int], None]) -> list[NDArray[np.int64]]:
        found = []
        with Gallery("sqlite://") as gallery:
            gallery.bind_model(Model(nn.Identity(), ModelConfig(identity="evaluation"), name="evaluation"))
            for enrolled_C, probes_M in drawn:
                places = np.flatnonzero(self.readable.numpy()[enrolled_C])
                gallery.clear()
                gallery.enroll_many([str(place) for place in places], self._q_ND[torch.from_numpy(enrolled_C[places])])
                found.append(np.full(len(probes_M), -1))
                for start in range(0, len(probes_M), PROBES_AT_ONCE):
                    lot = slice(start, start + PROBES_AT_ONCE)
                    found[-1][lot] = self._search(gallery, probes_M[lot])
                    on_done(len(probes_M[lot]))
        return found

    def _search(self, gallery: Gallery, probes_M: NDArray[np.int64]) -> NDArray[np.int64]:
        known = np.flatnonzero(self.readable.numpy()[probes_M])
        matches = gallery.search(self._q_ND[torch.from_numpy(probes_M[known])])
        found_M = np.full(len(probes_M), -1)
        found_M[known] = [int(nearest[0].name) if nearest else -1 for nearest in matches]
        return found_M

    def distances(self, one_P: Int64[Tensor, "P"], other_P: Int64[Tensor, "P"]) -> Float[Tensor, "P"]:
        return pair_distances(self._x_ND, one_P, other_P)


def one_shot(
    x_ND: Float[Tensor, "N D"],
    labels_N: Int64[Tensor, "N"],
    *,
    trials: int = TRIALS,
    seed: int = 0,
    ways: int | None = None,
    on_progress: OnProgress = silent,
) -> OneShot:
    """In each trial enroll one random picture of each identity in a gallery, and identify all their others in it.

    Templates, search and ties are those of every gallery. A row of NaN is a picture that could not be embedded:
    nobody knows it, and who was to be enrolled with it is not known in that trial.

    Args:
        x_ND: unit embeddings.
        labels_N: the identity of each; identities with one picture are enrolled but never probed.
        trials: how often to draw.
        seed: of the draws.
        ways: how many identities to draw for each trial; all of them by default.
        on_progress: hears how many identifications are done.

    Raises:
        UserError: fewer than two identities (or than `ways`), or none with two pictures.
    """
    drawn = draws(labels_N, trials=trials, seed=seed, ways=ways)
    return recognize(TemplateSpace(x_ND), labels_N, drawn, on_progress=on_progress)


def draws(labels_N: Int64[Tensor, "N"], *, trials: int, seed: int, ways: int | None = None) -> list[Draw]:
    """For each trial the pictures to enroll, one of each identity drawn, and the probes: all their other pictures."""
    labels = labels_N.numpy()
    identities, counts = np.unique(labels, return_counts=True)
    ways = ways or len(identities)
    if not 2 <= ways <= len(identities) or (counts == 1).all():
        raise UserError(
            f"One-shot recognition among {ways} cannot be measured on {len(identities)} identities, of which "
            f"{(counts > 1).sum()} have a second picture.",
            hint="Give pictures of two identities or more, two pictures of each.",
        )
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(trials):
        chosen = rng.choice(identities, size=ways, replace=False) if ways < len(identities) else identities
        # the first of each identity in a random order
        order = rng.permutation(len(labels))
        first = np.unique(labels[order], return_index=True)[1]
        enrolled_C = order[first][np.isin(identities, chosen)]
        candidates = np.isin(labels, chosen)
        candidates[enrolled_C] = False
        drawn.append((enrolled_C, np.flatnonzero(candidates)))
    return drawn


def affordable_trials(labels_N: Int64[Tensor, "N"], most: int | None = None) -> int:
    """The default number of trials: `most`, or `TRIALS`, or what `COMPARISONS` allow of all identities enrolled; 1 at
    least."""
    most = TRIALS if most is None else most
    enrolled = len(labels_N.unique())
    return max(1, min(most, COMPARISONS // max(1, enrolled * (len(labels_N) - enrolled))))


def recognize(
    space: Space,
    labels_N: Int64[Tensor, "N"],
    drawn: Sequence[Draw],
    *,
    clusters_N: Int64[Tensor, "N"] | None = None,
    unit: str = "identities",
    worst: int = 50,
    on_progress: OnProgress = silent,
) -> OneShot:
    """Enroll and identify as drawn, and count what was right.

    Args:
        space: where to look for the nearest.
        labels_N: the identity of each picture.
        drawn: the trials.
        clusters_N: what the interval takes for independent, the identities by default.
        unit: the name of that.
        worst: how many of the worst mistakes to keep.
        on_progress: hears how many identifications are done.
    """
    labels = labels_N.numpy()
    probed, recognized = np.zeros(len(labels), np.int64), np.zeros(len(labels), np.int64)
    wrong = []
    on_done = counter(on_progress, space.stage, sum(len(probes_M) for _, probes_M in drawn))
    for (enrolled_C, probes_M), found_M in zip(drawn, space.nearest(drawn, on_done), strict=True):
        taken_for_M = enrolled_C[found_M]
        right_M = enrolled_C[np.searchsorted(labels[enrolled_C], labels[probes_M])]
        correct_M = (found_M >= 0) & (labels[taken_for_M] == labels[probes_M])
        probed[probes_M] += 1
        recognized[probes_M] += correct_M
        wrong.append(np.stack([probes_M, taken_for_M, right_M])[:, (found_M >= 0) & ~correct_M])
    mistakes = np.concatenate(wrong, axis=1)
    clusters = labels if clusters_N is None else clusters_N.numpy()
    return OneShot(
        accuracy=float(recognized.sum() / probed.sum()),
        interval=share_interval(recognized, probed, clusters, unit=unit),
        trials=len(drawn),
        ways=len(np.unique(labels[drawn[0][0]])),
        identifications=int(probed.sum()),
        probed=probed,
        recognized=recognized,
        confusions=confusions_of(labels[mistakes[0]], labels[mistakes[1]]),
        mistakes=worst_mistakes(space, mistakes, worst),
    )


def confusions_of(true_M: NDArray[np.int64], taken_for_M: NDArray[np.int64]) -> tuple[tuple[int, int, int], ...]:
    """(true label, label taken for, how often), most frequent first."""
    pairs, counts = np.unique(np.stack([true_M, taken_for_M]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return tuple(
        (int(true), int(other), int(n)) for true, other, n in zip(*pairs[:, order], counts[order], strict=True)
    )


def worst_mistakes(space: Space, mistakes_3M: NDArray[np.int64], count: int = 50) -> tuple[Mistake, ...]:
    """Of (probe, taken for, right) those where the wrong picture was nearer than the right one by most, each probe
    once; the right one must have been embedded."""
    comparable = space.readable.numpy()[mistakes_3M[2]]
    probe_M, taken_for_M, right_M = torch.from_numpy(np.unique(mistakes_3M[:, comparable], axis=1))
    distance_M, to_right_M = space.distances(probe_M, taken_for_M), space.distances(probe_M, right_M)
    worst: dict[int, Mistake] = {}
    for i in (to_right_M - distance_M).argsort(descending=True, stable=True).tolist():
        if len(worst) == count:
            break
        mistake = Mistake(
            int(probe_M[i]), int(taken_for_M[i]), int(right_M[i]), float(distance_M[i]), float(to_right_M[i])
        )
        worst.setdefault(mistake.probe, mistake)
    return tuple(worst.values())
