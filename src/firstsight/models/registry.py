"""The networks that a recipe can name."""

from collections.abc import Callable
from dataclasses import replace
from math import prod

import torch
from torch import nn

from firstsight.config import Network, Preprocessing
from firstsight.errors import RecipeError
from firstsight.model_config import ModelConfig
from firstsight.models.committee import CommitteeNetwork, PicturesCommittee
from firstsight.models.conv import conv_trunk
from firstsight.models.embedding import EmbeddingHead, UnitLength
from firstsight.models.facenet import DESIGNS, inception_trunk
from firstsight.models.mlp import mlp_trunk
from firstsight.models.sface import sface_trunk

CUSTOM = "custom"
"""The name under which a network that was given from Python, not built here, is saved."""

ANY_SIZE = 64
"""Height and width of the input of a network that takes any."""
SMALLEST = 8
"""Height or width of an input."""

Trunk = tuple[nn.Module, int]
"""A module B x ... -> B x features, and the number of features."""


def _conv(network: Network, input_shape: tuple[int, ...]) -> Trunk:
    shape = _of_a_picture(network, input_shape)
    return conv_trunk(*shape, network.channels, depth=network.depth, norm=network.norm)


def _mlp(network: Network, input_shape: tuple[int, ...]) -> Trunk:
    return mlp_trunk(prod(input_shape), network.hidden, network.activation)


def _inception(network: Network, input_shape: tuple[int, ...]) -> Trunk:
    return inception_trunk(DESIGNS[network.name], *_of_a_picture(network, input_shape), norm=network.norm)


def _sface(network: Network, input_shape: tuple[int, ...]) -> Trunk:
    return sface_trunk(*_of_a_picture(network, input_shape))


def _of_a_picture(network: Network, input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(C, H, W), where it is that."""
    if len(input_shape) != 3:
        raise RecipeError(f"The network {network.name} needs pictures, and these are rows.", hint="Add --network mlp.")
    channels, height, width = input_shape
    return channels, height, width


NETWORKS: dict[str, Callable[[Network, tuple[int, ...]], Trunk]] = {
    "conv": _conv, "mlp": _mlp, "sface": _sface, **dict.fromkeys(DESIGNS, _inception)
}  # fmt: skip
SIZES = {"sface": (112, 112), **{name: design.size for name, design in DESIGNS.items()}}
"""Height and width that a network was designed for."""


def with_own_size(preprocessing: Preprocessing, network: Network) -> Preprocessing:
    """Settle height = 0 and width = 0: the size that the network was designed for, or 64 where it was for none.

    Raises:
        RecipeError: a size of its own that is too small.
    """
    height, width = SIZES.get(network.name, (ANY_SIZE, ANY_SIZE))
    settled = replace(preprocessing, height=preprocessing.height or height, width=preprocessing.width or width)
    for side in ("height", "width"):
        if getattr(settled, side) < SMALLEST:
            raise RecipeError(
                f"--{side} {getattr(settled, side)} is too small.", hint=f"Give {SMALLEST} or more, or leave it out."
            )
    return settled


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
    if config.committee and config.columns:
        return CommitteeNetwork(config.committee, config.input_shape[0], len(config.outputs))
    if config.committee:
        size = config.network.embedding_size
        embedding = build_network(replace(config, task="embedding", committee=None, outputs=()), seed=seed)
        return PicturesCommittee(embedding, CommitteeNetwork(config.committee, size, len(config.outputs)), size)
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
