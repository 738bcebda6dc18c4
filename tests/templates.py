"""What int8 templates stand for, in float64 and without the code of `template_distances`."""

from torch import Tensor


def unit_vectors(q_BD: Tensor) -> Tensor:
    """q/‖q‖, row by row, float64."""
    return q_BD.double() / q_BD.double().norm(dim=1, keepdim=True)
