"""The ledger: each decision with its evidence, exactly once, and what operators said of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from firstsight.errors import GalleryError
from firstsight.recognition.decision import Decision
from firstsight.recognition.forgetting import erase_traces, leave_to_erase
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger_rows import (
    Direction,
    Entry,
    Kind,
    Purged,
    ReviewKind,
    erase_old,
    insert_entry,
    insert_review,
    last_enrolled,
    naive,
    read_entries,
)
from firstsight.recognition.names import clean_name
from firstsight.recognition.rows import id_of, ids_of
from firstsight.recognition.schema import ledger, ledger_state, probes, reviews
from firstsight.recognition.sealing import probe_of, seal, unseal

_PAGE = 5_000  # entries read at a time
_LONGEST = 36_500  # days: a century


class Place(NamedTuple):
    """Of an entry in the order of time: when (aware), and its number."""

    at: datetime
    id: int


class Ledger:
    """What a gallery decided. Entries are written once; a correction is a row of its own that points at the entry.

    Names are kept as the numbers of identities: `Gallery.forget` takes them out, and erases the probes that may show
    who is forgotten. Entries older than the retention (90 days, if nothing else was set) are erased, at most daily,
    while others are recorded.

    Raises:
        StorageError: from any method: read-only, locked, damaged, or the disk is full. Nothing is half-written.

    Example:
        >>> from firstsight.recognition.decision import Rule, decide_identify
        >>> with Gallery("sqlite://") as gallery:
        ...     entry = Ledger(gallery).record("identify", decide_identify([], Rule(1.1)), direction="in")
        ...     entry.id, entry.verdict
        (1, 'unknown')
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._storage = gallery.storage

    def record(
        self,
        kind: Kind,
        decision: Decision,
        *,
        request_id: str | None = None,
        direction: Direction | None = None,
        camera: str | None = None,
        probe: bytes | None = None,
        keep_probe_days: int = 0,
        debounce: float = 0,
        at: datetime | None = None,
    ) -> Entry:
        """Write a decision down; it is on the disk when this returns.

        A request id is written once: who asks again with it, in whatever process, gets the entry that was written the
        first time, and its decision. `direction` makes a match a check-in. `probe`, the PNG of the network's input,
        is kept for `keep_probe_days` days, by default not at all. Who was recognized in the same direction within
        `debounce` minutes, before or after, gets that entry again. `at` is now, if it is not given.

        Raises:
            GalleryError: the request id was used for something else; or it or the camera's name cannot be one.
        """
        request_id = None if request_id is None else clean_name(request_id, "request id")
        camera = None if camera is None else clean_name(camera, "camera")
        now = naive(datetime.now(UTC))
        with self._storage.writing() as connection:
            self._gallery.terms.locked(connection)
            if request_id and (known := read_entries(connection, _whole().where(ledger.c.request_id == request_id))):
                _refuse_other_use(known[0], kind, decision)
                return known[0]
            if debounce and (near := _near(connection, decision, direction, at or datetime.now(UTC), debounce)):
                return near
            if any(erase_old(connection, now, at_most_daily=True)):
                leave_to_erase(connection)  # to the next to open the gallery: nobody waits for it at the door
            row = {"kind": kind, "request_id": request_id, "direction": direction, "camera": camera}
            number = insert_entry(connection, decision, row | {"at": naive(at) if at else now})
            if probe and keep_probe_days:
                erase_at = now + timedelta(days=_days(keep_probe_days))
                sealed = seal(self._gallery.terms.cipher, probe, probe_of(number))
                connection.execute(sa.insert(probes).values(ledger_id=number, picture=sealed, erase_at=erase_at))
            (entry,) = read_entries(connection, _whole().where(ledger.c.id == number))
        return entry

    def confirm(self, number: int) -> Entry:
        """An operator says that an entry's decision is right. Said again, it is not written again.

        Raises:
            GalleryError: there is no such entry.
        """
        with self._storage.writing() as connection:
            self._gallery.terms.locked(connection)
            query = self._one(connection, number)
            row = connection.execute(query).one()
            return self._reviewed(connection, query, "confirmed", row.decision, row.identity_id)

    def correct(self, number: int, name: str | None) -> Entry:
        """An operator says who it was; None: nobody who is enrolled. Said again, it is not written again.

        Raises:
            NotEnrolled: nobody has this name.
            GalleryError: there is no such entry.
        """
        with self._storage.writing() as connection:
            self._gallery.terms.locked(connection)
            query = self._one(connection, number)
            identity = None if name is None else id_of(connection, clean_name(name), self._gallery.where)
            return self._reviewed(connection, query, "corrected", "match" if name else "unknown", identity)

    def entries(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        name: str | None = None,
        reviewed: bool = False,
        with_probe: bool = False,
        newest_first: bool = False,
        beyond: Place | None = None,
        page: int = _PAGE,
    ) -> Iterator[Entry]:
        """The entries of since ≤ time < until, in the order of their time, read in pages as they are asked for.

        `name` leaves those of one person, by the decision or, where an operator spoke, by the operator; `reviewed`
        leaves those of which an operator spoke; `with_probe` those whose picture is kept; `beyond` those that come
        after this place in the order.

        Raises:
            NotEnrolled: nobody has this name.
        """
        wanted = None if name is None else clean_name(name)
        order = (ledger.c.at.desc(), ledger.c.id.desc()) if newest_first else (ledger.c.at, ledger.c.id)
        query = _whole().order_by(*order).limit(page)
        if since:
            query = query.where(ledger.c.at >= naive(since))
        if until:
            query = query.where(ledger.c.at < naive(until))
        if reviewed:
            query = query.where(ledger.c.id.in_(sa.select(reviews.c.ledger_id)))
        if with_probe:
            query = query.where(ledger.c.id.in_(sa.select(probes.c.ledger_id).where(_alive())))
        if wanted:
            with self._storage.reading() as connection:
                query = query.where(_may_be(id_of(connection, wanted, self._gallery.where)))
        while True:
            rest = query if beyond is None else query.where(_beyond(beyond, newest_first))
            found = self._page(rest)
            yield from (entry for entry in found if wanted in (None, entry.name))
            if len(found) < page:
                return
            beyond = Place(found[-1].at, found[-1].id)

    def entry(self, number: int) -> Entry:
        """One entry. Raises GalleryError: there is no such entry."""
        with self._storage.reading() as connection:
            return read_entries(connection, self._one(connection, number))[0]

    def probe(self, number: int) -> bytes | None:
        """The PNG of the network's input that led to an entry; None if it was not kept, or is erased."""
        with self._storage.reading() as connection:
            self._gallery.terms.state(connection)
            found: bytes | None = connection.scalar(
                sa.select(probes.c.picture).where(probes.c.ledger_id == number, _alive())
            )
        return None if found is None else unseal(self._gallery.terms.cipher, found, probe_of(number))

    @property
    def retention_days(self) -> int:
        """How long entries are kept; 0: without end."""
        with self._storage.reading() as connection:
            return int(connection.scalar(sa.select(ledger_state.c.retention_days)) or 0)

    def set_retention(self, days: int) -> Purged:
        """Keep entries for so many days (0: without end), and erase at once what is older."""
        with self._storage.writing() as connection:
            connection.execute(sa.update(ledger_state).values(retention_days=_days(days)))
        return self.purge()

    def purge(self) -> Purged:
        """Erase what is older than the retention, overwritten in the database and gone from its log.

        Raises:
            StorageError: erased from the database, but another program keeps the log open, which still holds it.
        """
        with self._storage.writing() as connection:
            self._gallery.terms.locked(connection)
            erased = erase_old(connection, naive(datetime.now(UTC)))
            if any(erased):
                leave_to_erase(connection)
        if any(erased):
            erase_traces(self._storage)
        return erased

    def last_enrolled(self) -> dict[str, datetime]:
        """When each name got its newest template: UTC, aware."""
        with self._storage.reading() as connection:
            return last_enrolled(connection)

    def _reviewed(
        self, connection: sa.Connection, query: sa.Select[Any], kind: ReviewKind, decision: str, identity: int | None
    ) -> Entry:
        """The entry, after an operator's word was written; the same as the last one is a retry."""
        number = connection.execute(query).one().id
        last_word = sa.select(*reviews.c["kind", "decision", "identity_id"]).where(reviews.c.ledger_id == number)
        last = connection.execute(last_word.order_by(reviews.c.id.desc()).limit(1)).one_or_none()
        if last is None or tuple(last) != (kind, decision, identity):
            insert_review(connection, number, kind, decision, identity)
        return read_entries(connection, query)[0]

    def _page(self, query: sa.Select[Any]) -> list[Entry]:
        with self._storage.reading() as connection:
            return read_entries(connection, query)

    def _one(self, connection: sa.Connection, number: int) -> sa.Select[Any]:
        query = _whole().where(ledger.c.id == number)
        if connection.execute(query).one_or_none() is None:
            raise GalleryError(
                f"The ledger of {self._gallery.where} has no entry {number}.", hint="List them: firstsight ledger"
            )
        return query


