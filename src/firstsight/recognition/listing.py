"""Looking at who is enrolled, a page at a time: for programs that show people rather than recognize them."""

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from firstsight.errors import NotEnrolled
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.rows import ids_of
from firstsight.recognition.schema import identities, templates
from firstsight.recognition.sealing import picture_of, unseal


class Person(NamedTuple):
    """One enrolled identity. `enrolled_at` is UTC, naive; `shown` is the newest enrollment whose picture was kept."""

    id: int
    name: str
    enrolled_at: datetime
    pictures: int
    shown: int | None


class Shot(NamedTuple):
    """One enrollment of a person: when (UTC, naive), with what consent, and whether its picture was kept."""

    id: int
    enrolled_at: datetime
    consent: str | None
    kept: bool


def list_people(gallery: Gallery, *, after: int = 0, limit: int = 50, search: str = "") -> list[Person]:
    """Those enrolled after the person `after`, in the order of enrollment, whose name has `search` in it."""
    if "\0" in search:  # for SQLite a text ends there
        return []
    query = _people().where(identities.c.id > after).order_by(identities.c.id).limit(limit)
    if search:
        query = query.where(identities.c.name.contains(search, autoescape=True))
    with gallery.storage.reading() as connection:
        return [Person(*row) for row in connection.execute(query)]


def find_person(gallery: Gallery, number: int) -> Person:
    """Raises NotEnrolled: nobody has this number."""
    with gallery.storage.reading() as connection:
        row: Any = connection.execute(_people().where(identities.c.id == number)).one_or_none()
    if row is None:
        raise NotEnrolled(f"Nobody is enrolled under the number {number}.", hint="They may have been forgotten.")
    return Person(*row)


def shots_of(gallery: Gallery, number: int) -> list[Shot]:
    """The enrollments of a person, in their order; none where nobody has this number."""
    columns = (*templates.c["id", "enrolled_at", "consent"], templates.c.picture.is_not(None))
    query = sa.select(*columns).where(templates.c.identity_id == number).order_by(templates.c.id)
    with gallery.storage.reading() as connection:
        return [Shot(*row) for row in connection.execute(query)]


def picture_shown(gallery: Gallery, number: int, shot: int) -> bytes | None:
    """The PNG of the network's input that an enrollment was made from; None where it was not kept."""
    query = sa.select(templates.c.picture).where(templates.c.identity_id == number, templates.c.id == shot)
    with gallery.storage.reading() as connection:
        gallery.terms.state(connection)
        found: bytes | None = connection.scalar(query)
    return None if found is None else unseal(gallery.terms.cipher, found, picture_of(number))


def numbers_of(gallery: Gallery, names: set[str]) -> dict[str, int]:
    """The numbers of those names that are enrolled."""
    with gallery.storage.reading() as connection:
        return ids_of(connection, names)


def _people() -> sa.Select[Any]:
    """By subqueries that follow an index: a page of a large gallery does not read all of it."""
    own = sa.select(sa.func.count()).where(templates.c.identity_id == identities.c.id)
    kept = sa.select(sa.func.max(templates.c.id)).where(
        templates.c.identity_id == identities.c.id, templates.c.picture.is_not(None)
    )
    return sa.select(*identities.c["id", "name", "enrolled_at"], own.scalar_subquery(), kept.scalar_subquery())
