"""FaceNet's Inception networks, for those who train from nothing (Schroff et al. 2015, arXiv 1503.03832, Table 2).

NN2 is as published, row by row. NN3 is NN2 with a smaller input. Of NN4 the paper says that its higher layers have no
5x5 convolutions, without saying which: leaving them out from 4e on gives both figures that it has, 285M FLOPS and 6.6M
parameters. Of NNS2 only the counts and the input are published, so its rows here are our own reading. NN1 is no
Inception network, and what is known of NNS1 does not suffice to build it.

Where the paper normalizes responses (after the first pooling and before the second), and is silent about all other
layers, a normalization stands after each convolution, in place of its bias: without one, so deep a network hardly
learns from a random start on few pictures.

B batch, C channels, H height, W width.
"""

from collections import OrderedDict
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from firstsight.models.conv import normalization


class Row(NamedTuple):
    """One Inception row of Table 2: the channels of its branches, each 0 where there is none.

    `three` and `five` are those of the reduction and of the convolution. Without `projection` the pooled input is
    passed on as it is. A row of stride 2 halves height and width.
    """

    one: int
    three: tuple[int, int]
    five: tuple[int, int]
    pool: Literal["max", "L2"]
    projection: int
    stride: int = 1


class Design(NamedTuple):
    """A network: its input (height, width), the channels of conv1 and of the two layers of inception (2), and the rows.

    The last map is averaged over its places; with `hidden`, a fully connected layer of so many units sees each of them.
    """

    size: tuple[int, int]
    stem: tuple[int, int, int]
    rows: dict[str, Row]
    hidden: int = 0


_NN2 = Design(
    size=(224, 224),
    stem=(64, 64, 192),
    rows={
        "3a": Row(64, (96, 128), (16, 32), "max", 32),
        "3b": Row(64, (96, 128), (32, 64), "L2", 64),
        "3c": Row(0, (128, 256), (32, 64), "max", 0, stride=2),
        "4a": Row(256, (96, 192), (32, 64), "L2", 128),
        "4b": Row(224, (112, 224), (32, 64), "L2", 128),
        "4c": Row(192, (128, 256), (32, 64), "L2", 128),
        "4d": Row(160, (144, 288), (32, 64), "L2", 128),
        "4e": Row(0, (160, 256), (64, 128), "max", 0, stride=2),
        "5a": Row(384, (192, 384), (48, 128), "L2", 128),
        "5b": Row(384, (192, 384), (48, 128), "max", 128),
    },
)
_HIGHER = ("4e", "5a", "5b")

DESIGNS = {
    "nn2": _NN2,
    "nn3": _NN2._replace(size=(160, 160)),
    "nn4": _NN2._replace(
        size=(96, 96),
        rows={name: row._replace(five=(0, 0)) if name in _HIGHER else row for name, row in _NN2.rows.items()},
    ),
    "nns2": Design(
        size=(140, 116),
        stem=(8, 8, 24),
        rows={
            "3a": Row(16, (16, 24), (4, 8), "max", 16),
            "3b": Row(0, (24, 48), (4, 8), "max", 0, stride=2),
            "4a": Row(48, (24, 48), (8, 16), "L2", 16),
            "4b": Row(0, (32, 64), (8, 16), "max", 0, stride=2),
            "5a": Row(96, (48, 96), (0, 0), "L2", 32),
            "5b": Row(192, (48, 128), (0, 0), "max", 64),
        },
        hidden=512,  # 20 multiply-adds buy 4.3 parameters: most of them are used once, so they cannot be convolutions
    ),
}
"""By the names that recipes know."""


class L2Pool(nn.Module):
    """The L2 norm of each 3x3 neighborhood, in place of its maximum. Its gradient is finite at 0 too."""

    def forward(self, x_BCHW: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        squares_BCHW = F.avg_pool2d(x_BCHW.square(), kernel_size=3, stride=1, padding=1, divisor_override=1)
        return (squares_BCHW + 1e-6).sqrt()


class Inception(nn.Module):
    """Convolutions of 1x1, 3x3 and 5x5 and a pooling, beside each other; their channels are put together."""

    def __init__(self, channels: int, row: Row, norm: Literal["batch", "group"]) -> None:
        super().__init__()
        pool: nn.Module = L2Pool() if row.pool == "L2" else nn.MaxPool2d(3, row.stride, padding=1)
        branches = [nn.Sequential(_conv(channels, row.one, 1, norm))] if row.one else []
        for kernel, (reduced, outputs) in ((3, row.three), (5, row.five)):
            if outputs:
                reduction = _conv(channels, reduced, 1, norm)
                branches.append(nn.Sequential(reduction, _conv(reduced, outputs, kernel, norm, stride=row.stride)))
        projection = [_conv(channels, row.projection, 1, norm)] if row.projection else []
        self.branches = nn.ModuleList([*branches, nn.Sequential(pool, *projection)])
        self.channels = row.one + row.three[1] + row.five[1] + (row.projection or channels)

    def forward(self, x_BCHW: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O h w"]:
        return torch.cat([branch(x_BCHW) for branch in self.branches], dim=1)


def inception_trunk(
    design: Design, channels: int, height: int, width: int, *, norm: Literal["batch", "group"]
) -> tuple[nn.Sequential, int]:
    """Build the trunk B x C x H x W -> B x features, and say how many features it has.

    It takes other sizes than the design's too, but what was trained at one size is of use there alone.
    """
    first, reduced, second = design.stem
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=_conv(channels, first, 7, norm, stride=2),
        pool1=nn.MaxPool2d(3, 2, padding=1),
        inception2=nn.Sequential(_conv(first, reduced, 1, norm), _conv(reduced, second, 3, norm)),
        pool2=nn.MaxPool2d(3, 2, padding=1),
    )
    channels = second
    for name, row in design.rows.items():
        block = Inception(channels, row, norm)
        layers[f"inception{name}"], channels = block, block.channels
    if not design.hidden:
        return nn.Sequential(layers | OrderedDict(average=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten())), channels
    halvings = 3 + sum(row.stride == 2 for row in design.rows.values())
    places = -(-height // 2**halvings) * -(-width // 2**halvings)
    dense = nn.Linear(channels * places, design.hidden, bias=False)
    layers |= OrderedDict(flat=nn.Flatten(), dense=dense, norm=nn.LayerNorm(design.hidden), relu=nn.ReLU())
    return nn.Sequential(layers), design.hidden


def _conv(inputs: int, outputs: int, kernel: int, norm: Literal["batch", "group"], *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        normalization(outputs, norm),
        nn.ReLU(inplace=True),
    )
