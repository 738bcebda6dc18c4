"""What differs between the tasks: from a recipe's data to batches, and from a trained model to its figures.

N examples, C channels, H height, W width, F features, O outputs, D embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from firstsight.config import ModelConfig, Preprocessing, Recipe
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
from firstsight.data.pictures import to_input
from firstsight.errors import DataError
from firstsight.evaluation import pages
from firstsight.evaluation import prediction as score
from firstsight.evaluation.comparison import compare
from firstsight.evaluation.identification import affordable_trials, one_shot
from firstsight.evaluation.protocol_pages import comparison_table
from firstsight.evaluation.protocols import Evaluation, embed_set, evaluate
from firstsight.evaluation.report import Headline, Section, Table
from firstsight.evaluation.verification import verification, verification_figures
from firstsight.models.folder import Model, for_crops, make_model, set_align, set_operating_point
from firstsight.models.registry import with_own_size
from firstsight.training.feed import Feed, example_feed, picture_feed
from firstsight.training.loss import loss_name
from firstsight.workflows.examples import Examples, open_examples, outputs_of
from firstsight.workflows.progress import OnProgress, stage, stages
from firstsight.workflows.seen import seen_in_training


@dataclass(frozen=True, eq=False)
class Outcome:
    """A trained model with its held-out figures, and what its report shows of them."""

    model: Model
    figures: dict[str, Any] = field(default_factory=dict)
    headlines: Sequence[Headline] = ()
    tables: Sequence[Table] = ()
    sections: Sequence[Section] = ()
    evaluation: Evaluation | None = None


@runtime_checkable
class Job(Protocol):
    """One training task. `recipe` has everything resolved; `config` says what the model is, before its weights;
    `start` is the model that is fine-tuned, None where weights begin at random; `warnings` are to be read before the
    run; `learned` and `held_out` count what there is, `held_out` empty where that is nothing; `names` are those of the
    identities or classes that are learned from; `figure` names what `validate` gives; `empty_cells` counts, by column,
    those of a table that were filled with the mean."""

    recipe: Recipe
    config: ModelConfig
    start: Model | None
    warnings: Sequence[str]
    feed: Feed
    learned: dict[str, int]
    held_out: dict[str, int]
    names: Sequence[str]
    figure: str
    unreadable: Sequence[Skipped]
    empty_cells: dict[str, int]

    @property
    def provenance(self) -> dict[str, Any]:
        """What the model folder says of the data."""

    def begin(self, network: nn.Module) -> None:
        """Look at the network before its first update."""

    def validate(self, network: nn.Module, at_most: int | None = None) -> float:
        """A held-out figure, the larger the better; of the first `at_most` examples where that is given."""

    def figures(self, network: nn.Module) -> dict[str, Any]:
        """The held-out figures that may be an objective, by the names that they have in a report."""

    def finish(self, model: Model, on_progress: OnProgress) -> Outcome:
        """Measure the trained model."""


def open_job(
    recipe: Recipe,
    on_progress: OnProgress,
    *,
    few: int | None = None,
    start: Model | None = None,
    crops: PictureSet | None = None,
) -> Job:
    """Read the data of a recipe; with `few`, so many of the examples to learn from, and no more. `start` is the model
    that the recipe begins with; `crops` are inputs of its network, to learn from in place of the recipe's pictures.

    Raises:
        DataError: none named, unreadable, or too few to learn from and measure on.
    """
    if not recipe.data.path:
        raise DataError("No data were named to learn from.", hint="Add --data PICTURES.")
    if start:
        recipe = replace(recipe, network=start.config.network)
    if recipe.data.task != "regression":
        recipe = replace(recipe, preprocessing=_settled(recipe, start))
    if recipe.data.task == "embedding":
        return EmbeddingJob(recipe, on_progress, few, start, crops)
    return ExampleJob(recipe, on_progress, few)


def _settled(recipe: Recipe, start: Model | None) -> Preprocessing:
    """Sizes and alignment that the recipe leaves open: those of the model that it begins with, or of its network."""
    own = start.config.preprocessing if start else with_own_size(recipe.preprocessing, recipe.network)
    align = own.align if recipe.preprocessing.align == "auto" else recipe.preprocessing.align
    return replace(own, align="none" if align == "auto" else align)


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
        pictures = open_pictures(recipe.data.path) if crops is None else crops
        self._of_crops = crops is not None
        if self._of_crops:
            recipe = replace(recipe, preprocessing=replace(recipe.preprocessing, align="none", fit="stretch"))
        learned, self._held_out = _identity_sets(recipe, pictures)
        self.start = start
        measured_on = self._held_out if recipe.data.val and self._held_out else pictures
        self.warnings: Sequence[str] = [warning] if start and (warning := seen_in_training(start, measured_on)) else []
        if few is not None:
            learned = few_pictures(learned, few, each=recipe.batch.pictures)
        _require_pairs(learned, self._held_out)
        self.recipe = replace(recipe, preprocessing=resolve_color(learned, recipe.preprocessing))
        packed = packed_pictures(learned, self.recipe.preprocessing, on_progress=stage(on_progress, "Reading pictures"))
        _require_kept(packed, self.recipe.preprocessing)
        made_for = start.config.preprocessing if start else self.recipe.preprocessing
        self.config = ModelConfig(network=recipe.network, preprocessing=made_for)
        self.feed = picture_feed(packed.pixels_NCHW, torch.tensor(packed.kept.labels), self.recipe)
        self.unreadable: Sequence[Skipped] = packed.skipped
        self.empty_cells: dict[str, int] = {}
        self.learned = _counts(packed.kept)
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


class ExampleJob:
    """Examples with targets: classes or numbers."""

    start: Model | None = None
    warnings: Sequence[str] = ()

    def __init__(self, recipe: Recipe, on_progress: OnProgress, few: int | None = None) -> None:
        learned, self._held_out = open_examples(recipe, on_progress)
        learned = learned.first(few)
        self.recipe = replace(recipe, preprocessing=learned.preprocessing)
        self.config = ModelConfig(
            task="classification" if recipe.data.task == "classification" else "regression",
            network=recipe.network,
            preprocessing=learned.preprocessing,
            columns=learned.columns,
            outputs=learned.outputs,
        )
        prepare = None if learned.columns else lambda pictures: to_input(pictures, learned.preprocessing)
        self.feed = example_feed(learned.inputs, self._targets(learned), self.recipe, prepare=prepare)
        self.unreadable: Sequence[Skipped] = learned.unreadable + (self._held_out.unreadable if self._held_out else ())
        self.empty_cells = dict(learned.empty)
        for name, count in self._held_out.empty if self._held_out else ():
            self.empty_cells[name] = self.empty_cells.get(name, 0) + count
        self.learned = {"examples": len(learned.inputs)}
        self.held_out = {"examples": len(self._held_out.inputs)} if self._held_out else {}
        self.names: Sequence[str] = learned.outputs if self.config.task == "classification" else ()
        self.figure = "R²" if self.config.task == "regression" else "accuracy"

    @property
    def provenance(self) -> dict[str, Any]:
        empty = {"empty_cells": sum(self.empty_cells.values())} if self.config.columns else {}
        return {"data": self.recipe.data.path, **self.learned, **empty}

    def begin(self, network: nn.Module) -> None:
        """Nothing is kept of the untrained network."""

    def validate(self, network: nn.Module, at_most: int | None = None) -> float:
        """Accuracy, or R² (the mean over the targets)."""
        figures = self.figures(network, at_most)
        return float(figures["r2" if "r2" in figures else "accuracy"])

    def figures(self, network: nn.Module, at_most: int | None = None) -> dict[str, Any]:
        found = self._scored(make_model(network, self.config, name="in training"), at_most)
        return dict(score.class_figures(found) if isinstance(found, score.Classified) else score.number_figures(found))

    def finish(self, model: Model, on_progress: OnProgress) -> Outcome:
        return Outcome(model) if self._held_out is None else self._measured(model)

    def _targets(self, examples: Examples) -> Tensor:
        """One-hot for classes with the quadratic loss; standardized numbers; class numbers with the cross-entropy."""
        if self.config.task == "regression" or loss_name(self.recipe) == "cross-entropy":
            return examples.targets
        return F.one_hot(examples.targets, len(self.config.outputs)).float()

    def _scored(self, model: Model, at_most: int | None = None) -> score.Classified | score.Regressed:
        assert self._held_out is not None
        held_out = self._held_out.first(at_most)
        outputs_NO = outputs_of(model, held_out.inputs)
        if self.config.task == "classification":
            return score.classified(outputs_NO, held_out.targets, self.config.outputs)
        return score.regressed(outputs_NO, held_out.raw_targets, self.config.outputs)

    def _measured(self, model: Model) -> Outcome:
        found = self._scored(model)
        if isinstance(found, score.Regressed):
            table, section = score.number_table(found), score.scatter_section(found)
            return Outcome(model, dict(score.number_figures(found)), (), [table], [section])
        return Outcome(
            model,
            dict(score.class_figures(found)),
            [score.class_headline(found)],
            [score.class_table(found)],
            [score.confusion_section(found), *self._worst(found)],
        )

    def _worst(self, found: score.Classified) -> list[Section]:
        held_out = self._held_out
        if held_out is None or held_out.columns or not found.worst:
            return []
        names = self.config.outputs
        captions = [f"{names[int(held_out.targets[i])]}, taken for {names[guess]}" for i, guess in found.worst]
        return [pages.mistaken_section([held_out.inputs[i] for i, _ in found.worst], captions)]


def _identity_sets(recipe: Recipe, pictures: PictureSet) -> tuple[PictureSet, PictureSet | None]:
    if recipe.data.val:
        return pictures, open_pictures(recipe.data.val)
    if recipe.data.holdout_groups:
        return split_by_group(pictures, recipe.data.holdout_groups)
    learned, held_out = split_by_identity(pictures, recipe.data.holdout, recipe.training.seed)
    return learned, held_out if len(held_out) else None


def _counts(pictures: PictureSet) -> dict[str, int]:
    return {"identities": len(pictures.names), "pictures": len(pictures)}


def _require_kept(packed: Packed, preprocessing: Preprocessing) -> None:
    """The same of the pictures that could be used."""
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
