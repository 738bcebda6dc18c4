"""Random changes that leave an identity what it is, drawn for each picture of a batch and made in one go.

Shapes: B batch, C channels, H height, W width, K control points of a side.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

KNOTS = 6  # control points of a bend, on a side


@dataclass(frozen=True, kw_only=True)
class Changes:
    """How far a picture may be changed at strength 1: each change is drawn evenly from -limit ... +limit.

    `elastic` and `strokes` have strengths of their own.
    """

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
    elastic: float = 0.1
    """Share of the width and of the height, for the control points of a bend that is smooth over a third of them."""
    strokes: float = 1 / 32
    """Change in the width of a stroke, as a share of the longer side."""
    flip: bool = False
    """Mirror half of the pictures. Not for writing, and not where left and right differ."""


def augment(
    x_BCHW: Float32[Tensor, "B C H W"],
    generator: torch.Generator,
    *,
    strength: float = 1.0,
    elastic: float = 0.0,
    strokes: float = 0.0,
    changes: Changes = Changes(),
    first: int = 0,
    of: int | None = None,
) -> Float32[Tensor, "B C H W"]:
    """Change each picture by its own random affine map, brightness and contrast, and on request bend it and change the
    width of its strokes.

    Where the map looks beyond the edge, the edge goes on. All numbers come from `generator`, which must be on the
    CPU, so a run can be repeated bit for bit, on a GPU too. `strength` multiplies every limit but two, which `elastic`
    and `strokes` multiply; 0 changes nothing. Pictures that are a part of a larger batch, from its picture `first` on
    `of` so many, are changed as they would be with the whole batch.
    """
    if strength == elastic == strokes == 0:
        return x_BCHW
    part = slice(first, first + x_BCHW.shape[0])
    total = of or x_BCHW.shape[0]

    def draws(*shape: int) -> Tensor:
        """Evenly from -1 ... 1, the pictures last."""
        return 2 * torch.rand(*shape, total, generator=generator)[..., part] - 1

    limits = [changes.rotation, changes.scale, changes.stretch, changes.shear, changes.shift, changes.shift]
    limits += [changes.brightness, changes.contrast]
    draws_LB = draws(len(limits) + 1)
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
    bend_B2KK = None
    if elastic > 0:  # drawn after all else, so that without it all else is as it was
        bend_B2KK = (2 * elastic * changes.elastic * draws(2, KNOTS, KNOTS)).movedim(-1, 0).to(device)
    most = strokes * changes.strokes * max(x_BCHW.shape[2:])
    if most > 0:
        x_BCHW = grown(x_BCHW, draws().to(device), most=most)
    moved_BCHW = warp(x_BCHW, theta_B23.to(device), bend_B2KK)
    return _relit_(moved_BCHW, brightness=brightness.to(device), contrast=contrast.to(device))


def grown(
    x_BCHW: Float32[Tensor, "B C H W"], share_B: Float32[Tensor, "B"], *, most: float
) -> Float32[Tensor, "B C H W"]:
    """Let what is bright grow in width and height by the share (-1 ... 1) of `most` pixels; where it is negative, what
    is dark.

    Between whole pixels the edge is gray. A line that is thinner than what it loses leaves a shade.
    """
    whole = math.ceil(most)
    sign_B111 = torch.where(share_B < 0, -1.0, 1.0)[:, None, None, None]
    before_BCHW = x_BCHW * sign_B111
    after_BCHW = before_BCHW.clone()
    for step in range(whole):  # to one side and the other in turn, so that all stays in its place to half a pixel
        for axis in (2, 3):
            length = x_BCHW.shape[axis] - 1
            near, far = after_BCHW.narrow(axis, 0, length), after_BCHW.narrow(axis, 1, length)
            (far, near)[step % 2].copy_(torch.maximum(near, far))
    blend_B111 = share_B.abs()[:, None, None, None] * (most / whole)
    return before_BCHW.lerp_(after_BCHW, blend_B111).mul_(sign_B111)


def warp(
    x_BCHW: Float32[Tensor, "B C H W"],
    theta_B23: Float32[Tensor, "B 2 3"],
    bend_B2KK: Float32[Tensor, "B 2 K K"] | None = None,
) -> Float32[Tensor, "B C H W"]:
    """Sample each picture along its own affine map, bilinearly; beyond the edge, the edge goes on.

    `theta_B23` leads from a place in the result to one in the picture, both in coordinates from -1 to 1 (x right,
    y down) between the outer borders of the outermost pixels, as torch's `affine_grid` has them. `bend_B2KK` adds to
    the latter: shifts in x and y at K x K points, between which a cubic B-spline runs.
    """
    height, width = x_BCHW.shape[2:]
    x_W1 = ((torch.arange(width, device=x_BCHW.device) + 0.5) * (2 / width) - 1)[:, None]
    y_H1 = ((torch.arange(height, device=x_BCHW.device) + 0.5) * (2 / height) - 1)[:, None]
    # torch's affine_grid does this as a product of tall, three columns wide matrices, and takes ten times as long
    of_row_BH2 = theta_B23[:, None, :, 1] * y_H1 + theta_B23[:, None, :, 2]
    of_column_BW2 = theta_B23[:, None, :, 0] * x_W1
    grid_BHW2 = of_row_BH2[:, :, None] + of_column_BW2[:, None]
    if bend_B2KK is not None:
        rows_HK, columns_WK = (_spline(at_N1, bend_B2KK.shape[3]) for at_N1 in (y_H1, x_W1))
        basis_KKHW = rows_HK.T[:, None, :, None] * columns_WK.T[None, :, None, :]
        # x and y by one product, half of it zeros: it is still faster than to bring two results side by side
        both_2KKHW2 = torch.eye(2, device=x_BCHW.device)[:, None, None, None, None] * basis_KKHW[..., None]
        grid_BHW2 += (bend_B2KK.flatten(1) @ both_2KKHW2.flatten(0, 2).flatten(1)).view_as(grid_BHW2)
    return torch.nn.functional.grid_sample(x_BCHW, grid_BHW2, padding_mode="border", align_corners=False)


def _relit_(x_BCHW: Tensor, *, brightness: Tensor, contrast: Tensor) -> Tensor:
    mean_B111 = x_BCHW.mean(dim=(1, 2, 3), keepdim=True)
    factor_B111 = contrast.exp()[:, None, None, None]
    offset_B111 = mean_B111 * (1 - factor_B111) + brightness[:, None, None, None]
    return x_BCHW.mul_(factor_B111).add_(offset_B111)


def _spline(at_N1: Float32[Tensor, "N 1"], knots: int) -> Float32[Tensor, "N K"]:
    """Weights of the control points of a uniform cubic B-spline over -1 ... 1, at places in between."""
    gap = 2 / (knots - 3)
    centers_K = torch.arange(-1, knots - 1, device=at_N1.device) * gap - 1
    off_NK = (at_N1 - centers_K).abs() / gap
    return torch.where(off_NK < 1, 2 / 3 - off_NK**2 + off_NK**3 / 2, (2 - off_NK).clamp(min=0) ** 3 / 6)


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
