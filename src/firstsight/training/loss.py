"""The loss as a part: from the recipe's table to a function of the network's output and the targets.

B batch, O outputs, D embedding.
"""

import difflib
from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from firstsight.config import Recipe
from firstsight.errors import MissingExtra, RecipeError
from firstsight.functional.losses import quadratic_loss
from firstsight.functional.triplets import triplet_loss


class LossResult(NamedTuple):
    """A value to bring to its minimum, and figures to watch beside it."""

    value: Tensor
    figures: dict[str, float]


LossFunction = Callable[[Tensor, Tensor], LossResult]

FITTING = {"embedding": ("triplet",), "classification": ("quadratic", "cross-entropy"), "regression": ("quadratic",)}
"""The losses of each task; `auto` is the first."""

PML = "pml:"
"""What the names of pytorch-metric-learning's losses begin with."""


def make_loss(recipe: Recipe) -> LossFunction:
    """The loss that a recipe names, as a function of (output, target).

    Raises:
        RecipeError: there is no such loss, or it does not fit the task.
        MissingExtra: a loss of pytorch-metric-learning, which is not installed.
    """
    name, task = loss_name(recipe), recipe.data.task
    if name.startswith(PML) and task == "embedding":
        return _pml(name.removeprefix(PML))
    known = {"triplet": _triplet(recipe), "quadratic": _quadratic, "cross-entropy": _cross_entropy}
    if name not in known and not name.startswith(PML):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}, {PML}NAME."
        raise RecipeError(f"There is no loss {name}.", hint=hint)
    if name not in FITTING[task]:
        raise RecipeError(
            f"The loss {name} does not fit the task {task}.", hint=f"Add --loss {FITTING[task][0]}, or another --task."
        )
    return known[name]


def loss_name(recipe: Recipe) -> str:
    """The loss that `auto` stands for."""
    if recipe.loss.name == "auto":
        return FITTING[recipe.data.task][0]
    return recipe.loss.name


def _triplet(recipe: Recipe) -> LossFunction:
    options = recipe.loss

    def loss(x_BD: Tensor, labels_B: Tensor) -> LossResult:
        result = triplet_loss(
            x_BD,
            labels_B,
            margin=options.margin,
            select=options.select,
            reduction=options.reduction,
            fallback=options.fallback,
            soft=options.soft,
        )
        figures = {name: figure.item() for name, figure in result._asdict().items() if name != "value"}
        return LossResult(result.value, figures)

    return loss


def _quadratic(output_BO: Tensor, target_BO: Tensor) -> LossResult:
    return LossResult(quadratic_loss(output_BO, target_BO), {})


def _cross_entropy(output_BO: Tensor, labels_B: Tensor) -> LossResult:
    return LossResult(F.cross_entropy(output_BO, labels_B), {})


PURE = (_quadratic, _cross_entropy)
"""Losses that do the same with every batch of a shape, and have no figures to watch."""


def _pml(name: str) -> LossFunction:
    """A loss of pytorch-metric-learning with its own defaults, to be compared within the same loop."""
    try:
        from pytorch_metric_learning import losses
    except ImportError as error:
        raise MissingExtra(f"The loss {PML}{name} needs pytorch-metric-learning.", extra="losses") from error
    kind = getattr(losses, name, None)
    if not (isinstance(kind, type) and issubclass(kind, losses.BaseMetricLossFunction)):
        known = [other for other in dir(losses) if other.endswith("Loss")]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {PML}{near[0]}?" if near else "See the losses in its documentation."
        raise RecipeError(f"pytorch-metric-learning has no loss {name}.", hint=hint)
    try:
        loss = kind()
    except TypeError as error:
        raise RecipeError(
            f"The loss {PML}{name} keeps a vector for each identity, which this loop does not train.",
            hint=f"Take one without, such as {PML}MultiSimilarityLoss.",
        ) from error
    return lambda x_BD, labels_B: LossResult(loss(x_BD, labels_B), {})
