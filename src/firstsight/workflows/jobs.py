"""What differs between the tasks: from a recipe's data to batches, and from a trained model to its figures.

N examples, C channels, H height, W width, F features, O outputs, D embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from firstsight.config import ModelConfig, Recipe
from firstsight.data.cache import Skipped, packed_pictures, resolve_color
from firstsight.data.identities import PictureSet, listing_digest, open_pictures, require_identities, split_by_identity
from firstsight.data.pictures import to_input
from firstsight.errors import DataError
from firstsight.evaluation import pages
from firstsight.evaluation import prediction as score
from firstsight.evaluation.protocols import Evaluation, embed_set, evaluate
from firstsight.evaluation.report import Headline, Section, Table
from firstsight.evaluation.verification import verification
from firstsight.models.folder import Model, make_model, set_operating_point
from firstsight.training.feed import Feed, example_feed, picture_feed
from firstsight.training.loss import loss_name
from firstsight.workflows.examples import Examples, open_examples, outputs_of
from firstsight.workflows.progress import OnProgress, stage, stages


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
    """One training task. `recipe` has everything resolved; `config` says what the model is, before its weights."""

    recipe: Recipe
    config: ModelConfig
    feed: Feed
    provenance: dict[str, Any]
    unreadable: Sequence[Skipped]

    @property
    def can_measure(self) -> bool:
        """Whether anything is held out."""

    def begin(self, network: nn.Module) -> None:
        """Look at the network before its first update."""

    def validate(self, network: nn.Module) -> float:
        """A held-out figure, the larger the better."""

    def finish(self, model: Model, on_progress: OnProgress) -> Outcome:
        """Measure the trained model."""


def open_job(recipe: Recipe, on_progress: OnProgress) -> Job:
    """Read the data of a recipe.

    Raises:
        DataError: none named, unreadable, or too few to learn from and measure on.
    """
    if not recipe.data.path:
        raise DataError("No data were named to learn from.", hint="Add --data PICTURES.")
    return EmbeddingJob(recipe, on_progress) if recipe.data.task == "embedding" else ExampleJob(recipe, on_progress)


class EmbeddingJob:
    """Identities to be told apart, measured on others."""

    def __init__(self, recipe: Recipe, on_progress: OnProgress) -> None:
        pictures = open_pictures(recipe.data.path)
        learned, self.held_out = _identity_sets(recipe, pictures)
        _require_pairs(learned, self.held_out)
        self.recipe = replace(recipe, preprocessing=resolve_color(learned, recipe.preprocessing))
        packed = packed_pictures(learned, self.recipe.preprocessing, on_progress=stage(on_progress, "Reading pictures"))
        _require_pairs(packed.kept, None)
        self.config = ModelConfig(network=recipe.network, preprocessing=self.recipe.preprocessing)
        self.feed = picture_feed(packed.pixels_NCHW, torch.tensor(packed.kept.labels), self.recipe)
        self.unreadable: Sequence[Skipped] = packed.skipped
        self.provenance: dict[str, Any] = {
            "data": learned.source, "listing": listing_digest(pictures),
            "identities": len(packed.kept.names), "pictures": len(packed.kept), "unreadable": len(packed.skipped),
        }  # fmt: skip
        self._untrained_ND: Tensor | None = None

    @property
    def can_measure(self) -> bool:
        return self.held_out is not None

    def begin(self, network: nn.Module) -> None:
        if self.held_out is not None:
            self._untrained_ND = self._embeddings(network)

    def validate(self, network: nn.Module) -> float:
        """Area under the ROC curve over the held-out pairs."""
        assert self.held_out is not None
        return verification(self._embeddings(network), torch.tensor(self.held_out.labels), fars=()).auc

    def finish(self, model: Model, on_progress: OnProgress) -> Outcome:
        if self.held_out is None or self._untrained_ND is None:
            return Outcome(model)
        evaluation = evaluate(model, self.held_out, on_progress=stages(on_progress, "Held out: "))
        return Outcome(
            set_operating_point(model, evaluation.operating_point),
            evaluation.to_json(),
            pages.headlines(evaluation),
            [pages.figures_table(evaluation), *pages.skipped_tables(evaluation)],
            [
                pages.embedding_section(evaluation, self._untrained_ND),
                pages.distance_section(evaluation),
                pages.picture_section(evaluation),
            ],
            evaluation,
        )

    def _embeddings(self, network: nn.Module) -> Tensor:
        assert self.held_out is not None
        return embed_set(make_model(network, self.config, name="in training"), self.held_out)


class ExampleJob:
    """Examples with targets: classes or numbers."""

    def __init__(self, recipe: Recipe, on_progress: OnProgress) -> None:
        learned, self._held_out = open_examples(recipe, on_progress)
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
        self.provenance: dict[str, Any] = {"data": recipe.data.path, "examples": len(learned.inputs)}

    @property
    def can_measure(self) -> bool:
        return self._held_out is not None

    def begin(self, network: nn.Module) -> None:
        """Nothing is kept of the untrained network."""

    def validate(self, network: nn.Module) -> float:
        """Accuracy, or R² (the mean over the targets)."""
        figures = self._measured(make_model(network, self.config, name="in training")).figures
        return float(figures["r2" if "r2" in figures else "accuracy"])

    def finish(self, model: Model, on_progress: OnProgress) -> Outcome:
        return Outcome(model) if self._held_out is None else self._measured(model)

    def _targets(self, examples: Examples) -> Tensor:
        """One-hot for classes with the quadratic loss; standardized numbers; class numbers with the cross-entropy."""
        if self.config.task == "regression" or loss_name(self.recipe) == "cross-entropy":
            return examples.targets
        return F.one_hot(examples.targets, len(self.config.outputs)).float()

    def _measured(self, model: Model) -> Outcome:
        assert self._held_out is not None
        outputs_NO = outputs_of(model, self._held_out.inputs)
        if self.config.task == "classification":
            found = score.classified(outputs_NO, self._held_out.targets, self.config.outputs)
            return Outcome(
                model,
                dict(score.class_figures(found)),
                [score.class_headline(found)],
                [score.class_table(found)],
                [score.confusion_section(found), *self._worst(found)],
            )
        result = score.regressed(outputs_NO, self._held_out.raw_targets, self.config.outputs)
        return Outcome(
            model, dict(score.number_figures(result)), (), [score.number_table(result)], [score.scatter_section(result)]
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
    learned, held_out = split_by_identity(pictures, recipe.data.holdout, recipe.training.seed)
    return learned, held_out if len(held_out) else None


def _require_pairs(learned: PictureSet, held_out: PictureSet | None) -> None:
    """Refuse at once what would fail only after the training: sets without negatives or without positives."""
    require_identities(learned, 2)
    require_identities(learned, 1, with_pictures=2)
    if held_out is not None:
        require_identities(held_out, 2, with_pictures=2)
