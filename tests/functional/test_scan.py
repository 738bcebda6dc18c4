"""Scores of templates: against whole numbers, with and without torch's product of int8."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from firstsight.functional import scan

SIZE = 128
works = scan.multiplies_int8.__wrapped__  # not cached


@pytest.fixture(params=["int8", "fp32"], scope="module")
def product(request: pytest.FixtureRequest) -> Iterator[str]:
    """int8 where this machine has it."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "fp32":
            patch.setattr(scan, "multiplies_int8", lambda size: False)
        yield request.param


def scored(q_MD: torch.Tensor, q_ND: torch.Tensor, scale_N: torch.Tensor) -> np.ndarray:
    out_MN = torch.empty(len(q_MD), len(q_ND) + 1)[:, :-1]  # rows with a gap between them
    scan.template_scores(q_MD, q_ND, scale_N, out_MN)
    return out_MN.numpy()


@given(st.integers(1, 40), st.integers(1, 300), st.integers(1, 1024), st.integers(0, 2**31))
def test_scores_are_rounded_once_from_whole_numbers(product: str, M: int, N: int, D: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    q, r = (generator.choice([-128, -1, 1, 127], (rows, D)).astype(np.int8) for rows in (M, N))
    scale = generator.random(N, np.float32)
    expected = (q.astype(np.int64) @ r.T.astype(np.int64)).astype(np.float32) * scale
    np.testing.assert_array_equal(scored(*map(torch.from_numpy, (q, r, scale))), expected)


@pytest.mark.parametrize("size", [1025, 4096])
def test_longer_templates_are_scored_as_well_as_fp32_can(product: str, size: int) -> None:
    generator = np.random.default_rng(0)
    q, r = (generator.integers(90, 128, (rows, size), np.int8) for rows in (3, 50))
    expected = q.astype(np.float64) @ r.T.astype(np.float64)
    found = scored(torch.from_numpy(q), torch.from_numpy(r), torch.ones(50))
    assert (np.abs(found - expected) <= size * 2.0**-24 * expected).all()


def test_more_templates_than_are_multiplied_at_a_time(product: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "BLOCK", 8)
    monkeypatch.setattr(scan, "DOTS", 36)
    q_ND = torch.randint(-128, 128, (29, 16), dtype=torch.int8)
    for probes in (1, 3, 29):
        expected = q_ND[:probes].long() @ q_ND.long().T
        np.testing.assert_array_equal(scored(q_ND[:probes], q_ND, torch.ones(29)), expected.numpy())


@pytest.mark.parametrize("how", ["expanded", "transposed", "every second", "stride 0"])
def test_probes_however_they_lie_in_memory(product: str, how: str) -> None:
    wide = torch.randint(-128, 128, (64, 64), dtype=torch.int8)
    q_MD = {
        "expanded": wide[0].expand(3, -1),
        "transposed": wide.T[:5],
        "every second": torch.cat([wide, wide], 1)[::2, ::2],
        "stride 0": wide.as_strided((1, 64), (0, 1)),
    }[how]
    np.testing.assert_array_equal(scored(q_MD, wide, torch.ones(64)), (q_MD.long() @ wide.long().T).numpy())


def has_vnni() -> bool:
    return bool(torch.cpu.get_capabilities().get("avx512_vnni"))


@pytest.mark.skipif(not has_vnni(), reason="a processor without AVX512-VNNI")
def test_this_torch_multiplies_int8() -> None:
    """If this fails, `torch._int_mm` is gone or wrong: searches are right still, and four times slower."""
    assert works(SIZE)


def absent(patch: pytest.MonkeyPatch) -> None:
    patch.delattr(torch, "_int_mm")


def refusing(patch: pytest.MonkeyPatch) -> None:
    def refuse(a: Any, b: Any) -> Any:
        raise RuntimeError("int_mm: not implemented")

    patch.setattr(torch, "_int_mm", refuse)


def saturating(patch: pytest.MonkeyPatch) -> None:
    """As oneDNN without VNNI: sums of two products in 16 bits."""

    def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        pairs = (a.long()[:, :, None] * b.long()).unflatten(1, (-1, 2)).sum(2).clamp(-(2**15), 2**15 - 1)
        return pairs.sum(1).int()

    patch.setattr(torch, "_int_mm", product)


def untouched(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch, "_int_mm", lambda a, b: torch.zeros(len(a), b.shape[1], dtype=torch.int32))


def without_vnni(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "arm64"})


@pytest.mark.parametrize("broken", [absent, refusing, saturating, untouched, without_vnni])
def test_a_product_that_is_absent_or_wrong_is_done_without(broken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch)
    if broken is not without_vnni:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": True})
    assert not works(SIZE)


@pytest.mark.parametrize("size", [1, 2**17])
def test_lengths_that_it_misreads_or_overflows_are_left_to_fp32(size: int) -> None:
    assert not works(size)
