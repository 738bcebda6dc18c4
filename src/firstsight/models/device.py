"""Where the arithmetic runs, and what it can do there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from threadpoolctl import threadpool_limits
from torch import nn

from firstsight.errors import UserError

Precision = Literal["fp32", "bf16"]

ONE_THREAD = 2**24
"""Products of a weight with an example: with fewer in an update, threads take longer to meet than to compute. Where
another process has a core, they wait for it: measured, 176 us with one thread, 2,400 with two."""


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU. Of several GPUs, each rank of a machine takes its own.

    Raises:
        UserError: no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        if reason.startswith("Expected one of"):  # and all of two dozen kinds
            reason = "it is of no kind that torch knows"
        raise UserError(f"There is no device {name} here: {reason}.", hint="Try --device auto.") from error
    return device


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 here: AVX512-BF16, AMX or a GPU of compute capability 8."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def prefers_bf16(network: nn.Module, device: torch.device) -> bool:
    """Whether training is faster in bf16: for convolutions, where the hardware computes in it.

    Small matrices gain nothing, and numbers to be predicted need their digits.
    """
    return _convolves(network) and fast_bfloat16(device)


@contextmanager
def fitting_threads(network: nn.Module, examples: int) -> Iterator[None]:
    """One thread while the block runs, if batches of so many examples are too little work for more."""
    products = examples * sum(weight.numel() for weight in network.parameters())
    if products >= ONE_THREAD or _convolves(network):
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def _convolves(network: nn.Module) -> bool:
    return any(isinstance(layer, nn.Conv2d) for layer in network.modules())
