"""Scores of int8 templates, to find out quickly who may be near. M probes, N templates, D their length."""

import functools
import itertools
from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float, Int8
from torch import Tensor

BLOCK = 4096  # templates multiplied at a time: in fp32, what a core's cache holds
DOTS = 2**18  # or as many as give so many dot products, where that is more
ROUNDED = 2**16  # or so many, where they are rounded
FEW = 4  # probes: for more, turning templates to fp32 once for all of them is faster than to round
FEWER = 2  # probes: for more, multiplying int8 is faster than to round
INT32_EXACT_DIM = 2**17 - 1  # sums of D products of int8, at most 128² each, are below 2³¹
ALIGNED = 64  # bytes: what reads templates as vectors must find them at a multiple of it
BF16 = 2.0**-8  # what rounding to bf16 takes off a number or adds to it at most, as a share of it

Product = Literal["int8", "bf16", "fp32"]


def template_scores(
    q_MD: Int8[Tensor, "M D"], q_ND: Int8[Tensor, "N D"], scale_N: Float[Tensor, "N"], out_MN: Float[Tensor, "M N"]
) -> None:
    """out = ⟨q, r⟩ · scale, fp32: with the scale 1/‖r‖, the nearer a template, the higher its score.

    Dot products up to 2²⁴ are exact, beyond they are as good as an fp32 sum of D terms; but see `most_rounded`.
    """
    product = product_of(*q_MD.shape)
    if product == "int8":
        whole_MD = torch.empty(q_MD.shape, dtype=torch.int8).copy_(q_MD)  # a row of stride 0 would be misread
        for rows in _blocks(len(q_ND), max(BLOCK, DOTS // len(q_MD))):
            torch.mul(torch._int_mm(whole_MD, q_ND[rows].T), scale_N[rows], out=out_MN[:, rows])
    elif product == "bf16" and q_ND.is_contiguous() and q_ND.data_ptr() % ALIGNED == 0:
        x_MD, one_N = q_MD.bfloat16(), torch.ones(ROUNDED, dtype=torch.bfloat16)  # of int8 bf16 loses nothing
        for rows in _blocks(len(q_ND), ROUNDED):
            dot_MN = torch._weight_int8pack_mm(x_MD, q_ND[rows], one_N[: len(q_ND[rows])])
            torch.mul(dot_MN, scale_N[rows], out=out_MN[:, rows])
    else:
        x_MD = q_MD.float()  # below 256, so that products stay exact even where matmul is set to bf16
        with torch.autocast("cpu", enabled=False):
            for rows in _blocks(len(q_ND), BLOCK):
                torch.mm(x_MD, q_ND[rows].float().T, out=out_MN[:, rows])
        out_MN.mul_(scale_N)


def product_of(probes: int, size: int) -> Product:
    """How so many probes are multiplied with templates of this length, here: the fastest way there is."""
    whole: Product = "int8" if multiplies_int8(size) else "fp32"
    few = FEWER if whole == "int8" else FEW
    return "bf16" if probes <= few and rounds_to_bf16(size) else whole


def most_rounded(probes: int, size: int) -> float:
    """How far a score may be off at most because dot products are rounded, as a share of ‖q‖."""
    return BF16 if product_of(probes, size) == "bf16" else 0.0


@functools.cache
def multiplies_int8(size: int) -> bool:
    """Whether this torch, on this processor, multiplies templates of this length as they are: fast, and exactly.

    `torch._int_mm` is not of torch's public interface. Without VNNI it is slow (and in some versions wrong), and in
    some it misreads matrices of one column: so it is tried first, on the largest products there are.
    """
    if not hasattr(torch, "_int_mm") or not torch.cpu.get_capabilities().get("avx512_vnni"):
        return False
    if not 2 <= size <= INT32_EXACT_DIM:
        return False
    q_ND = _largest(size)
    try:
        return all(
            torch.equal(torch._int_mm(q_ND[:m].clone(), q_ND[:n].T).long(), q_ND[:m].long() @ q_ND[:n].long().T)
            for m in (1, 2, 99)
            for n in (1, 2, 99)
        )
    except RuntimeError:
        return False


@functools.cache
def rounds_to_bf16(size: int) -> bool:
    """Whether this torch, on this processor, multiplies a few probes with templates as they are, in fp32, and rounds
    the sums to bf16: in a third of the time that it takes to turn templates to fp32.

    `torch._weight_int8pack_mm` is not of torch's public interface, and slow without AVX2: so it is tried first. It ends
    the process where a row does not begin at a multiple of what it reads at a time.
    """
    if not hasattr(torch, "_weight_int8pack_mm") or not torch.cpu.get_capabilities().get("avx2"):
        return False
    if size % ALIGNED or not size:
        return False
    q_ND = torch.cat([_largest(size), torch.arange(-128, 128, dtype=torch.int8).repeat(size)[: 64 * size].view(64, -1)])
    one_N = torch.ones(len(q_ND), dtype=torch.bfloat16)
    try:
        for m, n in itertools.product((1, 2, FEW), (1, 2, 7, len(q_ND))):
            exact_MN = q_ND[-m:].double() @ q_ND[:n].double().T
            found_MN = torch._weight_int8pack_mm(q_ND[-m:].bfloat16(), q_ND[:n], one_N[:n])
            if not ((found_MN - exact_MN).abs() <= (BF16 + size * 2.0**-24) * exact_MN.abs()).all():
                return False
    except RuntimeError:
        return False
    return True


def _largest(size: int) -> Int8[Tensor, "N D"]:
    """Templates whose products are the largest there are."""
    generator = torch.Generator().manual_seed(size)
    signs_ND = torch.randint(0, 2, (33, size), generator=generator, dtype=torch.int8).mul_(-2).add_(1)
    return torch.cat([signs_ND * 127, signs_ND.abs() * 127, torch.full_like(signs_ND, -128)])


def _blocks(count: int, rows: int) -> Iterator[slice]:
    return (slice(start, start + rows) for start in range(0, count, rows))
