"""What another threshold would cost: by the calibration, else by who is enrolled here. N templates, K of one."""

import contextlib
import dataclasses
from typing import Any

import numpy as np
import torch
from jaxtyping import Int8
from torch import Tensor

from firstsight.errors import NotEnrolled
from firstsight.evaluation.calibration import count_distances, met_strangers
from firstsight.evaluation.cost import cost_of
from firstsight.model_config import Distances
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.listing import list_people
from firstsight.recognition.recognizer import Recognizer

_MOST = 500
"""People of a gallery whose templates are compared: a quarter of a million pairs."""


def curves_of(recognizer: Recognizer) -> dict[str, Any] | None:
    """The curves of docs/api.md; None where nothing was calibrated and fewer than two people are enrolled."""
    point = recognizer.operating_point
    if point and point.distances:
        return _curves("calibration", point.distances, point.identities)
    held = _templates(recognizer.gallery)
    return _curves("gallery", _distances(held), len(held)) if len(held) > 1 else None


def _curves(source: str, distances: Distances, identities: int) -> dict[str, Any]:
    cost = dataclasses.asdict(cost_of(distances, identities))
    return {
        "source": source,
        "identities": identities,
        "same_pairs": sum(distances.same),
        "different_pairs": sum(distances.different),
        **{name: list(curve) or None for name, curve in cost.items()},
        "same": distances.same,
        "different": distances.different,
    }


def _templates(gallery: Gallery) -> list[Int8[Tensor, "K D"]]:
    held = []
    for person in list_people(gallery, limit=_MOST):
        with contextlib.suppress(NotEnrolled):  # forgotten just now
            held.append(gallery.templates_of(person.name))
    return held


def _distances(held: list[Int8[Tensor, "K D"]]) -> Distances:
    labels = np.repeat(np.arange(len(held)), [len(own) for own in held])
    q_ND = torch.cat(held)
    return count_distances(q_ND, labels, met_strangers(q_ND, labels, np.ones(len(labels), bool)))
