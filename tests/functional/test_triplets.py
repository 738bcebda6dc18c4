"""The triplet loss against its definition, one triplet at a time, for both the compiled and the plain path."""

import inspect
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from triplet_oracles import expected_loss, numpy_loss

from firstsight.errors import RecipeError, UserError
from firstsight.functional import _kernels, _mining, triplets
from firstsight.functional.triplets import TripletResult, triplet_loss

SELECTIONS: list[dict[str, Any]] = [
    {"select": "all"},
    {"select": "semihard", "fallback": "farthest"},
    {"select": "semihard", "fallback": "hardest"},
    {"select": "semihard", "fallback": "skip"},
    {"select": "hard"},
    {"select": "batch-hard"},
    {"select": "batch-hard", "soft": True},
]
named = pytest.mark.parametrize("selection", SELECTIONS, ids=lambda s: "-".join(str(v) for v in s.values()))
label_sets = st.lists(st.integers(0, 4), max_size=10).map(lambda labels: torch.tensor(labels, dtype=torch.int64))
seeds = st.integers(0, 2**31)
# The path fixture is the same for all examples of a test: it may be shared by them.
examples = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["compiled", "plain"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in which a CPU finds the triplets; a CUDA device takes the plain one."""
    if request.param == "plain":
        monkeypatch.setattr(triplets, "_kernels", lambda: None)
    else:
        assert triplets._kernels(), "numba is missing: it comes with the extra dev"
    return str(request.param)


def unit_rows(B: int, D: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(B, D, generator=generator, dtype=torch.float64)).to(dtype)


def agree(found: TripletResult, expected: Any, rtol: float = 1e-10) -> None:
    torch.testing.assert_close(found.value.detach().double(), expected.total.detach(), rtol=rtol, atol=rtol)
    assert (int(found.considered), int(found.active)) == (expected.considered, expected.active)


@named
@examples
@given(labels_B=label_sets, seed=seeds, margin=st.sampled_from([0.0, 0.2, 1.0]))
def test_value_counts_and_gradient(
    path: str, selection: dict[str, Any], labels_B: Tensor, seed: int, margin: float
) -> None:
    x_BD = unit_rows(len(labels_B), 3, seed).requires_grad_()
    expected = expected_loss(x_BD, labels_B, margin=margin, **selection)
    found = triplet_loss(x_BD, labels_B, margin=margin, reduction="sum", **selection)
    agree(found, expected)
    (gradient_BD,) = torch.autograd.grad(found.value, x_BD)
    (expected_BD,) = torch.autograd.grad(expected.total, x_BD)
    torch.testing.assert_close(gradient_BD, expected_BD, rtol=1e-9, atol=1e-9)


@named
@examples
@given(labels_B=label_sets, seed=seeds)
def test_ties_and_the_edge_of_the_hinge(path: str, selection: dict[str, Any], labels_B: Tensor, seed: int) -> None:
    """On a coarse grid everything is exact, distances repeat, and many hinges are exactly 0."""
    generator = torch.Generator().manual_seed(seed)
    x_BD = torch.randint(-1, 2, (len(labels_B), 2), generator=generator).float().requires_grad_()
    expected = expected_loss(x_BD, labels_B, margin=1.0, **selection)
    found = triplet_loss(x_BD, labels_B, margin=1.0, reduction="sum", **selection)
    agree(found, expected, rtol=1e-6)
    (gradient_BD,) = torch.autograd.grad(found.value, x_BD)
    (expected_BD,) = torch.autograd.grad(expected.total, x_BD)
    torch.testing.assert_close(gradient_BD, expected_BD, rtol=1e-5, atol=1e-5)


@named
@settings(examples, max_examples=6)
@given(reduction=st.sampled_from(["sum", "mean", "active"]), labels_B=label_sets, seed=seeds)
def test_gradcheck(path: str, selection: dict[str, Any], reduction: Any, labels_B: Tensor, seed: int) -> None:
    x_BD = unit_rows(len(labels_B), 3, seed)
    d_BB = torch.cdist(x_BD, x_BD).square()
    gap_BBB = d_BB[:, :, None] - d_BB[:, None, :]
    assume((gap_BBB.abs() > 1e-4)[:, ~torch.eye(len(d_BB), dtype=torch.bool)].all())  # no kink within reach
    assume(((gap_BBB + 0.2).abs() > 1e-4).all())
    x_BD.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: triplet_loss(x, labels_B, reduction=reduction, **selection).value, x_BD)


@named
def test_reductions(path: str, selection: dict[str, Any]) -> None:
    labels_B = torch.arange(20) // 4
    x_BD = unit_rows(5, 4, seed=1)[labels_B] + 0.4 * unit_rows(20, 4, seed=2)
    expected = expected_loss(x_BD, labels_B, **selection)
    divisors = {"sum": 1, "mean": expected.considered, "active": expected.active}
    assert 1 < expected.active < expected.considered or selection.get("soft")
    for reduction, divisor in divisors.items():
        found = triplet_loss(x_BD, labels_B, reduction=reduction, **selection)  # type: ignore[arg-type]
        torch.testing.assert_close(found.value, expected.total / divisor)


@named
@pytest.mark.parametrize("labels", [[], [3], [3, 3, 3], [1, 2, 3]], ids=["empty", "one", "one-label", "singletons"])
@pytest.mark.parametrize("reduction", ["sum", "mean", "active"])
def test_without_a_triplet(path: str, selection: dict[str, Any], labels: list[int], reduction: Any) -> None:
    x_BD = unit_rows(len(labels), 3, seed=0).requires_grad_()
    found = triplet_loss(x_BD, torch.tensor(labels, dtype=torch.int64), reduction=reduction, **selection)
    assert (found.value.item(), int(found.considered), int(found.active)) == (0, 0, 0)
    found.value.backward()
    assert x_BD.grad is not None
    assert torch.equal(x_BD.grad, torch.zeros_like(x_BD))


LONG = {
    "two": [0] * 150 + [1] * 200,
    "many-and-one": [*range(100), *[100] * 300],
    "mixed": [i % 7**2 % 9 for i in range(300)],
}


@named
@pytest.mark.parametrize("labels", LONG.values(), ids=LONG)
def test_long_tables_parts_and_threads(
    path: str, selection: dict[str, Any], labels: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More thresholds than are compared one by one, more rows than one task takes, in no order."""
    for miner in (_mining, _kernels):
        monkeypatch.setattr(miner, "AT_ONCE", {"cpu": 100_000})
    monkeypatch.setattr(_kernels, "THREADED", 0)
    labels_B = torch.tensor(labels)[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    x_BD = unit_rows(len(labels), 4, seed=3)
    expected = numpy_loss(x_BD, labels_B, **selection)
    agree(triplet_loss(x_BD, labels_B, reduction="sum", **selection), expected)
    found = triplet_loss(x_BD.float(), labels_B, reduction="sum", **selection)
    torch.testing.assert_close(found.value.double(), expected.total, rtol=1e-5, atol=0)


@named
def test_both_paths_pull_alike_whole_and_in_parts(selection: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    labels_B = torch.tensor(LONG["mixed"])
    x_BD = unit_rows(300, 4, seed=5).requires_grad_()
    found, gradients = [], []
    for kernels, at_once in itertools.product([lambda: _kernels, lambda: None], [2**20, 30_000]):
        monkeypatch.setattr(triplets, "_kernels", kernels)
        monkeypatch.setattr(_mining, "AT_ONCE", {"cpu": at_once})
        monkeypatch.setattr(_kernels, "AT_ONCE", {"cpu": at_once})
        found.append(triplet_loss(x_BD, labels_B, **selection))
        gradients.append(torch.autograd.grad(found[-1].value, x_BD)[0])
    for other, gradient_BD in zip(found[1:], gradients[1:], strict=True):
        torch.testing.assert_close(other, found[0])
        torch.testing.assert_close(gradient_BD, gradients[0])


@named
@examples
@given(labels_B=label_sets, references_N=label_sets, seed=seeds)
def test_references(path: str, selection: dict[str, Any], labels_B: Tensor, references_N: Tensor, seed: int) -> None:
    x_BD = unit_rows(len(labels_B), 3, seed).requires_grad_()
    y_ND = unit_rows(len(references_N), 3, seed + 1).requires_grad_()
    rule = {**selection, "reference_ND": y_ND, "reference_labels_N": references_N}
    expected, found = expected_loss(x_BD, labels_B, **rule), triplet_loss(x_BD, labels_B, reduction="sum", **rule)
    agree(found, expected)
    expected_both = torch.autograd.grad(expected.total, (x_BD, y_ND))
    torch.testing.assert_close(torch.autograd.grad(found.value, (x_BD, y_ND)), expected_both, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("reference", [False, True], ids=["learning", "frozen"])
@named
def test_a_stream_may_be_cut_anywhere(path: str, selection: dict[str, Any], reference: bool) -> None:
    """One arrival at a time against a reservoir, or 32: the same sum, the same gradient of weights and reservoir."""
    weights_DD = unit_rows(6, 4, seed=0).requires_grad_()
    arrivals_BD, labels_B = unit_rows(32, 6, seed=1), torch.arange(32) % 5
    reservoir_ND, reservoir_labels_N = unit_rows(40, 4, seed=2).requires_grad_(reference), torch.arange(40) % 6
    gradients = []
    for size in (1, 32):
        totals = [
            triplet_loss(
                torch.nn.functional.normalize(x_BD @ weights_DD), labels, reduction="sum", **selection,
                reference_ND=reservoir_ND, reference_labels_N=reservoir_labels_N,
            ).value
            for x_BD, labels in zip(arrivals_BD.split(size), labels_B.split(size), strict=True)
        ]  # fmt: skip
        leaves = (weights_DD, reservoir_ND) if reference else (weights_DD,)
        gradients.append(torch.autograd.grad(torch.stack(totals).sum(), leaves))
    assert gradients[0][0].abs().max() > 0.1
    torch.testing.assert_close(*gradients)


def test_statistics(path: str) -> None:
    x_BD, labels_B = unit_rows(30, 5, seed=4), torch.arange(30) // 3
    found = triplet_loss(x_BD, labels_B, select="all")
    d_BB = torch.cdist(x_BD, x_BD).square()
    same_BB = labels_B[:, None] == labels_B
    torch.testing.assert_close(found.mean_same, d_BB[same_BB & ~torch.eye(30, dtype=torch.bool)].mean())
    torch.testing.assert_close(found.mean_different, d_BB[~same_BB].mean())
    torch.testing.assert_close(found.spread, (x_BD - x_BD.mean(0)).norm(dim=1).square().mean())
    torch.testing.assert_close(found.spread, d_BB.mean() / 2)  # what the spread is, seen from the pairs


def test_statistics_of_no_pair_are_no_number(path: str) -> None:
    one_label = triplet_loss(unit_rows(4, 3, seed=0), torch.zeros(4, dtype=torch.int64))
    assert one_label.mean_different.isnan()
    assert one_label.mean_same > 0
    assert triplet_loss(unit_rows(4, 3, seed=0), torch.arange(4)).mean_same.isnan()
    assert triplet_loss(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)).spread.isnan()


@pytest.mark.parametrize("spread", [1e-4, 1e-6, 1e-8])
def test_near_a_collapse_fp32_still_tells_who_is_nearest(path: str, spread: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x_BD = unit_rows(1, 32, seed=0) + (spread / 32) ** 0.5 * torch.randn(96, 32, generator=generator).double()
    x_BD, labels_B = x_BD.float(), torch.arange(96) // 8
    found, exact = ((x.requires_grad_(), triplet_loss(x, labels_B)) for x in (x_BD, x_BD.detach().double()))
    assert found[1].spread == pytest.approx(spread, rel=0.2)
    (of_found_BD,), (of_exact_BD,) = (torch.autograd.grad(loss.value, x) for x, loss in (found, exact))
    # A single pair that rounding sends to its next negative is worth 0.05; seen from afar, it would be 0.3 to 2.
    assert (of_found_BD - of_exact_BD).norm() < 0.1 * of_exact_BD.norm()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@named
def test_half_precision_is_compared_in_fp32(path: str, selection: dict[str, Any], dtype: torch.dtype) -> None:
    half_BD, labels_B = unit_rows(24, 8, seed=0, dtype=dtype).requires_grad_(), torch.arange(24) // 4
    full_BD = half_BD.detach().float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        half = triplet_loss(half_BD, labels_B, **selection)
    full = triplet_loss(full_BD, labels_B, **selection)
    assert half.value.dtype == torch.float32
    assert torch.equal(half.value, full.value)
    half.value.backward()
    full.value.backward()
    assert half_BD.grad is not None
    assert full_BD.grad is not None
    assert torch.equal(half_BD.grad, full_BD.grad.to(dtype))


@pytest.mark.parametrize("labels_dtype", [torch.int32, torch.uint8])
def test_labels_of_any_integer_type(path: str, labels_dtype: torch.dtype) -> None:
    x_BD, labels_B = unit_rows(12, 4, seed=0), torch.arange(12) // 3
    assert triplet_loss(x_BD, labels_B.to(labels_dtype)).value == triplet_loss(x_BD, labels_B).value


def test_the_order_of_a_batch_does_not_matter(path: str) -> None:
    x_BD, labels_B = unit_rows(40, 6, seed=0), torch.arange(40) // 4
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    for selection in SELECTIONS:
        agree_again = triplet_loss(x_BD[order], labels_B[order] * -7, **selection)
        torch.testing.assert_close(agree_again, triplet_loss(x_BD, labels_B, **selection))


@named
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_what_is_not_finite_is_not_hidden(path: str, selection: dict[str, Any], broken: float) -> None:
    x_BD, labels_B = unit_rows(12, 4, seed=0), torch.arange(12) // 3
    x_BD[5, 2] = broken
    assert not triplet_loss(x_BD, labels_B, **selection).value.isfinite()


def test_a_gradient_of_the_gradient_is_refused(path: str) -> None:
    x_BD = unit_rows(12, 4, seed=0).requires_grad_()
    value = triplet_loss(x_BD, torch.arange(12) // 3).value
    with pytest.raises(UserError, match=r"the gradient of triplet_loss has no gradient. Leave out create_graph."):
        torch.autograd.grad(value, x_BD, create_graph=True)


def test_no_gradient_where_none_is_asked_for(path: str) -> None:
    x_BD, labels_B = unit_rows(12, 4, seed=0).requires_grad_(), torch.arange(12) // 3
    with torch.no_grad():
        assert not triplet_loss(x_BD, labels_B).value.requires_grad
    assert not triplet_loss(x_BD.detach(), labels_B).value.requires_grad
    found = triplet_loss(x_BD, labels_B)
    assert [part.requires_grad for part in found] == [True, False, False, False, False, False]


def test_embeddings_are_left_as_they_were(path: str) -> None:
    x_BD, labels_B = 5 + unit_rows(12, 4, seed=0), torch.arange(12) // 3
    kept_BD, kept_B = x_BD.clone(), labels_B.clone()
    for selection in SELECTIONS:
        triplet_loss(x_BD, labels_B, **selection)
    assert torch.equal(x_BD, kept_BD)
    assert torch.equal(labels_B, kept_B)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@named
@pytest.mark.parametrize("labels", LONG.values(), ids=LONG)
def test_cuda_finds_what_the_cpu_finds(selection: dict[str, Any], labels: list[int]) -> None:
    results, gradients = [], []
    for device in ("cpu", "cuda"):
        x_BD = unit_rows(len(labels), 16, seed=0).to(device).requires_grad_()
        found = triplet_loss(x_BD, torch.tensor(labels, device=device), **selection)
        gradients.append(torch.autograd.grad(found.value, x_BD)[0].cpu())
        results.append(TripletResult(*(part.detach().cpu() for part in found)))
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*gradients)


def test_what_the_user_reads() -> None:
    x_BD, labels_B = unit_rows(4, 3, seed=0), torch.tensor([0, 0, 1, 1])
    loss = inspect.unwrap(triplet_loss)  # tests check types before the function would
    with pytest.raises(RecipeError, match=r"there is no select semi-hard. Did you mean semihard?"):
        loss(x_BD, labels_B, select="semi-hard")
    with pytest.raises(RecipeError, match=r"there is no reduction total. Known: active, mean, sum."):
        loss(x_BD, labels_B, reduction="total")
    with pytest.raises(RecipeError, match=r"soft is not for select all. Take select batch-hard."):
        loss(x_BD, labels_B, select="all", soft=True)
    with pytest.raises(UserError, match=r"embeddings of shape \(4, 3\) do not go with labels of shape \(3,\)"):
        loss(x_BD, labels_B[:3])
    with pytest.raises(UserError, match=r"references and their labels go together. Give both, or neither."):
        loss(x_BD, labels_B, reference_ND=x_BD)
    with pytest.raises(UserError, match=r"references of shape \(4, 2\) cannot be compared with \(4, 3\)"):
        loss(x_BD, labels_B, reference_ND=x_BD[:, :2], reference_labels_N=labels_B)


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        (
            {"labels_B": [0, 0, 1, 1]},
            UserError,
            "labels are a tensor of integers, not list. Give torch.as_tensor(labels)",
        ),
        (
            {"labels_B": torch.ones(4)},
            UserError,
            "labels are a tensor of integers, not torch.float32. Give torch.as_te",
        ),
        (
            {"embeddings_BD": np.eye(4)},
            UserError,
            "embeddings are a tensor of floats, not ndarray. Give torch.as_tensor",
        ),
        ({"embeddings_BD": torch.eye(4).long()}, UserError, "embeddings are a tensor of floats, not torch.int64."),
        ({"reference_ND": [[1.0]]}, UserError, "references are a tensor of floats, not list."),
        (
            {"reference_labels_N": torch.ones(4)},
            UserError,
            "labels of references are a tensor of integers, not torch.fl",
        ),
        ({"margin": -0.1}, RecipeError, "the margin -0.1 is not 0 or more. Take margin 0.2."),
        ({"margin": float("nan")}, RecipeError, "the margin nan is not 0 or more."),
    ],
)
def test_what_is_no_tensor_of_its_kind_is_refused(changed: dict[str, Any], kind: type[Exception], said: str) -> None:
    given = {"embeddings_BD": torch.eye(4), "labels_B": torch.tensor([0, 0, 1, 1])}
    given |= {"reference_ND": torch.eye(4), "reference_labels_N": torch.tensor([0, 0, 1, 1])}
    with pytest.raises(kind) as error:
        inspect.unwrap(triplet_loss)(**given | changed)
    assert str(error.value).startswith(f"triplet_loss: {said}")
