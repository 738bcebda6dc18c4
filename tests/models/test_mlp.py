"""The multilayer perceptron against NumPy, and the sizes of the tutorial's networks.

B batch, O outputs.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from firstsight.config import Network, Preprocessing
from firstsight.model_config import Columns, ModelConfig
from firstsight.models.mlp import mlp_trunk
from firstsight.models.registry import build_network
from firstsight.training.randomness import generator_for

DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
MNIST = Preprocessing(height=28, width=28, color="gray")


def perceptron(**flags: Any) -> nn.Module:
    network = Network(name="mlp", **flags)
    return build_network(ModelConfig(task="classification", network=network, preprocessing=MNIST, outputs=DIGITS))


@pytest.mark.parametrize(("hidden", "weights"), [((30,), 23860), ((100,), 79510), ((), 7850)])
def test_the_tutorials_sizes(hidden: tuple[int, ...], weights: int) -> None:
    """784-30-10 has 784·30 + 30 + 30·10 + 10 weights."""
    assert sum(weight.numel() for weight in perceptron(hidden=hidden).parameters()) == weights


ACTIVATIONS = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "sigmoid": lambda z: 1 / (1 + np.exp(-z))}


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("output", ["linear", "sigmoid"])
def test_the_forward_pass_is_numpys(activation: str, output: str) -> None:
    """Two hidden layers with the activation after each, then a linear layer, then a sigmoid where it was asked for."""
    network = perceptron(hidden=(12, 7), activation=activation, output=output)
    x_BCHW = torch.randn(5, 1, 28, 28, generator=generator_for(0))
    values = [weight.detach().double().numpy() for weight in network.parameters()]
    act = ACTIVATIONS[activation]
    signal = x_BCHW.double().numpy().reshape(5, 784)
    for weight, bias in zip(values[:-2:2], values[1:-2:2], strict=True):
        signal = act(signal @ weight.T + bias)
    expected_BO = signal @ values[-2].T + values[-1]
    expected_BO = ACTIVATIONS["sigmoid"](expected_BO) if output == "sigmoid" else expected_BO
    np.testing.assert_allclose(network(x_BCHW).detach().numpy(), expected_BO, rtol=1e-4, atol=1e-5)


def test_rows_go_in_as_they_are() -> None:
    columns = Columns(features=("a", "b", "c"), mean=(0.0,) * 3, std=(1.0,) * 3)
    config = ModelConfig(task="regression", network=Network(name="mlp"), columns=columns, outputs=("y", "z"))
    assert build_network(config)(torch.zeros(4, 3)).shape == (4, 2)


def test_a_trunk_says_how_many_features_it_gives() -> None:
    trunk, features = mlp_trunk(6, (5, 4), "relu")
    assert trunk(torch.zeros(2, 6)).shape == (2, features) == (2, 4)
    assert mlp_trunk(6, (), "relu")[1] == 6


def test_an_embedding_has_unit_length() -> None:
    config = ModelConfig(network=Network(name="mlp", embedding_size=9), preprocessing=MNIST)
    x_BD = build_network(config)(torch.randn(3, 1, 28, 28, generator=generator_for(0)))
    assert x_BD.shape == (3, 9)
    torch.testing.assert_close(x_BD.norm(dim=1), torch.ones(3))


def test_the_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(5)
    config = ModelConfig(network=Network(name="mlp"), preprocessing=MNIST)
    first, second, other = (build_network(config, seed=seed).state_dict() for seed in (0, 0, 1))
    expected = torch.rand(1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), expected), "and the generator of the caller is left alone"
