"""Squared Euclidean distances, the measure of everything here. M, N: vectors; D: their length."""

import torch
from jaxtyping import Float
from torch import Tensor


def squared_distances(x_MD: Float[Tensor, "M D"], y_ND: Float[Tensor, "N D"]) -> Float[Tensor, "M N"]:
    """Squared L2 distance of every row of x to every row of y: ‖x‖² + ‖y‖² − 2⟨x, y⟩.

    Between unit vectors it runs from 0 (the same direction) over 2 (orthogonal) to 4 (opposite), unitless.
    fp16 and bf16 are compared in fp32, inside `torch.autocast` too. In fp32 the rounding error is a few 1e-7 of
    ‖x‖² + ‖y‖², whatever the distance; what it would push below 0 is 0.

    Example:
        >>> squared_distances(torch.eye(2), torch.tensor([[1.0, 0.0]]))
        tensor([[0.],
                [2.]])
    """
    dtype = torch.promote_types(torch.promote_types(x_MD.dtype, y_ND.dtype), torch.float32)
    x_MD, y_ND = x_MD.to(dtype), y_ND.to(dtype)
    with torch.autocast(x_MD.device.type, enabled=False):
        d_MN = torch.addmm(y_ND.square().sum(1), x_MD, y_ND.T, alpha=-2)
        return d_MN.add_(x_MD.square().sum(1, keepdim=True)).clamp_(min=0)