def _whole() -> sa.Select[Any]:
    return sa.select(ledger)


def _alive() -> sa.ColumnElement[bool]:
    return probes.c.erase_at > naive(datetime.now(UTC))


def _may_be(identity: int) -> sa.ColumnElement[bool]:
    """Entries that name somebody, by the decision or by an operator's word."""
    reviewed = sa.select(reviews.c.ledger_id).where(reviews.c.identity_id == identity)
    return (ledger.c.identity_id == identity) | ledger.c.id.in_(reviewed)


def _near(
    connection: sa.Connection, decision: Decision, direction: Direction | None, at: datetime, minutes: float
) -> Entry | None:
    """Whom the decision accepts, recorded in this direction at about this time. A writer asks, who holds the lock: two
    doors at once record one entry."""
    identity = ids_of(connection, [decision.name]).get(decision.name) if decision.accepted and decision.name else None
    if identity is None:
        return None
    wait = timedelta(minutes=minutes)  # after it too: what waited for the network may come behind a later one
    query = _whole().where(
        _may_be(identity),
        ledger.c.direction == direction,
        ledger.c.at >= naive(at - wait),
        ledger.c.at < naive(at + wait),
    )
    found = read_entries(connection, query.order_by(ledger.c.at.desc(), ledger.c.id.desc()))
    return next((entry for entry in found if entry.name == decision.name), None)


def _beyond(place: Place, newest_first: bool) -> sa.ColumnElement[bool]:
    at = naive(place.at)
    if newest_first:
        return sa.and_(ledger.c.at <= at, (ledger.c.at < at) | (ledger.c.id < place.id))
    return sa.and_(ledger.c.at >= at, (ledger.c.at > at) | (ledger.c.id > place.id))


def _days(days: int) -> int:
    if not 0 <= days <= _LONGEST:
        raise GalleryError(f"{days} days cannot be kept.", hint=f"Give a number from 0 to {_LONGEST}.")
    return days


def _refuse_other_use(entry: Entry, kind: Kind, decision: Decision) -> None:
    """A retry asks the same. An answer to another question must not pass for one to this."""
    same = kind == entry.kind and (kind == "identify" or decision.name == entry.decision.name)
    if not same:
        asked = f"{entry.kind} {entry.decision.name}" if entry.kind == "verify" else entry.kind
        raise GalleryError(
            f"The request id {entry.request_id} was used for something else: {asked}.",
            hint="Give each request an id of its own.",
        )
