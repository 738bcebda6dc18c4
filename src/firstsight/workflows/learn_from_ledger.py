"""Learning from check-ins that operators confirmed: `stream --from-ledger`. The model gets better, or stays."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from firstsight.atomic import write_atomically
from firstsight.config import Batch, Loss, Optimizer, Recipe, Start, Training
from firstsight.data.identities import PictureSet, require_identities
from firstsight.errors import DataError, GalleryError, RecipeError
from firstsight.evaluation.bounds import Interval
from firstsight.evaluation.comparison import compare
from firstsight.evaluation.embedded import with_interval
from firstsight.evaluation.protocols import Evaluation, evaluate
from firstsight.models.folder import Model, find_model, for_crops, keep_operating_point, read_config
from firstsight.places import data_folder
from firstsight.recipes import read_recipe
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.reenroll import reenroll, require_pictures
from firstsight.workflows.confirmed import Confirmed, confirmed_crops
from firstsight.workflows.progress import OnProgress, silent, stage, stages
from firstsight.workflows.train_run import Run, train

LEAST_LEARNED, LEAST_HELD_BACK = 4, 5
"""People with two pictures or more. Of fewer than 5, chance alone would often make all of them better."""

RECIPE = Recipe(
    start=Start(frozen_epochs=1, thawed_rate=0.3),
    loss=Loss(name="triplet", select="semihard"),
    batch=Batch(identities=20, pictures=4),
    optimizer=Optimizer(name="adamw", learning_rate=1e-3, schedule="cosine"),
    training=Training(epochs=6, patience=2, augment=0.5),
)
"""recipes/from-ledger.toml."""


@dataclass(frozen=True, eq=False)
class Learned:
    """What came of it. `better` says whether model and gallery have moved to the new model in `run`, `templates` how
    many were made. `auc` and `against_auc` are the area under the ROC curve of the new and of the old model on the
    people held back, `difference` the interval of what lies between.

    Where no epoch was better on the people who choose it, the figures are of those, and `difference` is None.
    """

    where: str
    run: Run
    confirmed: Confirmed
    before: Model
    better: bool
    auc: float
    against_auc: float
    difference: Interval | None
    templates: int = 0

    def to_json(self) -> dict[str, Any]:
        """One flat dict."""
        gained = self.auc - self.against_auc
        found = with_interval("auc_difference", gained, self.difference) if self.difference else {}
        return {
            "better": self.better,
            "gallery": self.where,
            "out": str(self.run.folder),
            "model_identity": self.run.model.identity,
            "against_model_identity": self.before.identity,
            "auc": self.auc,
            "against_auc": self.against_auc,
            "auc_difference": gained,
            **found,
            "measured_on": "the people held back" if self.difference else "the people who choose the epoch",
            "templates": self.templates,
            **self.confirmed.counts(),
        }

    def in_words(self) -> str:
        """The decision and its grounds, in a sentence or two."""
        both = f"the new model has the AUC {self.auc:.4f}, {self.before.name} {self.against_auc:.4f}"
        if self.difference is None:
            return f"No epoch was better: on the people who choose it {both}. {self.before.name} stays."
        low, high = self.difference.low, self.difference.high
        found = f"On {self.confirmed.held_back_people} people held back {both}: {self.auc - self.against_auc:+.4f}, "
        found += f"95 % {low:+.4f} to {high:+.4f}."
        if self.better:
            return f"{found} {self.templates} templates in {self.where} are now by {self.run.folder}."
        return f"{found} That is not measurably better, so {self.before.name} stays."


def learn_from_ledger(
    gallery: Gallery,
    recipe: Recipe | str | Path | None = None,
    *,
    out: str | Path | None = None,
    on_progress: OnProgress = silent,
    on_warning: Callable[[str], None] = lambda warning: None,
) -> Learned:
    """Fine-tune a gallery's model on the check-ins that operators confirmed or corrected, if their pictures were kept.

    Half of the people, always the same ones, are held back. The gallery moves to the new model, all of it or not at
    all, only where the 95 % interval of the difference of the AUC on them, both models resampled alike over people,
    lies above 0. Nothing is written of the pictures but the mistakes that the report of the run shows.

    Args:
        gallery: of those who checked in; it may be in use.
        recipe: how to train, by default recipes/from-ledger.toml. It names neither model nor data.
        out: the run folder; by default one in the user's data folder. The gallery refers to the model in it.
        on_progress: hears how far it is.
        on_warning: hears at once what is worth reading.

    Raises:
        DataError: too few people were confirmed with pictures kept.
        GalleryError: nobody is enrolled; or pictures of enrolled people are missing, the message says whose.
        RecipeError: the recipe names a model or data.
        ModelError: the model of the gallery is gone.
        UserError, StorageError, TrainingError: as from `train`.
    """
    settled = _settled(recipe, gallery)
    require_pictures(gallery)
    preprocessing = read_config(find_model(settled.start.model)).preprocessing
    confirmed = confirmed_crops(gallery, preprocessing)
    _require_people(confirmed)
    folder = data_folder() / "runs" / f"ledger-{datetime.now(UTC):%Y%m%dT%H%M%SZ}" if out is None else Path(out)
    try:
        run = train(settled, out=folder, crops=confirmed.learned, on_progress=on_progress, on_warning=on_warning)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"{gallery.where} keeps its model {settled.start.model}.") from error
    learned = _decided(gallery, run, confirmed, on_progress, on_warning)
    write_atomically(folder / "ledger.json", json.dumps(learned.to_json(), indent=2).encode())
    return learned


def _settled(recipe: Recipe | str | Path | None, gallery: Gallery) -> Recipe:
    """The recipe, for the model of the gallery."""
    read = RECIPE if recipe is None else recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    data = read.data
    if read.start.model or data.path or data.val or data.holdout_groups or data.task != "embedding":
        raise RecipeError(
            "Model and data of --from-ledger are those of the gallery.",
            hint="Leave out of the recipe: start.model, data.path, data.val, data.holdout_groups, data.task.",
        )
    if gallery.model_name is None:
        raise GalleryError(f"Nobody is enrolled in {gallery.where}.", hint="Enroll first: firstsight enroll")
    return replace(read, start=replace(read.start, model=gallery.model_name), data=replace(data, path=gallery.where))


def _require_people(confirmed: Confirmed) -> None:
    for part, least, use in (
        (confirmed.learned, LEAST_LEARNED, "learn from"),
        (confirmed.held_back, LEAST_HELD_BACK, "measure on"),
    ):
        try:
            require_identities(part, least, with_pictures=2)
        except DataError as error:
            raise DataError(
                f"To {use}, {least} people with two kept pictures or more are needed; of the {confirmed.people} who "
                f"were confirmed, that half has too few ({len(part.names)} people, {len(part)} pictures).",
                hint="Keep pictures: firstsight identify --keep-probes 30; then firstsight ledger confirm NUMBER",
            ) from error


def _decided(
    gallery: Gallery,
    run: Run,
    confirmed: Confirmed,
    on_progress: OnProgress,
    on_warning: Callable[[str], None],
) -> Learned:
    """Measure the new model beside the old one; move to it, or not."""
    before = run.job.start
    assert before is not None
    if run.kept_start:
        best = max(row["held_out"] for row in run.updates if "held_out" in row)
        return Learned(gallery.where, run, confirmed, before, False, best, run.figures["auc"], None)
    new, old = (_measured(model, confirmed.held_back, on_progress) for model in (run.model, before))
    _, interval = compare(new, old).differences["auc"]
    aucs = new.verification.auc, old.verification.auc
    if interval.low <= 0:
        return Learned(gallery.where, run, confirmed, before, False, *aucs, interval)
    if gallery.model_identity != before.identity:
        raise GalleryError(
            f"{gallery.where} was moved to another model meanwhile.", hint="Begin anew, from the model it has now."
        )
    _warn_of_promise(gallery, before, new, on_warning)
    model = keep_operating_point(run.model, new.operating_point)
    made = reenroll(gallery, model, on_progress=stage(on_progress, "Embedding"))
    return Learned(gallery.where, replace(run, model=model), confirmed, before, True, *aucs, interval, made)


def _measured(model: Model, pictures: PictureSet, on_progress: OnProgress) -> Evaluation:
    return evaluate(for_crops(model), pictures, on_progress=stages(on_progress, "Held back: "))


def _warn_of_promise(gallery: Gallery, before: Model, new: Evaluation, on_warning: Callable[[str], None]) -> None:
    """Of strangers, the new threshold may let in more than the old one did: the people held back may be few."""
    had = gallery.operating_point(before.identity) or before.config.operating_point
    if had and had.target < new.operating_point.target:
        then = f"Calibrate it on other people: firstsight calibrate --gallery {gallery.where} --data PEOPLE"
        on_warning(
            f"The threshold of the new model promises less: at most {new.operating_point.target:.2g} of strangers "
            f"pass, where it was {had.target:.2g}. {then}"
        )
