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
rounds = scan.rounds_to_bf16.__wrapped__


@pytest.fixture(params=["int8", "fp32"], scope="module")
def product(request: pytest.FixtureRequest) -> Iterator[str]:
    """int8 where this machine has it. Nothing is rounded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "rounds_to_bf16", lambda size: False)
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


@pytest.fixture
def rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    if not rounds(SIZE):
        pytest.skip("a processor without AVX2")
    monkeypatch.setattr(scan, "multiplies_int8", lambda size: False)
    monkeypatch.setattr(scan, "rounds_to_bf16", lambda size: True)


@pytest.mark.parametrize(("M", "N"), [(1, 1), (1, 300), (2, 67), (3, 6), (4, 301)])
@pytest.mark.parametrize("D", [64, 128, 192, 1024])
def test_a_rounded_score_is_off_by_no_more_than_is_said(rounding: None, M: int, N: int, D: int) -> None:
    generator = np.random.default_rng(D + N)
    q, r = (generator.integers(-128, 128, (rows, D)).astype(np.int8) for rows in (M, N))
    exact = q.astype(np.float64) @ r.T.astype(np.float64)
    held = torch.empty(N, D, dtype=torch.int8).copy_(torch.from_numpy(r))
    found = scored(torch.from_numpy(q), held, torch.from_numpy(1 / np.linalg.norm(r, axis=1)).float())
    off = np.abs(found - exact / np.linalg.norm(r, axis=1)) / np.linalg.norm(q.astype(float), axis=1)[:, None]
    assert off.max() <= scan.most_rounded(M, D) + (D + 8) * 2.0**-23
    assert scan.most_rounded(5, D) == 0


def test_templates_that_lie_askew_are_turned_to_fp32(rounding: None) -> None:
    """What reads sixteen at a time would end the process."""
    room = torch.randint(-128, 128, (70 * SIZE + 7,), dtype=torch.int8)
    for q_ND in (room[1 : 69 * SIZE + 1].view(69, SIZE), room[: 70 * SIZE].view(70, SIZE)[::2]):
        expected = q_ND[:2].long() @ q_ND.long().T
        np.testing.assert_array_equal(scored(q_ND[:2], q_ND, torch.ones(len(q_ND))), expected.numpy())


def has_vnni() -> bool:
    return bool(torch.cpu.get_capabilities().get("avx512_vnni"))


@pytest.mark.skipif(not has_vnni(), reason="a processor without AVX512-VNNI")
def test_this_torch_multiplies_int8() -> None:
    """If this fails, `torch._int_mm` is gone or wrong: searches are right still, and four times slower."""
    assert works(SIZE)


@pytest.mark.skipif(not torch.cpu.get_capabilities().get("avx2"), reason="a processor without AVX2")
def test_this_torch_rounds_to_bf16() -> None:
    """If this fails, `torch._weight_int8pack_mm` is gone or wrong: searches are right still, and three times slower."""
    assert rounds(SIZE)
    assert not any(map(rounds, (0, 1, 8, 100, 129)))


@pytest.mark.parametrize("share", [0, 2.0**-7, -1, np.nan])
def test_a_product_that_rounds_too_much_is_done_without(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(x_MD: torch.Tensor, q_ND: torch.Tensor, one_N: torch.Tensor) -> torch.Tensor:
        return (x_MD.double() @ q_ND.double().T * (1 + share)).float()

    monkeypatch.setattr(torch, "_weight_int8pack_mm", wrong)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert rounds(SIZE) is (share == 0)


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
