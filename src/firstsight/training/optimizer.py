"""How the weights move: the update rule, and the learning rate over the run (equation 2-3)."""

import math
from typing import Any

import torch
from torch import nn

from firstsight.config import Optimizer

WARM_UP = 0.25
"""Share of a one-cycle run in which the rate rises (Smith 2018)."""
STEPS = (0.5, 0.75)
"""Shares of a run after which the schedule `step` divides the rate by 10."""


def make_optimizer(network: nn.Module, config: Optimizer) -> torch.optim.Optimizer:
    """The update rule over the trainable weights. Biases and normalization scales are not decayed."""
    weights = [p for p in network.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": 0.0}]
    if config.weight_decay:
        groups = [
            {"params": [p for p in weights if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
        ]
    shared: dict[str, Any] = {"lr": config.learning_rate, "foreach": True}  # a call for all weights, not one for each
    match config.name:
        case "sgd":
            return torch.optim.SGD(groups, **shared)
        case "momentum":
            return torch.optim.SGD(groups, momentum=config.momentum, nesterov=config.momentum > 0, **shared)
        case "adagrad":
            return torch.optim.Adagrad(groups, **shared)
        case "adamw":
            return torch.optim.AdamW(groups, **shared)


def learning_rate_at(progress: float, config: Optimizer) -> float:
    """The learning rate when the share `progress` (0 ... 1) of the run is done.

    Example:
        >>> learning_rate_at(1.0, Optimizer(learning_rate=0.1, schedule="cosine"))
        0.0
    """
    peak = config.learning_rate * min(1.0, progress / config.warm_up if config.warm_up else 1.0)
    match config.schedule:
        case "constant":
            return peak
        case "step":
            return peak * 0.1 ** sum(progress >= step for step in STEPS)
        case "cosine":
            return peak * _half_cosine(progress)
        case "one-cycle":
            if progress < WARM_UP:
                return peak * (1 - 0.96 * _half_cosine(progress / WARM_UP))
            return peak * _half_cosine((progress - WARM_UP) / (1 - WARM_UP))


def _half_cosine(share: float) -> float:
    """From 1 at 0 to 0 at 1."""
    return (1 + math.cos(math.pi * share)) / 2
