"""The networks that a recipe can name."""

from collections.abc import Callable
from math import prod

import torch
from torch import nn

from firstsight.config import ModelConfig, Network
from firstsight.errors import RecipeError
from firstsight.models.conv import conv_trunk
from firstsight.models.embedding import EmbeddingHead, UnitLength
from firstsight.models.mlp import mlp_trunk

CUSTOM = "custom"
"""The name under which a network that was given from Python, not built here, is saved."""

Trunk = tuple[nn.Module, int]
"""A module B x ... -> B x features, and the number of features."""


def _conv(network: Network, input_shape: tuple[int, ...]) -> Trunk:
    if len(input_shape) != 3:
        raise RecipeError("The network conv needs pictures, and these are rows.", hint="Add --network mlp.")
    return conv_trunk(*input_shape, network.channels, depth=network.depth, norm=network.norm)


def _mlp(network: Network, input_shape: tuple[int, ...]) -> Trunk:
    return mlp_trunk(prod(input_shape), network.hidden, network.activation)


NETWORKS: dict[str, Callable[[Network, tuple[int, ...]], Trunk]] = {"conv": _conv, "mlp": _mlp}


def own_network(network: nn.Module, config: ModelConfig) -> nn.Module:
    """A network that was given from Python, with the unit-length head that an embedding needs."""
    return nn.Sequential(network, UnitLength()) if config.task == "embedding" else network


def build_network(config: ModelConfig, *, seed: int = 0) -> nn.Module:
    """Build the network that `config` names, with fresh weights.

    It maps float32 B x `config.input_shape` to unit embeddings B x D, or to outputs B x O for a task with outputs.
    The weights depend on `seed` alone; the global random state is left as it was.

    Raises:
        RecipeError: no network of that name, or none for such inputs.
    """
    network = config.network
    if network.name not in NETWORKS:
        raise RecipeError(f"There is no network {network.name!r}.", hint=f"Known: {', '.join(NETWORKS)}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk, features = NETWORKS[network.name](network, config.input_shape)
        if config.task == "embedding":
            return nn.Sequential(trunk, EmbeddingHead(features, network.embedding_size))
        last: list[nn.Module] = [nn.Sigmoid()] if network.output == "sigmoid" else []
        return nn.Sequential(trunk, nn.Linear(features, len(config.outputs)), *last)
