"""Overfitting on purpose: a few examples are learned by heart, to prove that the parts of a run fit together.

B batch, P identities.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from firstsight.config import Recipe
from firstsight.errors import RecipeError, TrainingError
from firstsight.training.collapse import watch_for_collapse
from firstsight.training.loop import Update
from firstsight.training.loss import make_loss
from firstsight.training.randomness import generator_for
from firstsight.training.ranks import from_first, joined_ranks, rank
from firstsight.workflows.job import Job
from firstsight.workflows.prepare import given_recipe, prepare
from firstsight.workflows.progress import OnProgress, silent
from firstsight.workflows.trials import count_in_words, fit_while

UPDATES = 1000
RATES = (1.0, 0.1, 0.01)
"""Shares of the recipe's learning rate to try: what is right for batches that change may be too much for one that
does not, and that is no fault of the wiring."""
NOTHING = 0.01
"""Share of the first loss at which nearly nothing of it is left."""


@dataclass(frozen=True)
class Overfit:
    """Whether a few examples were learned by heart: of those `asked` for `taken` counts those that there were;
    `least_loss` is where the loss can end.

    `learning_rate` is the first with which it went well, the recipe's own or a lower one, or the last that was tried.
    """

    asked: int
    taken: dict[str, int]
    learning_rate: float
    updates: int
    first_loss: float
    last_loss: float
    least_loss: float

    @property
    def left(self) -> float:
        """The share that is left of what was to be learned; 1 where there was nothing."""
        to_learn = self.first_loss - self.least_loss
        return (self.last_loss - self.least_loss) / to_learn if to_learn > 0 else 1.0

    @property
    def proven(self) -> bool:
        return self.left <= NOTHING

    def to_json(self) -> dict[str, Any]:
        return {
            "proven": self.proven, "asked": self.asked, **self.taken, "learning_rate": self.learning_rate,
            "updates": self.updates, "first_loss": self.first_loss, "last_loss": self.last_loss,
            "least_loss": self.least_loss, "left": self.left,
        }  # fmt: skip

    def in_words(self) -> str:
        """What happened, what it says, and what to look at."""
        taken = f"{count_in_words(self.taken)}{self._missing()}"
        updates = f"{self.updates:,} {'update' if self.updates == 1 else 'updates'}"
        happened = (
            f"{taken}, {updates} at learning rate {self.learning_rate:g}: the loss went "
            f"from {self.first_loss:.3g} to {self.last_loss:.3g}; it can come down to {self.least_loss:.3g}."
        )
        if self.proven:
            return f"{happened}\nThe wiring is proven: they were learned by heart."
        if self.first_loss <= self.least_loss:
            return (
                f"{happened}\nThe wiring is not proven: there was nothing to learn. Take more examples, or a --margin."
            )
        return (
            f"{happened}\nThe wiring is not proven: {100 * self.left:.2g} % is left, {100 * NOTHING:g} % was to be "
            "reached, and higher rates did no better.\nWhat to look at: examples that are equal may have different "
            "labels; --output sigmoid reaches targets from 0 to 1 alone; the network may be too small, or cut off from "
            "its weights; --learning-rate may be too low."
        )

    def _missing(self) -> str:
        """Why there are fewer than were asked for, if there are."""
        pictures = self.taken.get("pictures")
        if self.taken.get("examples", pictures) == self.asked:
            return ""
        why = "there are no more" if pictures is None else "of each identity two to --pictures are taken"
        return f" ({self.asked:,} were asked for; {why})"


def overfit(
    recipe: Recipe | str | Path,
    examples: int,
    *,
    network: nn.Module | None = None,
    on_progress: OnProgress = silent,
    on_warning: Callable[[str], None] = lambda warning: None,
) -> Overfit:
    """Learn a few examples by heart, to prove that data, network, loss, gradient and update fit together.

    It is the recipe's own run with the changes of `overfit_recipe`, and ends as soon as nearly nothing of the loss is
    left (1 % of what it began with above the least that it can be). Where that takes more than 1,000 updates, a tenth
    of the learning rate is tried, then a hundredth. So few updates are made by autograd alone: its wiring is what is
    proven, not that of the replay of a long run (training/replay.py). Nothing is written.

    Args:
        recipe, network, on_progress: as of `train`.
        examples: so many examples drawn at random. For an embedding so many pictures: of the first identities with two
            or more, at most K = `recipe.batch.pictures` of each, and of at least two identities.
        on_warning: hears that the embedding is collapsing.

    Raises:
        RecipeError: too few examples asked for.
        and as `train` does.
    """
    recipe = given_recipe(recipe)
    least = 4 if recipe.data.task == "embedding" else 2
    if examples < least:
        what = "4 pictures, two of each of two identities" if least == 4 else "2 examples"
        raise RecipeError(f"--overfit {examples} is too few: the least are {what}.", hint="Try --overfit 16.")
    on_progress = on_progress if rank() == 0 else silent
    job, network, device = prepare(overfit_recipe(recipe, examples), copy.deepcopy(network), on_progress, few=examples)
    floor = _least_loss(job)
    with joined_ranks(device):
        for share in RATES:
            found = _by_heart(job, examples, share, floor, copy.deepcopy(network), device, on_progress, on_warning)
            if found.proven or found.first_loss <= found.least_loss:
                break
    return found


def _by_heart(
    job: Job,
    examples: int,
    share: float,
    floor: float,
    network: nn.Module,
    device: torch.device,
    on_progress: OnProgress,
    on_warning: Callable[[str], None],
) -> Overfit:
    """Learn all examples of a job, of so many asked for, at a share of the recipe's learning rate."""
    rate = share * job.recipe.optimizer.learning_rate
    recipe = replace(job.recipe, optimizer=replace(job.recipe.optimizer, learning_rate=rate))
    losses: list[float] = []
    alarm = watch_for_collapse(recipe.loss.margin)

    def so_far() -> Overfit:
        return Overfit(examples, job.learned, rate, len(losses), losses[0], losses[-1], floor)

    def going_on(update: Update) -> bool:
        losses.append(from_first(update.loss))
        if (warning := alarm(update)) and rank() == 0:
            on_warning(warning)
        on_progress(f"Overfitting at {rate:g}", update.number, UPDATES, {"loss": update.loss})
        return not so_far().proven and losses[0] > floor

    try:
        fit_while(going_on, job, recipe, network, device)
    except TrainingError:  # a loss that is not finite: the rate is too high, or the last to be tried
        if not losses or share == RATES[-1]:
            raise
        losses.append(math.inf)
    return so_far()


def overfit_recipe(recipe: Recipe, examples: int) -> Recipe:
    """The recipe of a run that learns so many examples by heart: all of them in each batch, as they are, and nothing
    that holds the weights back."""
    return replace(
        recipe,
        data=replace(recipe.data, val="", holdout=0.0, holdout_groups=(), orientations=1, composed=0),
        batch=replace(recipe.batch, size="all", identities=max(2, examples // 2)),
        optimizer=replace(recipe.optimizer, weight_decay=0.0),
        training=replace(recipe.training, epochs=UPDATES, augment=0.0, elastic=0.0, strokes=0.0, patience=0),
    )


def _least_loss(job: Job) -> float:
    """Where the loss ends if all is learned.

    Not every loss of embeddings can end at 0. The least is that of identities which are a point each, and the points as
    far apart as can be: the corners of a simplex.
    """
    if job.config.task != "embedding":
        return 0.0
    (indices_B,) = job.feed.plan(1)
    _, labels_B = job.feed.fetch(indices_B, generator_for(0))
    corners_BP = F.one_hot(labels_B).float()
    apart_BP = F.normalize(corners_BP - corners_BP.unique(dim=0).mean(dim=0), dim=1)
    return make_loss(job.recipe)(apart_BP, labels_B).value.item()
