"""The backups and exports of a gallery that are known of: who is forgotten may still be in them."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import sqlalchemy as sa

from firstsight.recognition.rows import iso, lock, now
from firstsight.recognition.schema import copies, identities
from firstsight.recognition.storage import Storage

Kind = Literal["backup", "export"]

_UNDER_WAY = 2**31 - 1  # the newest identity of a copy that is not whole yet: anyone may be in it


class Copy(NamedTuple):
    """A file that holds what the gallery holds, or held; `made_at` is UTC, ISO 8601."""

    path: str
    kind: str
    made_at: str


@dataclasses.dataclass
class Making:
    """A copy that is being made; `newest` is the newest identity that was read for it."""

    newest: int = 0


@contextmanager
def making_copy(storage: Storage, kind: Kind, path: str) -> Iterator[Making]:
    """Remember a copy before the block reads the gallery, so that nobody is forgotten meanwhile without a word of it;
    in place of an earlier one at the same path, once it is whole. One that fails is not remembered."""
    with storage.writing() as connection:
        lock(connection)
        number = note_copy(connection, kind, path, newest=_UNDER_WAY)
    made = Making()
    try:
        yield made
    except BaseException:
        with storage.writing() as connection:
            connection.execute(sa.delete(copies).where(copies.c.id == number))
        raise
    with storage.writing() as connection:
        connection.execute(sa.delete(copies).where(copies.c.path == path, copies.c.id != number))
        connection.execute(sa.update(copies).where(copies.c.id == number).values(newest_identity=made.newest))


def note_copy(connection: sa.Connection, kind: Kind, path: str, *, oldest: int = 0, newest: int | None = None) -> int:
    """Remember a file that holds the identities `oldest` ... `newest`, by default all; its number."""
    row = {"path": path, "kind": kind, "made_at": now(), "oldest_identity": oldest}
    newest = newest_identity(connection) if newest is None else newest
    insert = sa.insert(copies).values(**row, newest_identity=newest).returning(copies.c.id)
    return int(connection.execute(insert).scalar_one())


def newest_identity(connection: sa.Connection) -> int:
    """0 where nobody is enrolled."""
    return connection.scalar(sa.select(sa.func.max(identities.c.id))) or 0


def copies_with(connection: sa.Connection, identity: int | None = None) -> tuple[Copy, ...]:
    """The copies that may hold an identity, which is enrolled still; or all."""
    query = sa.select(copies).order_by(copies.c.id)
    if identity is not None:
        query = query.where(copies.c.oldest_identity <= identity, copies.c.newest_identity >= identity)
    return tuple({row.path: Copy(row.path, row.kind, iso(row.made_at)) for row in connection.execute(query)}.values())
