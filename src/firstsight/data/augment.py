"""Random changes that leave an identity what it is, drawn for each picture of a batch and made in one go.

Shapes: B batch, C channels, H height, W width.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Changes:
    """How far a picture may be changed at strength 1: each change is drawn evenly from -limit ... +limit."""

    rotation: float = 10.0
    """Degrees."""
    scale: float = 0.1
    """Natural logarithm of the factor: 0.1 is 0.90 ... 1.11."""
    stretch: float = 0.2
    """Natural logarithm of the factor between width and height."""
    shear: float = 0.15
    """Horizontal shift for each step down."""
    shift: float = 0.04
    """Share of the width and of the height."""
    brightness: float = 0.1
    """Added, in units of the input (with the default mean and std, black to white is 2)."""
    contrast: float = 0.15
    """Natural logarithm of the factor by which pixels move away from their picture's mean."""
    flip: bool = False
    """Mirror half of the pictures. Not for writing, and not where left and right differ."""


def augment(
    x_BCHW: Float32[Tensor, "B C H W"],
    generator: torch.Generator,
    *,
    strength: float = 1.0,
    changes: Changes = Changes(),
    first: int = 0,
    of: int | None = None,
) -> Float32[Tensor, "B C H W"]:
    """Change each picture by its own random affine map, brightness and contrast.

    Where the map looks beyond the edge, the edge goes on. All numbers come from `generator`, which must be on the
    CPU, so a run can be repeated bit for bit, on a GPU too. `strength` multiplies every limit; 0 changes nothing.
    Pictures that are a part of a larger batch, from its picture `first` on `of` so many, are changed as they would be
    with the whole batch.
    """
    if strength == 0:
        return x_BCHW
    limits = [changes.rotation, changes.scale, changes.stretch, changes.shear, changes.shift, changes.shift]
    limits += [changes.brightness, changes.contrast]
    count = x_BCHW.shape[0]
    draws_LB = 2 * torch.rand(len(limits) + 1, of or count, generator=generator)[:, first : first + count] - 1
    draws_LB[:-1] *= strength * torch.tensor(limits)[:, None]
    rotation, scale, stretch, shear, right, down, brightness, contrast, mirror = draws_LB
    theta_B23 = _sampling_maps(
        rotation=rotation * (math.pi / 180),
        scale_x=scale + stretch / 2,
        scale_y=scale - stretch / 2,
        shear=shear,
        shift=torch.stack([right, down], dim=1),
        aspect=x_BCHW.shape[3] / x_BCHW.shape[2],
    )
    if changes.flip:
        theta_B23[:, :, 0] *= torch.where(mirror < 0, -1.0, 1.0)[:, None]
    device = x_BCHW.device
    moved_BCHW = warp(x_BCHW, theta_B23.to(device))
    mean_B111 = moved_BCHW.mean(dim=(1, 2, 3), keepdim=True)
    factor_B111 = contrast.exp().to(device)[:, None, None, None]
    offset_B111 = mean_B111 * (1 - factor_B111) + brightness.to(device)[:, None, None, None]
    return moved_BCHW.mul_(factor_B111).add_(offset_B111)


def warp(x_BCHW: Float32[Tensor, "B C H W"], theta_B23: Float32[Tensor, "B 2 3"]) -> Float32[Tensor, "B C H W"]:
    """Sample each picture along its own affine map, bilinearly; beyond the edge, the edge goes on.

    `theta_B23` leads from a place in the result to one in the picture, both in coordinates from -1 to 1 (x right,
    y down) between the outer borders of the outermost pixels, as torch's `affine_grid` has them.
    """
    height, width = x_BCHW.shape[2:]
    x_W1 = ((torch.arange(width, device=x_BCHW.device) + 0.5) * (2 / width) - 1)[:, None]
    y_H1 = ((torch.arange(height, device=x_BCHW.device) + 0.5) * (2 / height) - 1)[:, None]
    # torch's affine_grid does this as a product of tall, three columns wide matrices, and takes ten times as long
    of_row_BH2 = theta_B23[:, None, :, 1] * y_H1 + theta_B23[:, None, :, 2]
    of_column_BW2 = theta_B23[:, None, :, 0] * x_W1
    grid_BHW2 = of_row_BH2[:, :, None] + of_column_BW2[:, None]
    return torch.nn.functional.grid_sample(x_BCHW, grid_BHW2, padding_mode="border", align_corners=False)


def _sampling_maps(
    *, rotation: Tensor, scale_x: Tensor, scale_y: Tensor, shear: Tensor, shift: Tensor, aspect: float
) -> Tensor:
    """Rotation, shear, scale (logarithms) and shift as the `theta_B23` of `warp`.

    Angles hold in pixels, not in the coordinates -1 ... 1, where a picture that is not square is distorted.
    """
    cos, sin = rotation.cos(), rotation.sin()
    x_B2 = torch.stack([cos, cos * shear - sin], dim=1) * (-scale_x).exp()[:, None]
    y_B2 = torch.stack([sin, sin * shear + cos], dim=1) * (-scale_y).exp()[:, None]
    linear_B22 = torch.stack([x_B2, y_B2], dim=1) * torch.tensor([[1.0, 1 / aspect], [aspect, 1.0]])
    return torch.cat([linear_B22, 2 * shift[:, :, None]], dim=2)
