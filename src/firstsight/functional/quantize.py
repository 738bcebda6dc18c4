"""int8 templates: D bytes for an embedding of length D. B, M, N: vectors; D: their length.

A template q stands for the unit vector q/‖q‖. Nothing else need be kept: its length follows from q itself.
"""

import torch
from jaxtyping import Float, Int8, Int64
from torch import Tensor

from firstsight.errors import UserError

FLOAT32_EXACT_DIM = 1024  # sums of D products of int8, at most 128² each, are exact in fp32 up to 2²⁴


def quantize(x_BD: Float[Tensor, "B D"]) -> Int8[Tensor, "B D"]:
    """q = round(127 · x / max|x|), row by row, half to even: the direction of x in D bytes.

    The length of x is lost, as it must be for embeddings. Of each component, at most 1/254 of the row's largest is
    lost. fp16 and bf16 are rounded from fp32.

    Raises:
        UserError: a row that is all zero (it has no direction) or not finite.

    Example:
        >>> quantize(torch.tensor([[3.0, -4.0]]))
        tensor([[  95, -127]], dtype=torch.int8)
    """
    x_BD = x_BD.to(torch.promote_types(x_BD.dtype, torch.float32))
    largest_B1 = x_BD.abs().amax(1, keepdim=True) if x_BD.shape[1] else x_BD.new_zeros(len(x_BD), 1)
    usable_B = (largest_B1.isfinite() & (largest_B1 > 0)).squeeze(1)
    if not usable_B.all():
        row = int((~usable_B).nonzero()[0])
        what = "has no direction: it is all zero" if largest_B1[row] == 0 else "is not finite"
        raise UserError(f"Embedding {row} {what}.", hint="Check the picture, and the model that made it.")
    # Divided before it is multiplied: 127 · x would overflow near the largest float.
    return (x_BD / largest_B1 * 127).round().to(torch.int8)


def template_distances(q_MD: Int8[Tensor, "M D"], q_ND: Int8[Tensor, "N D"]) -> Float[Tensor, "M N"]:
    """Squared L2 distances (0 … 4) of the unit vectors that templates stand for, fp32.

    d = 2 − 2⟨q, r⟩ / √(‖q‖²‖r‖²): the three integers are exact, the rest is float64, rounded once. So a distance does
    not depend on the machine, nor on what else is compared in the same call, and equal templates are at exactly 0.

    Raises:
        UserError: a template that is all zero.
    """
    dots_MN = _whole_dots(q_MD, q_ND).double()
    squares_MN = torch.outer(_squared_lengths(q_MD).double(), _squared_lengths(q_ND).double())
    return dots_MN.div_(squares_MN.sqrt_()).mul_(-2).add_(2).clamp_(min=0).float()


def paired_distances(q_PD: Int8[Tensor, "P D"], r_PD: Int8[Tensor, "P D"]) -> Float[Tensor, "P"]:
    """`template_distances` of pairs instead of all against all: the same sums, the same single rounding.

    Raises:
        UserError: a template that is all zero.
    """
    squares_P = _squared_lengths(q_PD).double() * _squared_lengths(r_PD).double()
    dots_P = (q_PD.double() * r_PD.double()).sum(1)
    return (dots_P / squares_P.sqrt()).mul_(-2).add_(2).clamp_(min=0).float()


def _whole_dots(q_MD: Int8[Tensor, "M D"], q_ND: Int8[Tensor, "N D"]) -> Float[Tensor, "M N"]:
    """Exact dot products, as whole numbers in floating point."""
    dtype = torch.float32 if q_MD.shape[1] <= FLOAT32_EXACT_DIM else torch.float64
    with torch.autocast(q_MD.device.type, enabled=False):
        return q_MD.to(dtype) @ q_ND.to(dtype).T


def _squared_lengths(q_BD: Int8[Tensor, "B D"]) -> Int64[Tensor, "B"]:
    squares_B = q_BD.long().square().sum(1)
    if not squares_B.all():
        row = int((squares_B == 0).nonzero()[0])
        raise UserError(f"Template {row} is all zero and stands for no direction.", hint="Enroll it again.")
    return squares_B
