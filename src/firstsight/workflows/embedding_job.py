"""Learning an embedding: identities to be told apart, measured on others. N examples, C channels, H height, W width,
D embedding."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor, nn

from firstsight.config import Preprocessing, Recipe
from firstsight.data.cache import WITHOUT_FACES, Packed, Skipped, packed_pictures, resolve_color
from firstsight.data.identities import (
    PictureSet,
    few_pictures,
    listing_digest,
    open_pictures,
    require_identities,
    split_by_group,
    split_by_identity,
)
from firstsight.errors import DataError, RecipeError
from firstsight.evaluation import pages
from firstsight.evaluation.comparison import compare
from firstsight.evaluation.identification import affordable_trials, one_shot
from firstsight.evaluation.protocol_pages import comparison_table
from firstsight.evaluation.protocols import embed_set, evaluate
from firstsight.evaluation.verification import verification, verification_figures
from firstsight.model_config import ModelConfig
from firstsight.models.folder import Model, for_crops, make_model, set_align, set_operating_point
from firstsight.training.feed import picture_feed
from firstsight.workflows.finetune import last_layer_alone
from firstsight.workflows.job import Outcome
from firstsight.workflows.progress import OnProgress, stage, stages
from firstsight.workflows.seen import seen_in_training


class EmbeddingJob:
    """Identities to be told apart, measured on others."""

    def __init__(
        self,
        recipe: Recipe,
        on_progress: OnProgress,
        few: int | None = None,
        start: Model | None = None,
        crops: PictureSet | None = None,
    ) -> None:
        self._of_crops = crops is not None
        if self._of_crops:
            recipe = replace(recipe, preprocessing=replace(recipe.preprocessing, align="none", fit="stretch"))
        _refuse_to_compose_photos(recipe)
        pictures = open_pictures(recipe.data.path) if crops is None else crops
        learned, self._held_out = _identity_sets(recipe, pictures)
        self.start = start
        measured_on = self._held_out if recipe.data.val and self._held_out else pictures
        said = (seen_in_training(start, measured_on), last_layer_alone(recipe)) if start else ()
        self.warnings: Sequence[str] = [warning for warning in said if warning]
        if few is not None:
            learned = few_pictures(learned, few, each=recipe.batch.pictures)
        _require_pairs(learned, self._held_out)
        self.recipe = replace(recipe, preprocessing=resolve_color(learned, recipe.preprocessing))
        packed = packed_pictures(learned, self.recipe.preprocessing, on_progress=stage(on_progress, "Reading pictures"))
        _require_kept(packed, self.recipe.preprocessing)
        made_for = start.config.preprocessing if start else self.recipe.preprocessing
        self.config = ModelConfig(network=recipe.network, preprocessing=made_for)
        learned_from = to_learn(packed, self.recipe, on_progress)
        self.feed = picture_feed(*learned_from, self.recipe, composed=recipe.data.composed)
        self.unreadable: Sequence[Skipped] = packed.skipped
        self.empty_cells: dict[str, int] = {}
        self.learned = _counts(packed.kept) | ({"composed": recipe.data.composed} if recipe.data.composed else {})
        self.held_out = _counts(self._held_out) if self._held_out else {}
        self.names: Sequence[str] = packed.kept.names
        self.figure = "AUC"
        self._listing = listing_digest(pictures)
        self._untrained_ND: Tensor | None = None

    @property
    def provenance(self) -> dict[str, Any]:
        begun = {"start": self.start.name, "start_identity": self.start.identity} if self.start else {}
        return {
            "data": self.recipe.data.path, "listing": self._listing, **self.learned, "unreadable": len(self.unreadable),
            **begun,
        }  # fmt: skip

    def begin(self, network: nn.Module) -> None:
        if self._held_out is not None:
            self._untrained_ND = self._embeddings(network, self._held_out)

    def validate(self, network: nn.Module, at_most: int | None = None) -> float:
        """Area under the ROC curve over the held-out pairs."""
        held_out = self._held_out
        assert held_out is not None
        if at_most is not None:
            held_out = few_pictures(held_out, at_most, each=2)
        return verification(self._embeddings(network, held_out), torch.tensor(held_out.labels), fars=()).auc

    def figures(self, network: nn.Module) -> dict[str, Any]:
        assert self._held_out is not None
        x_ND, labels_N = self._embeddings(network, self._held_out), torch.tensor(self._held_out.labels)
        found = one_shot(x_ND, labels_N, trials=affordable_trials(labels_N))
        return {"accuracy": found.accuracy, "error": 1 - found.accuracy} | verification_figures(
            verification(x_ND, labels_N)
        )

    def finish(self, model: Model, on_progress: OnProgress) -> Outcome:
        if self._held_out is None or self._untrained_ND is None:
            return Outcome(model)
        evaluation = evaluate(self._as_here(model), self._held_out, on_progress=stages(on_progress, "Held out: "))
        tables = [pages.figures_table(evaluation), *pages.skipped_tables(evaluation.skipped)]
        figures = evaluation.to_json()
        if self.start and self.start is not model:
            before = evaluate(self._as_here(self.start), self._held_out, on_progress=stages(on_progress, "Before: "))
            comparison = compare(evaluation, before)
            tables, figures = [tables[0], comparison_table(comparison), *tables[1:]], comparison.to_json()
        return Outcome(
            model if model is self.start else set_operating_point(model, evaluation.operating_point),
            figures,
            pages.headlines(evaluation),
            tables,
            [
                pages.embedding_section(evaluation, self._untrained_ND),
                pages.distance_section(evaluation),
                pages.picture_section(evaluation),
            ],
            evaluation,
        )

    def _embeddings(self, network: nn.Module, pictures: PictureSet) -> Tensor:
        return embed_set(self._as_here(make_model(network, self.config, name="in training")), pictures)

    def _as_here(self, model: Model) -> Model:
        """The model for pictures like those of this run, which may be aligned already."""
        return for_crops(model) if self._of_crops else set_align(model, self.recipe.preprocessing.align)


def _identity_sets(recipe: Recipe, pictures: PictureSet) -> tuple[PictureSet, PictureSet | None]:
    if recipe.data.val:
        return pictures, open_pictures(recipe.data.val)
    if recipe.data.holdout_groups:
        return split_by_group(pictures, recipe.data.holdout_groups)
    learned, held_out = split_by_identity(pictures, recipe.data.holdout, recipe.training.seed)
    return learned, held_out if len(held_out) else None


def to_learn(
    packed: Packed, recipe: Recipe, on_progress: OnProgress
) -> tuple[UInt8[Tensor, "N C H W"], Int64[Tensor, "N"]]:
    """The pictures that a recipe learns from and the identity of each: those packed, and what is composed of them.

    Raises:
        DataError: no two identities to compose of.
    """
    if not recipe.data.composed:
        return packed.pixels_NCHW, torch.tensor(packed.kept.labels)
    from firstsight.data.composed import with_composed  # scipy.ndimage takes a quarter of a second

    return with_composed(
        packed, recipe.preprocessing, count=recipe.data.composed, seed=recipe.training.seed,
        on_progress=stage(on_progress, "Composing symbols"),
    )  # fmt: skip


def _refuse_to_compose_photos(recipe: Recipe) -> None:
    """Whatever made the preprocessing what it is: the recipe, a model to begin with, or crops."""
    if recipe.data.composed and recipe.preprocessing.fit != "ink":
        given = recipe.start.model or recipe.preprocessing.align == "faces"  # then --fit has no effect
        raise RecipeError(
            "Only drawn symbols can be composed, whose ink is found.",
            hint="Leave --composed out." if given else "Add --fit ink, or leave --composed out.",
        )


def _counts(pictures: PictureSet) -> dict[str, int]:
    return {"identities": len(pictures.names), "pictures": len(pictures)}


def _require_kept(packed: Packed, preprocessing: Preprocessing) -> None:
    """Refuse pictures of which too few could be used, and say why they were left out."""
    try:
        _require_pairs(packed.kept, None)
    except DataError as error:
        if not packed.skipped:
            raise
        path, reason = packed.skipped[-1]
        why = f"{len(packed.skipped)} pictures were left out: {path} {reason}"
        raise DataError(
            error.message, hint=f"{why} {WITHOUT_FACES}" if preprocessing.align == "faces" else why
        ) from error


def _require_pairs(learned: PictureSet, held_out: PictureSet | None) -> None:
    """Refuse at once what would fail only after the training: sets without negatives or without positives."""
    require_identities(learned, 2)
    require_identities(learned, 1, with_pictures=2)
    if held_out is not None:
        require_identities(held_out, 2, with_pictures=2)
