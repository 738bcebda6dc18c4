"""The quadratic loss, against equation 2-1 written out in NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from firstsight.functional.losses import quadratic_loss


def two_tables(B: int, O: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: E741
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(B, O, generator=generator).double(), torch.randn(B, O, generator=generator).double()


@given(st.integers(1, 8), st.integers(1, 5), st.integers(0, 2**31))
def test_equation_2_1_and_its_summed_form(B: int, O: int, seed: int) -> None:  # noqa: E741
    output_BO, target_BO = two_tables(B, O, seed)
    written_out = sum(np.linalg.norm(o - t) ** 2 for o, t in zip(output_BO.numpy(), target_BO.numpy(), strict=True))
    assert quadratic_loss(output_BO, target_BO).item() == pytest.approx(written_out / (2 * B))
    assert quadratic_loss(output_BO, target_BO, reduction="sum").item() == pytest.approx(written_out / 2)


def test_the_gradient_is_the_error_over_n() -> None:
    output_BO, target_BO = two_tables(5, 3, seed=0)
    output_BO.requires_grad_()
    (of_mean_BO,) = torch.autograd.grad(quadratic_loss(output_BO, target_BO), output_BO)
    (of_sum_BO,) = torch.autograd.grad(quadratic_loss(output_BO, target_BO, reduction="sum"), output_BO)
    error_BO = (output_BO - target_BO).detach()
    torch.testing.assert_close(of_mean_BO, error_BO / 5)
    torch.testing.assert_close(of_sum_BO, error_BO)


def test_the_sum_does_not_depend_on_how_a_stream_is_cut() -> None:
    output_BO, target_BO = two_tables(64, 3, seed=0)
    whole = quadratic_loss(output_BO, target_BO, reduction="sum")
    parts = [quadratic_loss(o, t, reduction="sum") for o, t in zip(output_BO.split(1), target_BO.split(1), strict=True)]
    torch.testing.assert_close(torch.stack(parts).sum(), whole)


def test_half_precision_is_summed_in_fp32() -> None:
    output_BO = torch.full((4096, 4), 0.1, dtype=torch.bfloat16)
    loss = quadratic_loss(output_BO, torch.zeros_like(output_BO), reduction="sum")
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(4096 * 4 * float(output_BO[0, 0]) ** 2 / 2, rel=1e-6)


def test_an_empty_batch_costs_0() -> None:
    assert quadratic_loss(torch.zeros(0, 3), torch.zeros(0, 3)).item() == 0
