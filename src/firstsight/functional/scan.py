"""Scores of int8 templates, to find out quickly who may be near. M probes, N templates, D their length."""

import functools
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int8
from torch import Tensor

BLOCK = 4096  # templates multiplied at a time: in fp32, what a core's cache holds
DOTS = 2**18  # or as many as give so many dot products, where that is more
INT32_EXACT_DIM = 2**17 - 1  # sums of D products of int8, at most 128² each, are below 2³¹


def template_scores(
    q_MD: Int8[Tensor, "M D"], q_ND: Int8[Tensor, "N D"], scale_N: Float[Tensor, "N"], out_MN: Float[Tensor, "M N"]
) -> None:
    """out = ⟨q, r⟩ · scale, fp32: with the scale 1/‖r‖, the nearer a template, the higher its score.

    Dot products up to 2²⁴ are exact. Beyond, they are as good as an fp32 sum of D terms.
    """
    if multiplies_int8(q_MD.shape[1]):
        whole_MD = torch.empty(q_MD.shape, dtype=torch.int8).copy_(q_MD)  # a row of stride 0 would be misread
        for rows in _blocks(len(q_ND), max(BLOCK, DOTS // len(q_MD))):
            torch.mul(torch._int_mm(whole_MD, q_ND[rows].T), scale_N[rows], out=out_MN[:, rows])
    else:
        x_MD = q_MD.float()  # below 256, so that products stay exact even where matmul is set to bf16
        with torch.autocast("cpu", enabled=False):
            for rows in _blocks(len(q_ND), BLOCK):
                torch.mm(x_MD, q_ND[rows].float().T, out=out_MN[:, rows])
        out_MN.mul_(scale_N)


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
    generator = torch.Generator().manual_seed(size)
    signs_ND = torch.randint(0, 2, (33, size), generator=generator, dtype=torch.int8).mul_(-2).add_(1)
    q_ND = torch.cat([signs_ND * 127, signs_ND.abs() * 127, torch.full_like(signs_ND, -128)])
    try:
        return all(
            torch.equal(torch._int_mm(q_ND[:m].clone(), q_ND[:n].T).long(), q_ND[:m].long() @ q_ND[:n].long().T)
            for m in (1, 2, 99)
            for n in (1, 2, 99)
        )
    except RuntimeError:
        return False


def _blocks(count: int, rows: int) -> Iterator[slice]:
    return (slice(start, start + rows) for start in range(0, count, rows))
