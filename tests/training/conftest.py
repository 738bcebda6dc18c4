"""One nursery of processes for all tests of this room, and one thread: these networks are too small to share."""

from collections.abc import Iterator

import pytest
import torch
from processes import Nursery, nursery


@pytest.fixture(scope="session")
def children() -> Iterator[Nursery]:
    with nursery() as opened:
        yield opened


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
