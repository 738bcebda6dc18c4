"""The compiled path as a part: chosen by itself, done without, entered by many."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numba.core.caching
import pytest
import torch

from firstsight.functional import _kernels, _mining, triplets
from firstsight.functional.triplets import triplet_loss


def test_the_cpu_takes_the_kernels_and_other_devices_the_plain_path() -> None:
    assert triplets._miner("cpu") is _kernels
    assert triplets._miner("cuda") is _mining


def test_without_numba_the_plain_path_is_taken() -> None:
    script = (
        "import sys; sys.modules['numba'] = None\n"
        "import torch; from firstsight.functional import triplets\n"
        "loss = triplets.triplet_loss(torch.eye(4), torch.tensor([0, 0, 1, 1]), margin=0.25, select='all')\n"
        "print(triplets._miner('cpu').__name__, loss.value.item())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["firstsight.functional._mining", "0.25"]
    assert not done.stderr


def test_import_takes_neither_numba_nor_time_to_compile() -> None:
    script = "import sys; import firstsight.functional.triplets; print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout == b"False\n"


def test_where_no_folder_can_be_written_kernels_are_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator available"):
        numba.njit(cache=True)(_kernels.first_nearest.py_func)
    assert _kernels.compiled(_kernels.first_nearest.py_func)(torch.tensor([3.0, 1.0, 2.0]).numpy()) == 1


def test_several_callers_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kernels, "THREADED", 0)
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(300, 8, generator=generator) for _ in range(8)]
    labels_B = torch.arange(300) // 6
    one_by_one = [triplet_loss(x_BD, labels_B).value for x_BD in batches]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda x_BD: triplet_loss(x_BD, labels_B).value, batches))
    assert together == one_by_one


def test_the_number_of_threads_does_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kernels, "THREADED", 0)
    x_BD, labels_B = torch.randn(500, 8, generator=torch.Generator().manual_seed(0)), torch.arange(500) // 5
    d_BB = torch.cdist(x_BD, x_BD)
    members = _mining.members_of(labels_B, None, torch.device("cpu"))
    threads = torch.get_num_threads()
    results = []
    for count in (1, 3):
        torch.set_num_threads(count)
        results.append(_kernels.mine(d_BB.clone(), members, _mining.Rule(0.2, "all", "skip", False)))
    torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
