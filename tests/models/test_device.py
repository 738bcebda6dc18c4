"""What hardware is used for what: precision and threads."""

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn

from firstsight.models import device
from firstsight.models.device import ONE_THREAD, fitting_threads, prefers_bf16

CPU = torch.device("cpu")
CONV, LINEAR = nn.Sequential(nn.Conv2d(1, 2, 3)), nn.Linear(10, 10, bias=False)


@pytest.mark.parametrize(
    ("network", "fast", "expected"), [(CONV, True, True), (CONV, False, False), (LINEAR, True, False)]
)
def test_bf16_is_for_convolutions_where_it_is_faster(
    network: nn.Module, fast: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "fast_bfloat16", lambda device: fast)
    assert prefers_bf16(network, CPU) == expected


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.mark.parametrize(
    ("network", "examples", "alone"),
    [(LINEAR, ONE_THREAD // 100 - 1, True), (LINEAR, ONE_THREAD // 100 + 1, False), (CONV, 1, False)],
    ids=["small", "large", "convolutions"],
)
def test_little_work_is_for_one_thread(network: nn.Module, examples: int, alone: bool) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with threadpool_limits(2, user_api="blas"):
            assert set(blas_threads()) == {2}
            with fitting_threads(network, examples):
                assert torch.get_num_threads() == (1 if alone else 3)
                assert set(blas_threads()) == ({1} if alone else {2})
            assert torch.get_num_threads() == 3
            assert set(blas_threads()) == {2}
    finally:
        torch.set_num_threads(before)
