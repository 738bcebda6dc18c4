"""A network small enough to check by hand, and templates."""

import numpy as np
import torch
from torch import Tensor, nn

from firstsight.config import Network, Preprocessing
from firstsight.model_config import ModelConfig
from firstsight.models.folder import Model, make_model


class Pixels(nn.Module):
    """The pixels themselves, scaled to unit length."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return nn.functional.normalize(x_BCHW.flatten(1))


def pixel_model(name: str, *, size: int = 8, color: str = "gray") -> Model:
    preprocessing = Preprocessing(height=size, width=size, color=color)
    network = Network(embedding_size=preprocessing.channels * size * size)
    return make_model(Pixels(), ModelConfig(network=network, preprocessing=preprocessing), name=name)


def random_templates(count: int, size: int = 64, *, seed: int = 0) -> Tensor:
    values = np.random.default_rng(seed).integers(-127, 128, (count, size), dtype=np.int8)
    return torch.from_numpy(values)
