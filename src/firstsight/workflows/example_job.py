"""Learning from examples with targets: classes or numbers. N examples, O outputs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from firstsight.config import Recipe
from firstsight.data.cache import Skipped
from firstsight.data.pictures import to_input
from firstsight.evaluation import pages
from firstsight.evaluation import prediction as score
from firstsight.evaluation.report import Section
from firstsight.model_config import ModelConfig
from firstsight.models.folder import Model, make_model
from firstsight.training.feed import example_feed
from firstsight.training.loss import loss_name
from firstsight.workflows.examples import Examples, open_examples, outputs_of
from firstsight.workflows.job import Outcome
from firstsight.workflows.progress import OnProgress


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
