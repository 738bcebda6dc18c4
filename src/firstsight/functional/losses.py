"""The quadratic loss of equation 2-1. B: batch; O: outputs."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def quadratic_loss(
    output_BO: Float[Tensor, "B O"],
    target_BO: Float[Tensor, "B O"],
    *,
    reduction: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, ""]:
    """C = 1/(2n) Σ‖L(x) − o‖² (equation 2-1), or its summed form ½ Σ‖L(x) − o‖² for data that arrive in real time.

    The mean runs over the n examples, not over the outputs: its gradient with respect to an output is (L(x) − o)/n,
    that of the sum L(x) − o. fp16 and bf16 are summed in fp32. An empty batch costs 0.

    Example:
        >>> quadratic_loss(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 2))
        tensor(1.2500)
    """
    dtype = torch.promote_types(output_BO.dtype, torch.float32)
    total = F.mse_loss(output_BO.to(dtype), target_BO.to(dtype), reduction="sum")
    return total / (2 * max(len(output_BO), 1) if reduction == "mean" else 2)
