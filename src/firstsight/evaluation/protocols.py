"""The figures of a model on pictures of identities that it was not trained on. N pictures, D embedding."""

from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from firstsight.data.identities import PictureSet, listing_digest, require_identities
from firstsight.evaluation.calibration import calibrate
from firstsight.evaluation.embedded import CONFIDENCE, Embedded, embed, with_interval
from firstsight.evaluation.identification import OneShot, affordable_trials, draws, one_shot
from firstsight.evaluation.pixels import by_pixels, pixel_figures
from firstsight.evaluation.progress import OnProgress, silent
from firstsight.evaluation.verification import Verification, verification, verification_figures
from firstsight.model_config import OperatingPoint
from firstsight.models.folder import Model


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation(Embedded):
    """One-shot identification and pairwise verification on one set of pictures.

    The indices in `one_shot`, `pixels` (the baseline, None where it would take too long) and `verification` are those
    of the set.
    """

    one_shot: OneShot
    pixels: OneShot | None
    verification: Verification
    operating_point: OperatingPoint
    seed: int

    def to_json(self) -> dict[str, Any]:
        """One flat dict of plain values; shares are fractions, and what the data cannot support is None."""
        found, pairs = self.one_shot, self.verification.pairs
        return {
            **self.about("one-shot and pairs"),
            **with_interval("accuracy", found.accuracy, found.interval),
            "error": 1 - found.accuracy,
            **pixel_figures(self.pixels),
            **verification_figures(self.verification),
            "threshold": self.operating_point.threshold,
            "threshold_target": self.operating_point.target,
            "threshold_bound": self.operating_point.at(1).bound,
            "confidence": CONFIDENCE,
            **self.counts(),
            "trials": found.trials,
            "ways": found.ways,
            "identifications": found.identifications,
            "pairs": len(pairs.same),
            "same_pairs": int(pairs.same.sum()),
            "different_pairs": int((~pairs.same).sum()),
            "pairs_sampled": not pairs.complete,
        }


def evaluate(
    model: Model,
    pictures: PictureSet,
    *,
    trials: int | None = None,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> Evaluation:
    """Embed all pictures, then recognize each identity from one of them and compare every two.

    Args:
        model: what to measure.
        pictures: of identities that the model was not trained on; the figures are worth nothing otherwise.
        trials: random choices of the one picture that each identity is enrolled with; 200, of very many pictures fewer.
        seed: of these choices.
        on_progress: hears how far each stage is.

    Raises:
        DataError: fewer than two identities with two pictures, or no picture can be read.
    """
    require_identities(pictures, 2, with_pictures=2)
    embedded = embed(model, pictures, on_progress=on_progress)
    x_ND, labels_N = embedded.embeddings, embedded.labels
    trials = affordable_trials(labels_N) if trials is None else trials
    return Evaluation(
        **vars(embedded),
        one_shot=one_shot(x_ND, labels_N, trials=trials, seed=seed, on_progress=on_progress),
        pixels=by_pixels(embedded, draws(labels_N, trials=trials, seed=seed), on_progress=on_progress),
        verification=verification(x_ND, labels_N, own=model.config.operating_point),
        operating_point=replace(
            calibrate(x_ND, labels_N, groups=pictures.groups), data=pictures.source, listing=listing_digest(pictures)
        ),
        seed=seed,
    )


def embed_set(model: Model, pictures: PictureSet) -> Float[Tensor, "N D"]:
    """The embedding of each picture of a set; a row of NaN for one that cannot be read."""
    return embed(model, pictures).embeddings
