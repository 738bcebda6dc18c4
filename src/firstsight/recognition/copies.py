"""The backups and exports that were made of a gallery: who is forgotten may still be in them."""

from typing import Literal, NamedTuple

import sqlalchemy as sa

from firstsight.recognition.rows import iso, now
from firstsight.recognition.schema import copies, identities


class Copy(NamedTuple):
    """A file that was copied from a gallery; `made_at` is UTC, ISO 8601."""

    path: str
    kind: str
    made_at: str


def note_copy(connection: sa.Connection, kind: Literal["backup", "export"], path: str) -> None:
    """Remember a copy of all that the gallery holds now, in place of an earlier one at the same path."""
    newest = connection.scalar(sa.select(sa.func.max(identities.c.id))) or 0
    connection.execute(sa.delete(copies).where(copies.c.path == path))
    connection.execute(sa.insert(copies).values(path=path, kind=kind, made_at=now(), newest_identity=newest))


def copies_with(connection: sa.Connection, identity: int) -> tuple[Copy, ...]:
    """The copies made since an identity, which is enrolled still, came into the gallery."""
    made_since = sa.select(copies).where(copies.c.newest_identity >= identity).order_by(copies.c.id)
    return tuple(Copy(row.path, row.kind, iso(row.made_at)) for row in connection.execute(made_since))
