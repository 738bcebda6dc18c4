"""What must outlive a gallery that a backup takes the place of: which copies were made, and who was forgotten."""

import dataclasses
from typing import Any

import sqlalchemy as sa

from firstsight.recognition.copies import newest_identity, note_copy
from firstsight.recognition.rows import names_of, state_of
from firstsight.recognition.schema import copies, forgotten, identities, ledger
from firstsight.recognition.storage import Storage

_ENOUGH = 100  # people by whom to tell that two galleries were one


@dataclasses.dataclass(frozen=True, kw_only=True)
class Remembered:
    """Of the gallery that is replaced. `gone` are the numbers of the forgotten, `people` of some who are enrolled."""

    size: int = 0
    entries: int = 0
    encrypted: bool = False
    copies: tuple[dict[str, Any], ...] = ()
    gone: frozenset[int] = frozenset()
    people: frozenset[tuple[Any, ...]] = frozenset()


def remember(storage: Storage) -> Remembered:
    """What a gallery holds that a backup of it, or of another, may not know."""
    with storage.reading() as connection:
        held = state_of(connection)
        one_by_one = sa.select(forgotten.c.first_identity).where(
            forgotten.c.first_identity == forgotten.c.last_identity, forgotten.c.first_identity > 0
        )
        return Remembered(
            size=held.size,
            entries=connection.scalar(sa.select(sa.func.count()).select_from(ledger)) or 0,
            encrypted=held.key_check is not None,
            copies=tuple(map(dict, connection.execute(sa.select(copies).order_by(copies.c.id)).mappings())),
            gone=frozenset(connection.scalars(one_by_one)),
            people=frozenset(_some_people(connection)),
        )


def note_restored(connection: sa.Connection, path: str, before: Remembered) -> list[str]:
    """Remember the backup at `path` that a gallery was just restored from, which holds everyone, and the copies that
    were known of before.

    Copies that were being made at the moment of the backup hold nobody who is enrolled from now on.

    Returns:
        Who was forgotten since the backup was made, and is back.
    """
    newest = newest_identity(connection)
    connection.execute(sa.delete(copies).where(copies.c.path == path))
    connection.execute(sa.update(copies).where(copies.c.newest_identity > newest).values(newest_identity=newest))
    held = [dict(row) for row in connection.execute(sa.select(copies)).mappings()]
    numbered = {"id": None}
    known = [row | numbered for row in held]
    lost = [row for row in before.copies if row["path"] != path and row | numbered not in known]
    if lost:
        connection.execute(sa.insert(copies), [{k: v for k, v in row.items() if k != "id"} for row in lost])
    note_copy(connection, "backup", path, newest=newest)
    of_one = any(row["path"] == path for row in before.copies) or before.people & set(_some_people(connection))
    return list(names_of(connection, before.gone).values()) if of_one else []


def _some_people(connection: sa.Connection) -> list[tuple[Any, ...]]:
    columns = identities.c["id", "name", "enrolled_at"]
    return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(identities.c.id).limit(_ENOUGH))]
