"""int8 templates, against integer arithmetic in NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from templates import unit_vectors

from firstsight.errors import UserError
from firstsight.functional.distances import squared_distances
from firstsight.functional.quantize import paired_distances, quantize, template_distances


def unit_rows(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, length, generator=generator), dim=1)


def random_templates(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    q_BD = torch.randint(-127, 128, (rows, length), generator=generator, dtype=torch.int8)
    q_BD[:, 0] = 127
    return q_BD


def from_whole_numbers(q_MD: torch.Tensor, q_ND: torch.Tensor) -> np.ndarray:
    """2 - 2 <q, r> / sqrt(q² r²): sums in int64, the rest in float64, fp32 at the end."""
    q, r = q_MD.numpy().astype(np.int64), q_ND.numpy().astype(np.int64)
    squares = np.outer(np.square(q).sum(1), np.square(r).sum(1)).astype(np.float64)
    return np.maximum(2 - 2 * (q @ r.T / np.sqrt(squares)), 0).astype(np.float32)


def test_the_rule_by_hand() -> None:
    x_BD = torch.tensor([[0.5, -1.0, 0.25, 0.0], [3.0, -3.0, 1e-9, 1.5]])
    assert quantize(x_BD).tolist() == [[64, -127, 32, 0], [127, -127, 0, 64]]  # 63.5 to even, 31.75, 63.5


@given(st.integers(1, 6), st.integers(1, 300), st.integers(0, 2**31))
def test_a_template_means_a_direction(B: int, D: int, seed: int) -> None:
    x_BD = unit_rows(B, D, seed)
    q_BD = quantize(x_BD)
    assert torch.equal(quantize(1024 * x_BD), q_BD), "only the direction counts"
    unit_BD = unit_vectors(q_BD).float()
    assert torch.equal(quantize(unit_BD), q_BD), "nothing more is lost the second time"
    # Each component is off by at most half a step of max|x|/127, so the angle is off by at most √D/2 such steps.
    bound_B = x_BD.abs().amax(1) / 127 * D**0.5 / 2
    assert ((unit_BD - x_BD).norm(dim=1) <= 1.5 * bound_B + 1e-6).all()


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 1500), st.integers(0, 2**31))
def test_distances_are_rounded_once_from_whole_numbers(M: int, N: int, D: int, seed: int) -> None:
    q_MD, q_ND = random_templates(M, D, seed), random_templates(N, D, seed + 1)
    np.testing.assert_array_equal(template_distances(q_MD, q_ND), from_whole_numbers(q_MD, q_ND))


@pytest.mark.parametrize("D", [1024, 1025, 1041, 4096])
def test_dots_are_exact_at_their_largest(D: int) -> None:
    """Where fp32 loses a unit of a sum, the smallest of distances would be another."""
    q_BD = torch.full((2, D), 127, dtype=torch.int8)
    q_BD[1, -1] = 126
    expected_BB = from_whole_numbers(q_BD, q_BD)
    assert 0 < expected_BB[0, 1] < 1e-6
    np.testing.assert_array_equal(template_distances(q_BD, q_BD), expected_BB)
    assert paired_distances(q_BD[:1], q_BD[1:]).item() == expected_BB[0, 1]


def test_distances_are_those_of_the_unit_vectors() -> None:
    q_MD, q_ND = random_templates(20, 128), random_templates(30, 128, seed=1)
    expected_MN = torch.cdist(
        unit_vectors(q_MD), unit_vectors(q_ND), compute_mode="donot_use_mm_for_euclid_dist"
    ).square()
    d_MN = template_distances(q_MD, q_ND)
    assert d_MN.dtype == torch.float32
    torch.testing.assert_close(d_MN, expected_MN.float(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("D", [1, 128, 2000])
def test_equal_templates_are_at_exactly_0(D: int) -> None:
    q_BD = random_templates(50, D)
    assert (template_distances(q_BD, q_BD).diag() == 0).all()


def test_a_distance_does_not_depend_on_its_company() -> None:
    q_BD = random_templates(200, 128)
    together_BB = template_distances(q_BD, q_BD)
    alone_BB = torch.cat([torch.cat([template_distances(q[None], r[None]) for r in q_BD[:20]]) for q in q_BD[:20]])
    assert torch.equal(together_BB[:20, :20].flatten(), alone_BB.flatten())


def test_little_is_lost() -> None:
    x_BD = unit_rows(200, 128)
    q_BD = quantize(x_BD)
    assert (template_distances(q_BD, q_BD) - squared_distances(x_BD, x_BD)).abs().max() < 0.01


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    x_BD = unit_rows(8, 64).to(dtype)
    assert torch.equal(quantize(x_BD), quantize(x_BD.float()))


def test_the_ends_of_fp32() -> None:
    x_BD = torch.tensor([[3e38, -1.5e38], [1e-44, 0.0]])
    assert quantize(x_BD).tolist() == [[127, -64], [127, 0]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.0, 0.0], "Embedding 1 has no direction: it is all zero"),
        ([1.0, torch.nan], "Embedding 1 is not finite"),
        ([torch.inf, 1.0], "Embedding 1 is not finite"),
    ],
)
def test_embeddings_without_a_direction(row: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        quantize(torch.tensor([[1.0, 2.0], row]))


@pytest.mark.parametrize(
    "use", [lambda q_BD: paired_distances(q_BD, q_BD), lambda q_BD: template_distances(q_BD[:1], q_BD)]
)
def test_a_template_that_is_all_zero(use: object) -> None:
    q_BD = torch.tensor([[1, 2], [0, 0]], dtype=torch.int8)
    with pytest.raises(UserError, match="Template 1 is all zero"):
        use(q_BD)  # type: ignore[operator]
