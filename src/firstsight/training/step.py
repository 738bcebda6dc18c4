"""One update of stochastic gradient descent (equations 2-3 and 2-6), whatever the loss."""

import torch
from torch import Tensor, nn

from firstsight.errors import TrainingError
from firstsight.training.loss import LossFunction, LossResult


def train_step(
    network: nn.Module, loss: LossFunction, optimizer: torch.optim.Optimizer, input: Tensor, target: Tensor
) -> LossResult:
    """w <- w − η ∂C/∂w on one batch, with the rate that the optimizer holds.

    Raises:
        TrainingError: the loss is not finite; the weights are left as they were.
    """
    result = loss(network(input), target)
    if not torch.isfinite(result.value):
        raise TrainingError(
            f"The loss is {result.value.item()} on a batch of {len(input)} examples at learning rate "
            f"{optimizer.param_groups[0]['lr']:.3g}.",
            hint="Lower --learning-rate, or look for broken values in the data.",
        )
    optimizer.zero_grad()
    torch.autograd.backward(result.value)
    optimizer.step()
    return result
