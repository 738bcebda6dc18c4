"""Squared distances, against torch.cdist in float64 and by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from firstsight.functional.distances import squared_distances


def random_rows(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 20), st.integers(0, 2**31))
def test_every_pair_as_cdist_finds_it(M: int, N: int, D: int, seed: int) -> None:
    x_MD, y_ND = random_rows(M, D, seed), random_rows(N, D, seed + 1)
    expected_MN = torch.cdist(x_MD, y_ND, compute_mode="donot_use_mm_for_euclid_dist").square()
    torch.testing.assert_close(squared_distances(x_MD, y_ND), expected_MN)


def test_unit_vectors_from_0_over_2_to_4() -> None:
    x_MD = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert squared_distances(x_MD, x_MD[:1]).tolist() == [[0], [2], [4]]


def test_what_rounding_pushes_below_0_is_0() -> None:
    x_MD = 1000 + random_rows(50, 8).float()
    assert (squared_distances(x_MD, x_MD) >= 0).all()
    assert (x_MD.square().sum(1) - 2 * (x_MD @ x_MD.T).diag() + x_MD.square().sum(1) < 0).any(), "nothing to clamp"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_compared_in_fp32(dtype: torch.dtype, autocast: bool) -> None:
    x_MD = random_rows(20, 64).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        d_MN = squared_distances(x_MD, x_MD)
    assert d_MN.dtype == torch.float32
    torch.testing.assert_close(d_MN, squared_distances(x_MD.double(), x_MD.double()).float(), atol=1e-4, rtol=1e-5)


def test_fp32_under_autocast_stays_fp32() -> None:
    x_MD = random_rows(20, 64).float()
    with torch.autocast("cpu", torch.bfloat16):
        under_MN = squared_distances(x_MD, x_MD)
    assert torch.equal(under_MN, squared_distances(x_MD, x_MD))


def test_gradient() -> None:
    x_MD, y_ND = random_rows(3, 4, 1).requires_grad_(), random_rows(2, 4, 2).requires_grad_()
    assert torch.autograd.gradcheck(squared_distances, (x_MD, y_ND))
