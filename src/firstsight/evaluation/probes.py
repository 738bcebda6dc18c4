"""Pictures, enrolled in and identified against a real gallery. N pictures, D embedding, M probes, C enrolled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from firstsight.evaluation.calibration import NOTHING
from firstsight.evaluation.identification import PROBES_AT_ONCE
from firstsight.evaluation.pairs import FARTHEST, templates
from firstsight.model_config import OperatingPoint
from firstsight.recognition.decision import decide_identify, rule_of
from firstsight.recognition.gallery import Gallery


@dataclass(frozen=True, eq=False)
class Identifications:
    """What the gallery answered to each probe, given by its index."""

    picture: NDArray[np.int64]
    distance: NDArray[np.float64]
    right: NDArray[np.bool_]
    """Whether the nearest is the identity of the probe; never so for a stranger."""
    taken_for: NDArray[np.int64]
    """The picture enrolled of the nearest; -1 where nobody is near."""
    own: NDArray[np.int64]
    """The picture enrolled of the probe's own identity; -1 where there is none."""
    accepted: NDArray[np.bool_]
    """Whether a user would have been told a name: of `decide_identify` by the rule for this gallery."""


class Probes:
    """Pictures of a set, enrolled in and identified against a real gallery."""

    def __init__(
        self,
        gallery: Gallery,
        x_ND: Float[Tensor, "N D"],
        labels: NDArray[np.int64],
        measured: OperatingPoint | float | None,
    ) -> None:
        self._gallery = gallery
        self._labels = labels
        self._measured = NOTHING if measured is None else measured
        self._q_ND, embedded_N = templates(x_ND)
        self._embedded = embedded_N.numpy()

    def enroll(self, picture_C: NDArray[np.int64]) -> None:
        picture_C = picture_C[self._embedded[picture_C]]
        self._enrolled = np.full(self._labels.max() + 1, -1)
        self._enrolled[self._labels[picture_C]] = picture_C
        self._gallery.clear()
        if len(picture_C):
            self._gallery.enroll_many(
                [str(label) for label in self._labels[picture_C]], self._q_ND[torch.from_numpy(picture_C)]
            )

    def identify(self, picture_M: NDArray[np.int64], on_done: Callable[[int], None]) -> Identifications:
        parts = []
        for start in range(0, max(len(picture_M), 1), PROBES_AT_ONCE):
            parts.append(self._identify(picture_M[start : start + PROBES_AT_ONCE]))
            on_done(len(parts[-1].picture))
        return joined(parts)

    def _identify(self, picture_M: NDArray[np.int64]) -> Identifications:
        distance_M = np.full(len(picture_M), FARTHEST)
        taken_for_M, accepted_M = np.full(len(picture_M), -1), np.zeros(len(picture_M), bool)
        known = np.flatnonzero(self._embedded[picture_M])
        nearest = self._gallery.search(self._q_ND[torch.from_numpy(picture_M[known])])
        rule = rule_of(self._measured, self._gallery.count_templates())
        for i, matches in zip(known, nearest, strict=True):
            decision = decide_identify(matches, rule)
            if decision.distance is not None and decision.nearest is not None:
                distance_M[i] = decision.distance
                taken_for_M[i] = self._enrolled[int(decision.nearest)]
                accepted_M[i] = decision.accepted
        own_M = self._enrolled[self._labels[picture_M]]
        right_M = (taken_for_M == own_M) & (own_M >= 0)
        return Identifications(picture_M, distance_M, right_M, taken_for_M, own_M, accepted_M)


def joined(parts: Sequence[Identifications]) -> Identifications:
    """All of them as one."""
    return Identifications(
        *(np.concatenate([getattr(part, field) for part in parts]) for field in Identifications.__dataclass_fields__)
    )
