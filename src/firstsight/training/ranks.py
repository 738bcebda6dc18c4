"""Several processes, one batch: `torchrun --nproc-per-node 2 -m firstsight train ...`.

Each rank puts its share of a batch through its own copy of the network. The outputs of all ranks form ONE batch for
the loss, so negatives come from everywhere; each rank then propagates the gradient at its own outputs, and the
gradients of the weights are summed. With one rank every function here gives back what it got.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from firstsight.errors import TrainingError


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def rank_count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def joined_ranks(device: torch.device) -> Iterator[None]:
    """Meet the other ranks where torchrun started several, and part from them at the end.

    Raises:
        TrainingError: another rank died.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    except RuntimeError as error:
        if "Connection" in str(error) or "Gloo" in str(error) or "NCCL" in str(error):
            raise TrainingError(
                f"Rank {rank()} stops, since another rank died.",
                hint="Look above for its message, then repeat the command with --resume.",
            ) from error
        raise
    finally:
        dist.destroy_process_group()


def own_share(indices_B: Tensor) -> Tensor:
    """This rank's part of a batch: as near to equal parts as can be, in order."""
    return indices_B.tensor_split(rank_count())[rank()] if rank_count() > 1 else indices_B


class _Gather(torch.autograd.Function):
    """All ranks' rows in rank order; backward hands each rank the gradient of its own rows.

    Every rank computes the whole loss, so no gradient need travel here: what differs between ranks is summed over
    the weights.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, own_BO: Tensor) -> Tensor:
        counts = torch.zeros(rank_count(), dtype=torch.int64, device=own_BO.device)
        counts[rank()] = len(own_BO)
        dist.all_reduce(counts)
        longest = int(counts.max())
        padded = own_BO.new_zeros((longest, *own_BO.shape[1:]))
        padded[: len(own_BO)] = own_BO
        parts = [torch.empty_like(padded) for _ in range(rank_count())]
        dist.all_gather(parts, padded)
        ctx.start = int(counts[: rank()].sum())  # type: ignore[attr-defined]
        ctx.length = len(own_BO)  # type: ignore[attr-defined]
        return torch.cat([part[:count] for part, count in zip(parts, counts.tolist(), strict=True)])

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        return gradients[0][ctx.start : ctx.start + ctx.length]  # type: ignore[attr-defined]


def gathered(own: Tensor) -> Tensor:
    """The rows of all ranks, in rank order. The gradient reaches this rank's rows."""
    if rank_count() == 1:
        return own
    whole: Tensor = _Gather.apply(own)  # type: ignore[no-untyped-call]
    return whole


def summed_over_ranks(network: nn.Module) -> None:
    """Sum the gradients of the weights over the ranks: that of the whole batch, since each rank saw its own share."""
    if rank_count() == 1:
        return
    weights = [p for p in network.parameters() if p.requires_grad]
    # a rank without a share of this batch has no gradient, and adds nothing
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in weights])
    dist.all_reduce(flat)
    for weight, part in zip(weights, flat.split([p.numel() for p in weights]), strict=True):
        weight.grad = part.view_as(weight)
