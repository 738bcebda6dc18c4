"""One update of stochastic gradient descent (equations 2-3 and 2-6), whatever the loss.

B batch, O outputs of the network (D for an embedding).
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from firstsight.errors import TrainingError
from firstsight.models.device import Precision
from firstsight.training.loss import LossFunction, LossResult
from firstsight.training.randomness import draw_again, drawn_so_far
from firstsight.training.ranks import Gradients, gathered, summed_over_ranks
from firstsight.training.replay import Gradient


def train_step(
    network: nn.Module,
    loss: LossFunction,
    optimizer: torch.optim.Optimizer,
    input: Tensor,
    target: Tensor,
    *,
    precision: Precision = "fp32",
    chunk: int = 0,
    replay: Gradient | None = None,
) -> LossResult:
    """w <- w − η ∂C/∂w on one batch, with the rate that the optimizer holds.

    Args:
        input, target: this rank's share of the batch; the loss is taken once, over the shares of all ranks.
        precision: of the products inside the network; weights, loss and update stay in fp32.
        chunk: examples in memory at once (0: all). The gradient is that of the undivided batch where the network
            treats each example by itself, as with group normalization (gradient caching, Gao et al. 2021). Batch
            normalization takes its statistics from each chunk, so there the gradient is another.
        replay: another way to the same gradient of the same network and loss, from `replayed`.

    Raises:
        TrainingError: the loss is not finite; the weights are left as they were.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"] if weight.requires_grad]
    if replay is not None:
        result, gradients = replay(input, target)
    elif chunk and chunk < len(input):
        result, gradients = _gradients_in_chunks(network, loss, weights, input.split(chunk), target, precision)
    else:
        result = loss(gathered(run_network(network, input, precision=precision)), gathered(target))
        gradients = torch.autograd.grad(result.value, weights, allow_unused=True)
    _refuse_not_finite(result, optimizer, len(input))
    for weight, gradient in zip(weights, summed_over_ranks(weights, gradients), strict=True):
        weight.grad = gradient
    kind: Any = type(optimizer)
    with torch.no_grad():
        _bare_step(kind)(optimizer)
    return result


@functools.cache
def _bare_step(kind: Any) -> Callable[[torch.optim.Optimizer], object]:
    """An optimizer's update without the hooks and the profiling around it: a fifth of a small network's time."""
    step: Callable[[torch.optim.Optimizer], object] = inspect.unwrap(kind.step)
    return step


def run_network(network: nn.Module, input: Tensor, *, precision: Precision) -> Tensor:
    """The network's outputs in fp32 or better, whatever it computes in."""
    with torch.autocast(input.device.type, torch.bfloat16, enabled=precision == "bf16"):
        output: Tensor = network(input)
    return output.to(torch.promote_types(output.dtype, torch.float32))


def _gradients_in_chunks(
    network: nn.Module,
    loss: LossFunction,
    weights: list[Tensor],
    chunks: tuple[Tensor, ...],
    target: Tensor,
    precision: Precision,
) -> tuple[LossResult, Gradients]:
    """Embed without a graph, take the loss and its gradient at the outputs, then go through the network again chunk
    by chunk with that gradient. Each chunk draws the same random numbers (dropout) both times."""
    forward = functools.partial(run_network, network, precision=precision)
    states, outputs = [], []
    with torch.no_grad():
        for chunk in chunks:
            states.append(drawn_so_far(chunk.device))
            outputs.append(forward(chunk))
    output_BO = torch.cat(outputs).requires_grad_()
    result = loss(gathered(output_BO), gathered(target))
    (gradient_BO,) = torch.autograd.grad(result.value, output_BO)
    counted = [buffer.clone() for buffer in network.buffers()]
    totals = [torch.zeros_like(weight) for weight in weights]
    for chunk, state, gradient in zip(chunks, states, gradient_BO.split(len(chunks[0])), strict=True):
        draw_again(chunk.device, state)
        parts = torch.autograd.grad(forward(chunk), weights, gradient, allow_unused=True)
        for total, part in zip(totals, parts, strict=True):
            if part is not None:
                total += part
    with torch.no_grad():
        for buffer, once in zip(network.buffers(), counted, strict=True):
            buffer.copy_(once)  # running statistics count each chunk once
    return result, totals


def _refuse_not_finite(result: LossResult, optimizer: torch.optim.Optimizer, examples: int) -> None:
    value = result.value.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"The loss is {value} on a batch of {examples} examples at learning rate "
            f"{optimizer.param_groups[0]['lr']:.3g}.",
            hint="Lower --learning-rate, or look for broken values in the data.",
        )
