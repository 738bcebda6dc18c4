"""The `calibrate` verb: from a model and people it does not know to a threshold with a promise."""

from dataclasses import dataclass, replace
from typing import Any

from firstsight.data.identities import listing_digest, open_pictures
from firstsight.errors import UserError
from firstsight.evaluation.bounds import trials_needed
from firstsight.evaluation.calibration import ROUND_TARGETS, calibrate, supported_target
from firstsight.evaluation.embedded import embed
from firstsight.evaluation.promise import one_in
from firstsight.model_config import OperatingPoint
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

    `target` is that of `evaluation.calibration.calibrate`; the default takes the place of no tighter one.

    Raises:
        UserError: the identities cannot support the target or, of their own, none that is as tight as what the model
            promises already. Nothing is changed then.
        DataError: no picture can be read.
        OtherModel: the gallery holds templates of another model.
        StorageError: the gallery or the model folder cannot be written.
    """
    if gallery is not None:
        gallery.bind_model(model)
    pictures = open_pictures(data)
    own = None if gallery is None else gallery.operating_point(model.identity)
    before = own or model.config.operating_point
    if before and before.listing and before.listing == model.config.trained.get("listing"):
        before = None  # what the model has seen is no evidence, so it stands in no other's way
    _refuse_too_few(len(pictures.names), target, before)  # before hours of embedding
    embedded = embed(model, pictures, on_progress=stages(on_progress))
    try:
        point = calibrate(embedded.embeddings, embedded.labels, target=target, groups=pictures.groups)
        _refuse_too_few(point.identities, target, before)
    except UserError as error:
        if not embedded.skipped:
            raise
        unread = f"{len(embedded.skipped)} pictures cannot be read, {embedded.skipped[0][0]} for one: mend them."
        raise UserError(error.message, hint=f"{unread} {error.hint}") from error
    point = replace(point, data=pictures.source, listing=listing_digest(pictures))
    if gallery is None:
        model, where, templates = keep_operating_point(model, point), str(model.folder), None
    else:
        gallery.set_operating_point(model.identity, point)
        where, templates = gallery.where, gallery.count_templates()
    return Calibrated(model, point, where, templates, embedded.skipped, seen_in_training(model, pictures))


def _refuse_too_few(identities: int, target: float | None, before: OperatingPoint | None) -> None:
    """Refuse what would promise nothing or, unasked, less than before."""
    loosest = ROUND_TARGETS[0]
    wanted = supported_target(identities, target)
    if target is not None and target > loosest:
        raise UserError(
            f"A target of {target:g} lets in more than {one_in(loosest)}: that promises nothing.",
            hint=f"Give one of at most {loosest:g}, or auto.",
        )
    if wanted > loosest:
        raise UserError(
            f"{'One identity is' if identities == 1 else f'{identities} identities are'} too few to promise anything.",
            hint=f"Bring {_needed(loosest)}, which support {one_in(loosest)}; or {_needed(0.1)}, for {one_in(0.1)}.",
        )
    if target is None and before and before.target < wanted * (1 - 1e-9):
        raise UserError(
            f"{identities} identities support {one_in(wanted)}, and {one_in(before.target)} is promised already, from "
            f"{before.identities:,} identities{f' of {before.data}' if before.data else ''}: that is kept.",
            hint=f"Bring {_needed(before.target):,}; or take the looser promise, from people like yours, with --fpir "
            f"{wanted:g}; firstsight evaluate --protocol open-set shows how far the tighter one holds for them.",
        )


def _needed(target: float) -> int:
    return 2 * trials_needed(target)
