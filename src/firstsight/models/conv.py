"""A plain convolutional trunk: stages of convolution, normalization, ReLU, and halving.

B batch, C channels, H height, W width.
"""

from typing import Literal

import torch
from torch import nn

GROUPS = 8


def conv_trunk(
    input_channels: int,
    height: int,
    width: int,
    channels: tuple[int, ...],
    *,
    depth: int = 1,
    norm: Literal["batch", "group"] = "batch",
) -> tuple[nn.Sequential, int]:
    """Build the trunk B x C x H x W -> B x features, and say how many features it has.

    Each stage has `depth` convolutions, then halves height and width (rounding up, so that no row or column of pixels
    is ignored). Batch normalization takes its statistics from the pictures that pass together; group normalization
    (Wu and He 2018) from each picture alone, so a batch may be divided among chunks or ranks without changing its
    gradient.
    """
    stages: list[nn.Module] = []
    for out_channels in channels:
        for _ in range(depth):
            stages += [
                nn.Conv2d(input_channels, out_channels, kernel_size=3, padding=1, bias=False),
                normalization(out_channels, norm),
                nn.ReLU(inplace=True),
            ]
            input_channels = out_channels
        stages.append(nn.MaxPool2d(kernel_size=2, ceil_mode=True))
        height, width = (height + 1) // 2, (width + 1) // 2
    return nn.Sequential(*stages, nn.Flatten()), input_channels * height * width


def channels_last(network: nn.Module) -> nn.Module:
    """The same network in the memory layout in which convolutions are fastest; other layers are left as they are."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def normalization(channels: int, norm: Literal["batch", "group"]) -> nn.Module:
    """What brings the channels of a convolution to one scale."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(_groups(channels), channels)


def _groups(channels: int) -> int:
    """The most groups up to `GROUPS` that divide the channels."""
    return max(count for count in range(1, GROUPS + 1) if channels % count == 0)
