"""A multilayer perceptron: fully connected layers with an activation between them."""

from typing import Literal

from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def mlp_trunk(
    inputs: int, hidden: tuple[int, ...], activation: Literal["relu", "sigmoid", "tanh"]
) -> tuple[nn.Sequential, int]:
    """Build the trunk B x ... -> B x features over flattened inputs, and say how many features it has."""
    layers: list[nn.Module] = [nn.Flatten()]
    for units in hidden:
        layers += [nn.Linear(inputs, units), ACTIVATIONS[activation]()]
        inputs = units
    return nn.Sequential(*layers), inputs
