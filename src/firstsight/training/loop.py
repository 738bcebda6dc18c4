"""The loop: epochs of updates. It reports through callbacks and decides nothing else."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from firstsight.config import Recipe
from firstsight.errors import TrainingError
from firstsight.training.feed import Feed
from firstsight.training.loss import LossFunction
from firstsight.training.optimizer import learning_rate_at, make_optimizer
from firstsight.training.randomness import generator_for
from firstsight.training.step import train_step


@dataclass(frozen=True)
class Update:
    """What one update did. `number` and `epoch` count from 1; `progress` is the share of the run that is done."""

    number: int
    epoch: int
    progress: float
    learning_rate: float
    loss: float
    examples: int
    seconds: float
    figures: dict[str, float]


def fit(
    network: nn.Module,
    loss: LossFunction,
    feed: Feed,
    recipe: Recipe,
    *,
    device: torch.device,
    on_update: Callable[[Update], None] = lambda update: None,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> None:
    """Train `network` in place, for `recipe.training.epochs` epochs.

    Args:
        network: any module that maps the feed's inputs to what the loss takes.
        on_update: called after each update.
        on_epoch: called after each epoch with its number, from 1.

    Raises:
        TrainingError: a loss that is not finite; says at which update.
    """
    network.to(device).train()
    optimizer = make_optimizer(network, recipe.optimizer)
    number, epochs = 0, recipe.training.epochs
    for epoch in range(1, epochs + 1):
        plan = feed.plan(epoch)
        for i, indices_B in enumerate(plan):
            started = time.perf_counter()
            number += 1
            rate = learning_rate_at((epoch - 1 + i / len(plan)) / epochs, recipe.optimizer)
            for group in optimizer.param_groups:
                group["lr"] = rate
            input, target = feed.fetch(indices_B, generator_for(recipe.training.seed, "update", number))
            try:
                result = train_step(network, loss, optimizer, input.to(device), target.to(device))
            except TrainingError as error:
                raise TrainingError(f"Update {number} (epoch {epoch}): {error.message}", hint=error.hint) from error
            on_update(
                Update(
                    number, epoch, (epoch - 1 + (i + 1) / len(plan)) / epochs, rate, result.value.item(),
                    len(indices_B), time.perf_counter() - started, result.figures,
                )
            )  # fmt: skip
        on_epoch(epoch)
        network.train()
    network.eval()
