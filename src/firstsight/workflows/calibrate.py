"""The `calibrate` verb: from a model and people it does not know to a threshold with a promise."""

from dataclasses import dataclass, replace
from typing import Any

from firstsight.config import OperatingPoint
from firstsight.data.identities import listing_digest, open_pictures
from firstsight.evaluation.calibration import calibrate, supported_target
from firstsight.evaluation.embedded import embed
from firstsight.models.folder import Model, keep_operating_point
from firstsight.recipes import to_plain
from firstsight.recognition.gallery import Gallery
from firstsight.workflows.progress import OnProgress, silent, stages
from firstsight.workflows.seen import seen_in_training


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What was measured, where it is kept, and for how many templates it counts there now; None for a model folder."""

    model: Model
    point: OperatingPoint
    where: str
    templates: int | None
    skipped: tuple[tuple[str, str], ...]
    warning: str
    """Why the evidence is worth little; empty where it is not so."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; `steps` and `groups` are lists of flat objects."""
        first = self.point.at(1)
        figures = {
            "model": self.model.name,
            "model_identity": self.model.identity,
            "calibration": self.point.version,
            "kept_in": self.where,
            **to_plain(replace(self.point, distances=None)),
            "bound": first.bound,
            "seen_in_training": bool(self.warning),
            "skipped": len(self.skipped),
        }
        if self.templates is None:
            return figures
        now = self.point.at(self.templates)
        return figures | {
            "templates": self.templates, "threshold_now": now.threshold, "bound_now": now.bound,
        }  # fmt: skip


def calibrate_model(
    model: Model,
    data: str,
    *,
    target: float | None = None,
    gallery: Gallery | None = None,
    on_progress: OnProgress = silent,
) -> Calibrated:
    """Measure on strangers at which distances to stop, and keep that in a gallery, or as the default of the model.

    `target` is that of `evaluation.calibration.calibrate`.

    Raises:
        UserError: the identities cannot support the target.
        DataError: no picture can be read.
        OtherModel: the gallery holds templates of another model.
        StorageError: the gallery or the model folder cannot be written.
    """
    if gallery is not None:
        gallery.bind_model(model)
    pictures = open_pictures(data)
    supported_target(len(pictures.names), target)  # before hours of embedding
    embedded = embed(model, pictures, on_progress=stages(on_progress))
    point = calibrate(embedded.embeddings, embedded.labels, target=target, groups=pictures.groups)
    point = replace(point, data=pictures.source, listing=listing_digest(pictures))
    if gallery is None:
        model, where, templates = keep_operating_point(model, point), str(model.folder), None
    else:
        gallery.set_operating_point(model.identity, point)
        where, templates = gallery.where, gallery.count_templates()
    return Calibrated(model, point, where, templates, embedded.skipped, seen_in_training(model, pictures))
