"""The loss as a part: from the recipe's table to a function of the network's output and the targets.

B batch, O outputs, D embedding.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from firstsight.config import Recipe
from firstsight.errors import RecipeError
from firstsight.functional.losses import quadratic_loss
from firstsight.functional.triplets import triplet_loss


class LossResult(NamedTuple):
    """A value to bring to its minimum, and figures to watch beside it."""

    value: Tensor
    figures: dict[str, float]


LossFunction = Callable[[Tensor, Tensor], LossResult]


def make_loss(recipe: Recipe) -> LossFunction:
    """The loss that a recipe names, as a function of (output, target).

    Raises:
        RecipeError: it does not fit the task.
    """
    losses = {"triplet": _triplet, "quadratic": _quadratic, "cross-entropy": _cross_entropy}
    name = loss_name(recipe)
    fitting = {
        "embedding": ("triplet",),
        "classification": ("quadratic", "cross-entropy"),
        "regression": ("quadratic",),
    }
    if name not in fitting[recipe.data.task]:
        raise RecipeError(
            f"The loss {name} does not fit the task {recipe.data.task}.",
            hint=f"Add --loss {fitting[recipe.data.task][0]}, or another --task.",
        )
    return losses[name](recipe)


def loss_name(recipe: Recipe) -> str:
    """The loss that `auto` stands for."""
    if recipe.loss.name == "auto":
        return "triplet" if recipe.data.task == "embedding" else "quadratic"
    return recipe.loss.name


def _triplet(recipe: Recipe) -> LossFunction:
    options = recipe.loss

    def loss(x_BD: Tensor, labels_B: Tensor) -> LossResult:
        result = triplet_loss(x_BD, labels_B, margin=options.margin, select=options.select, reduction=options.reduction)
        figures = {name: figure.item() for name, figure in result._asdict().items() if name != "value"}
        return LossResult(result.value, figures)

    return loss


def _quadratic(_: Recipe) -> LossFunction:
    return lambda output_BO, target_BO: LossResult(quadratic_loss(output_BO, target_BO), {})


def _cross_entropy(_: Recipe) -> LossFunction:
    return lambda output_BO, labels_B: LossResult(F.cross_entropy(output_BO, labels_B), {})
