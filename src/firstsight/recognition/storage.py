"""The seam between the gallery and its database: what each storage must do. M probes, D their length.

One contract test suite (tests/recognition/test_gallery_contract.py) holds them all to it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import sqlalchemy as sa
from jaxtyping import Int8
from torch import Tensor

Nearest = Callable[[sa.Connection, Int8[Tensor, "M D"], int], list[list[tuple[int, float]]]]


@runtime_checkable
class Storage(Protocol):
    """One database in the newest format. Every method raises StorageError where the database fails."""

    where: str
    """Its name in messages: never with a password."""
    erased_from: tuple[str, ...]
    """Beside the tables themselves: where nothing is left of deleted rows after `erase`."""
    left_in: tuple[str, ...]
    """Where something may be left of them, that only the administrator can erase."""

    @property
    def nearest(self) -> Nearest | None:
        """`Index.search` by the database itself, in place of an index in memory, if its URL asks for that."""

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """A consistent view of the database while the block runs."""

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """A transaction: all that the block wrote is on the disk afterwards, or nothing if it raised."""

    def changed(self) -> bool:
        """May anything have been committed, by anyone, since this was asked last?"""

    def erase(self, *, patient: bool = True) -> None:
        """Overwrite what deleted rows have left behind, after waiting for others if `patient`.

        Raises:
            StorageError: another program holds on to it.
        """

    def close(self) -> None: ...
