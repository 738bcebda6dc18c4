"""What `forget` erases, and the receipt for it."""

import contextlib
import dataclasses
import os

import sqlalchemy as sa

from firstsight.errors import StorageError
from firstsight.recognition.copies import Copy, copies_with
from firstsight.recognition.ledger_rows import lose_name
from firstsight.recognition.rows import iso, now
from firstsight.recognition.schema import forgotten, gallery, identities, templates
from firstsight.recognition.storage import Storage

# Made once: to make a statement takes longer than to run it.
_LAST_IDENTITY = sa.select(sa.func.max(identities.c.id))
_LAST_FORGOTTEN = sa.select(sa.func.max(forgotten.c.id))
_ALL_TEMPLATES, _ALL_IDENTITIES = sa.delete(templates), sa.delete(identities)
_FORGOTTEN = sa.insert(forgotten)
_NOBODY = sa.update(gallery).values(size=0)
_ERASED = sa.update(gallery).where(gallery.c.erased < sa.bindparam("last")).values(erased=sa.bindparam("last"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Receipt:
    """What was erased, and from where; `left_in` are places that only the administrator of a server can erase, `copies`
    the backups and exports known to hold it still.

    `to_erase` are places where traces are left for the `reason` given: who opens the gallery next erases them.
    `forgotten_at` is UTC, ISO 8601.
    """

    name: str
    gallery: str
    forgotten_at: str
    templates: int
    pictures: int
    erased_from: tuple[str, ...]
    to_erase: tuple[str, ...]
    reason: str
    left_in: tuple[str, ...]
    copies: tuple[Copy, ...]


@dataclasses.dataclass(frozen=True)
class Erased:
    """What the database held of an identity."""

    templates: int
    pictures: int
    copies: tuple[Copy, ...]

    def receipt(self, name: str, storage: Storage, reason: str = "") -> Receipt:
        """For what is now gone from the database and, if there is no `reason` against it, from all other places."""
        return Receipt(
            name=name,
            gallery=storage.where,
            forgotten_at=iso(now()),
            templates=self.templates,
            pictures=self.pictures,
            erased_from=("database", "ledger", *(() if reason else storage.erased_from), "index"),
            to_erase=storage.erased_from if reason else (),
            reason=reason,
            left_in=storage.left_in,
            copies=tuple(copy for copy in self.copies if not _is_file(copy.path, storage.where)),
        )


def _is_file(path: str, where: str) -> bool:
    """Whether a copy is the gallery itself: a backup that has become one."""
    return os.path.realpath(path) == os.path.realpath(where)


def erase_identity(connection: sa.Connection, identity: int) -> Erased:
    """Delete an identity with all its rows, and take it out of the ledger.

    Traces may be left where they stood, until the storage erases them.
    """
    counts = sa.select(sa.func.count(), sa.func.count(templates.c.picture))
    held, pictures = connection.execute(counts.where(templates.c.identity_id == identity)).one()
    erased = Erased(held, pictures, copies_with(connection, identity))
    lose_name(connection, identity)
    connection.execute(sa.delete(templates).where(templates.c.identity_id == identity))
    connection.execute(sa.delete(identities).where(identities.c.id == identity))
    connection.execute(_FORGOTTEN, {"first_identity": identity, "last_identity": identity})
    connection.execute(sa.update(gallery).values(size=gallery.c.size - 1))
    return erased


def erase_everyone(connection: sa.Connection) -> None:
    """Delete all identities with their rows, and take them out of the ledger."""
    last = connection.scalar(_LAST_IDENTITY) or 0
    lose_name(connection, None)
    connection.execute(_ALL_TEMPLATES)
    connection.execute(_ALL_IDENTITIES)
    connection.execute(_FORGOTTEN, {"first_identity": 0, "last_identity": last})
    connection.execute(_NOBODY)


def leave_to_erase(connection: sa.Connection) -> None:
    """Have the traces of what this transaction overwrote erased, though nobody is forgotten."""
    connection.execute(_FORGOTTEN, {"first_identity": 0, "last_identity": 0})


def erase_traces(storage: Storage, *, patient: bool = True) -> None:
    """Erase what was left of all that is forgotten by now, and remember that it was.

    Raises:
        StorageError: another program holds on to it, or the disk is full.
    """
    with storage.reading() as connection:
        last = _last_forgotten(connection)
    storage.erase(patient=patient)
    with storage.writing() as connection:
        connection.execute(_ERASED, {"last": last})


def finish_erasing(storage: Storage) -> None:
    """Erase what was left by a process that was killed, or that others were in the way of."""
    with storage.reading() as connection:
        done = _last_forgotten(connection) == connection.scalar(sa.select(gallery.c.erased))
    if not done:
        with contextlib.suppress(StorageError):  # another is reading: the next to open the gallery tries again
            erase_traces(storage, patient=False)


def _last_forgotten(connection: sa.Connection) -> int:
    return connection.scalar(_LAST_FORGOTTEN) or 0
