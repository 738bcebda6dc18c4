"""The networks that a recipe can name."""

from collections.abc import Callable

import torch
from torch import nn

from firstsight.config import Network, Preprocessing
from firstsight.errors import RecipeError
from firstsight.models.conv import conv_trunk
from firstsight.models.embedding import embedding_head

CUSTOM = "custom"
"""The name under which a network that was given from Python, not built here, is saved."""


def _conv(network: Network, preprocessing: Preprocessing) -> nn.Module:
    trunk, features = conv_trunk(preprocessing.channels, preprocessing.height, preprocessing.width, network.channels)
    return nn.Sequential(trunk, embedding_head(features, network.embedding_size))


NETWORKS: dict[str, Callable[[Network, Preprocessing], nn.Module]] = {"conv": _conv}


def build_network(network: Network, preprocessing: Preprocessing, *, seed: int = 0) -> nn.Module:
    """Build a registered network with fresh weights: float32 B x C x H x W -> unit embeddings B x D.

    The weights depend on `seed` alone; the global random state is left as it was.

    Raises:
        RecipeError: no network of that name.
    """
    if network.name not in NETWORKS:
        raise RecipeError(f"There is no network {network.name!r}.", hint=f"Known: {', '.join(NETWORKS)}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[network.name](network, preprocessing)
