"""What trials share: they go the way of a run, by its very loop, and leave nothing behind."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from firstsight.config import Recipe
from firstsight.training.loop import Update, fit
from firstsight.training.loss import make_loss
from firstsight.workflows.job import Job


class _Enough(Exception):
    """Ends the loop from within."""


def fit_while(
    going_on: Callable[[Update], bool],
    job: Job,
    recipe: Recipe,
    network: nn.Module,
    device: torch.device,
    *,
    rate_at: Callable[[float], float] | None = None,
) -> None:
    """Make the updates of a run for as long as `going_on` says so after one; without checkpoints.

    `rate_at` takes the place of the recipe's schedule, as in `fit`.
    """

    def on_update(update: Update) -> None:
        if not going_on(update):
            raise _Enough

    with contextlib.suppress(_Enough):
        fit(network, make_loss(recipe), job.feed, recipe, device=device, on_update=on_update, rate_at=rate_at)


def count_in_words(found: dict[str, Any], prefix: str = "") -> str:
    """`320 pictures of 40 identities`, and what is composed of them; or `1,000 examples`."""
    if f"{prefix}pictures" in found:
        composed = f", and {found[f'{prefix}composed']:,} composed" if f"{prefix}composed" in found else ""
        return f"{found[f'{prefix}pictures']:,} pictures of {found[f'{prefix}identities']:,} identities{composed}"
    return f"{found[f'{prefix}examples']:,} examples"
