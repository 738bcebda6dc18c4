"""The baseline without learning: who is nearest by bare pixels?

N pictures, F pixels of a picture, C pictures enrolled, M probes, P pairs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from firstsight.evaluation.embedded import Embedded, with_interval
from firstsight.evaluation.identification import Draw, OneShot, recognize
from firstsight.evaluation.pairs import DISTANCES_AT_ONCE
from firstsight.evaluation.progress import OnProgress, silent
from firstsight.functional.distances import squared_distances

PRODUCTS = 10_000_000_000_000
"""Of two pixels, that the baseline may take: minutes on two cores."""
LEFT_OUT = (
    f"Nearest pixels are left out: they would take more than {PRODUCTS / 1e12:.0f} million million products. Fewer "
    "trials, pictures or pixels bring them back."
)
WHOLE_MATRIX = 4096
"""Of so many pictures or fewer all distances are computed once, not anew in each trial."""


class PixelSpace:
    """Squared distances of pixels. A row of NaN could not be read."""

    stage = "Nearest pixels"

    def __init__(self, pixels_NF: Float[Tensor, "N F"]) -> None:
        self.readable = pixels_NF.isfinite().all(1)
        self._pixels_NF = pixels_NF
        self._d_NN = squared_distances(pixels_NF, pixels_NF) if len(pixels_NF) <= WHOLE_MATRIX else None

    def nearest(self, drawn: Sequence[Draw], on_done: Callable[[int], None]) -> list[NDArray[np.int64]]:
        found = []
        for enrolled_C, probes_M in drawn:
            parts = []
            for lot_B in torch.split(torch.from_numpy(probes_M), max(1, DISTANCES_AT_ONCE // len(enrolled_C))):
                parts.append(self._nearest(torch.from_numpy(enrolled_C), lot_B))
                on_done(len(lot_B))
            found.append(np.concatenate(parts))
        return found

    def _nearest(self, enrolled_C: Int64[Tensor, "C"], probes_M: Int64[Tensor, "M"]) -> NDArray[np.int64]:
        if self._d_NN is not None:
            d_MC = self._d_NN[probes_M[:, None], enrolled_C]
        else:
            d_MC = squared_distances(self._pixels_NF[probes_M], self._pixels_NF[enrolled_C])
        least_M, place_M = d_MC.nan_to_num(nan=torch.inf).min(1)
        return np.asarray(torch.where(least_M.isfinite(), place_M, -1).numpy())

    def distances(self, one_P: Int64[Tensor, "P"], other_P: Int64[Tensor, "P"]) -> Float[Tensor, "P"]:
        return (self._pixels_NF[one_P] - self._pixels_NF[other_P]).square().sum(1)


def by_pixels(
    embedded: Embedded,
    drawn: Sequence[Draw],
    *,
    clusters_N: Int64[Tensor, "N"] | None = None,
    unit: str = "identities",
    on_progress: OnProgress = silent,
) -> OneShot | None:
    """`recognize` by the pixels that the network was shown; None where that takes more than `PRODUCTS` products."""
    if _products(embedded, drawn) > PRODUCTS:
        return None
    space = PixelSpace(embedded.as_pixels())
    return recognize(space, embedded.labels, drawn, clusters_N=clusters_N, unit=unit, on_progress=on_progress)


def pixel_figures(found: OneShot | None) -> dict[str, Any]:
    """The baseline for `to_json`."""
    if found is None:
        return {"pixel_accuracy": None, "pixel_accuracy_refused": LEFT_OUT}
    return with_interval("pixel_accuracy", found.accuracy, found.interval)


def _products(embedded: Embedded, drawn: Sequence[Draw]) -> int:
    pictures = len(embedded.pictures)
    in_trials = sum(len(enrolled_C) * len(probes_M) for enrolled_C, probes_M in drawn)
    return (pictures**2 if pictures <= WHOLE_MATRIX else in_trials) * embedded.packed.pixels_NCHW[0].numel()
