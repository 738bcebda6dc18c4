"""Several processes, one batch: `torchrun --nproc-per-node 2 -m firstsight train ...`.

Each rank puts its share of a batch through its own copy of the network. The outputs of all ranks form ONE batch for
the loss, so negatives come from everywhere; each rank then propagates the gradient at its own outputs, and the
gradients of the weights are summed. With one rank every function here gives back what it got.

Batch normalization sees each rank's share by itself, so its gradient depends on the number of ranks, and the model gets
the running statistics of rank 0. `norm = "group"` keeps the result that of one rank. Dropout draws on each rank anew.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from firstsight.errors import TrainingError

Gradients = Sequence[Tensor | None]
"""One for each weight; None where the loss does not depend on it."""


def rank() -> int:
    """This process's number, from 0; known before the ranks meet and after they part."""
    if dist.is_initialized():
        return dist.get_rank()
    return int(os.environ.get("RANK", "0")) if started_by_torchrun() else 0


def rank_count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def joined_ranks(device: torch.device) -> Iterator[None]:
    """Meet the other ranks where torchrun started several, and part from them at the end.

    Raises:
        TrainingError: another rank died.
    """
    if not started_by_torchrun() or dist.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
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


def own_share(count: int) -> slice:
    """This rank's part of a batch of `count`: as near to equal parts as can be, in order."""
    ranks = rank_count()
    return slice(count * rank() // ranks, count * (rank() + 1) // ranks) if ranks > 1 else slice(0, count)


def same_start(network: nn.Module, place: int) -> None:
    """Give every rank the weights of rank 0, and make sure that all go on from the same place of the run.

    Raises:
        TrainingError: they do not, since some do not see the checkpoint.
    """
    if rank_count() == 1:
        return
    device = next(network.parameters()).device
    places = torch.zeros(rank_count(), dtype=torch.int64, device=device)
    places[rank()] = place
    dist.all_reduce(places)
    if len(places.unique()) > 1:
        raise TrainingError(
            f"Ranks go on from different updates: {places.tolist()}.",
            hint="Put the run folder on a disk that all machines share.",
        )
    with torch.no_grad():
        for tensor in network.state_dict().values():
            dist.broadcast(tensor, 0)


def from_first(figure: float) -> float:
    """What rank 0 found, on every rank, so that all decide alike."""
    if rank_count() == 1:
        return figure
    found = [figure]
    dist.broadcast_object_list(found)
    return found[0]


def any_rank(mine: bool, device: torch.device) -> bool:
    """Whether it is so on any rank."""
    if rank_count() == 1:
        return mine
    count = torch.tensor(int(mine), device=device)
    dist.all_reduce(count)
    return bool(count)


def started_by_torchrun() -> bool:
    """Whether torchrun, or whatever sets the same variables, started several processes."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


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


def summed_over_ranks(weights: Sequence[Tensor], gradients: Gradients) -> Gradients:
    """The gradients of the whole batch, since each rank saw its own share. None where a weight had no part."""
    if rank_count() == 1:
        return gradients
    # a rank without a share of this batch has no gradient, and adds nothing
    own = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, gradients, strict=True)]
    flat = torch.cat([gradient.flatten() for gradient in own])
    dist.all_reduce(flat)
    return [
        part.view_as(weight) for weight, part in zip(weights, flat.split([w.numel() for w in weights]), strict=True)
    ]
