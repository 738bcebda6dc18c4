"""Where the arithmetic runs, and what it can do there."""

import os

import torch

from firstsight.errors import UserError


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
        raise UserError(f"There is no device {name} here: {reason}.", hint="Try --device auto.") from error
    return device


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 here: AVX512-BF16, AMX or a GPU of compute capability 8."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
