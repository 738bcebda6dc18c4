"""What hardware is used for what: precision and threads."""

import pytest
import torch
from threadpoolctl import threadpool_info
from torch import nn

from firstsight.models import device
from firstsight.models.device import ONE_THREAD, fitting_threads, pick_precision

CPU = torch.device("cpu")
CONV, LINEAR = nn.Sequential(nn.Conv2d(1, 2, 3)), nn.Linear(10, 10, bias=False)


@pytest.mark.parametrize(
    ("name", "network", "fast", "expected"),
    [
        ("auto", CONV, True, "bf16"),
        ("auto", CONV, False, "fp32"),
        ("auto", LINEAR, True, "fp32"),
        ("fp32", CONV, True, "fp32"),
        ("bf16", LINEAR, False, "bf16"),
    ],
)
def test_auto_is_bf16_where_it_is_faster(
    name: str, network: nn.Module, fast: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "fast_bfloat16", lambda device: fast)
    assert pick_precision(name, network, CPU) == expected


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
    blas = blas_threads()
    try:
        with fitting_threads(network, examples):
            assert torch.get_num_threads() == (1 if alone else 3)
            assert not alone or set(blas_threads()) == {1}
        assert torch.get_num_threads() == 3
        assert blas_threads() == blas
    finally:
        torch.set_num_threads(before)
