"""The loss as a part: from the recipe's table to a function of the network's output and the targets.

B batch, D embedding.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from firstsight.config import Loss
from firstsight.functional.triplets import triplet_loss


class LossResult(NamedTuple):
    """A value to bring to its minimum, and figures to watch beside it."""

    value: Tensor
    figures: dict[str, float]


LossFunction = Callable[[Tensor, Tensor], LossResult]


def make_loss(config: Loss) -> LossFunction:
    """The loss that a recipe names, as a function of (output, target)."""

    def triplets(x_BD: Tensor, labels_B: Tensor) -> LossResult:
        result = triplet_loss(x_BD, labels_B, margin=config.margin, select=config.select, reduction=config.reduction)
        figures = {name: float(figure) for name, figure in result._asdict().items() if name != "value"}
        return LossResult(result.value, figures)

    return triplets
