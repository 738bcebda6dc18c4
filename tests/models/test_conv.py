"""The conv trunk: how many features it says it has, and that every pixel counts."""

import pytest
import torch
from torch import nn

from firstsight.models.conv import conv_trunk


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 13), (17, 8)])
@pytest.mark.parametrize("channels", [(4,), (4, 6, 8)])
@pytest.mark.parametrize("depth", [1, 2])
def test_features_are_as_said_and_every_pixel_counts(
    height: int, width: int, channels: tuple[int, ...], depth: int
) -> None:
    trunk, features = conv_trunk(3, height, width, channels, depth=depth)
    assert sum(isinstance(layer, nn.Conv2d) for layer in trunk) == depth * len(channels)
    x_BCHW = torch.randn(2, 3, height, width, requires_grad=True)
    output = trunk.eval()(x_BCHW)
    assert output.shape == (2, features)
    output.square().sum().backward()
    assert x_BCHW.grad is not None
    reached = x_BCHW.grad.abs().amax(dim=(0, 1)) > 0
    assert reached[-2:].any()
    assert reached[:, -2:].any(), "the last rows and columns are seen"
