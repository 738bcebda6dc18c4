"""The rows of the ledger: what one holds, how they are written, read and erased. Times in the database are UTC."""

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from firstsight.recognition.decision import Answer, Decision
from firstsight.recognition.rows import ids_of, names_of
from firstsight.recognition.schema import identities, ledger, ledger_state, probes, reviews, templates

Kind = Literal["verify", "identify"]
Direction = Literal["in", "out"]
ReviewKind = Literal["confirmed", "corrected"]

_NAMES = {"name": "identity_id", "nearest": "nearest_id", "runner_up": "runner_up_id"}  # of a Decision: the column
_FIELDS = {field.name for field in dataclasses.fields(Decision)} - set(_NAMES)
_ONE_DAY = timedelta(days=1)


class Review(NamedTuple):
    """What an operator said of an entry, and when (UTC); `name` is None for a stranger, and for someone forgotten."""

    at: datetime
    kind: ReviewKind
    decision: Answer
    name: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A decision in the ledger, as it was made, and what operators said of it since. Times are aware, UTC."""

    id: int
    at: datetime
    kind: Kind
    decision: Decision
    direction: Direction | None = None
    camera: str | None = None
    request_id: str | None = None
    reviews: tuple[Review, ...] = ()

    @property
    def review(self) -> Review | None:
        """The last one, which counts."""
        return self.reviews[-1] if self.reviews else None

    @property
    def verdict(self) -> Answer:
        """`match`, `unknown` ...: the operator's, if one spoke, else the decision's."""
        return (self.review or self.decision).decision

    @property
    def name(self) -> str | None:
        """Who it was, by the operator or the decision; None where it was nobody enrolled, or has been forgotten."""
        return (self.review or self.decision).name if self.verdict == "match" else None

    @property
    def forgotten(self) -> bool:
        return self.verdict == "match" and self.name is None

    @property
    def who(self) -> str:
        """For the eye: a name, or why there is none."""
        if self.forgotten:
            return "(forgotten)"
        claimed = f"not {self.decision.name}" if self.decision.name else "not the one claimed"
        return self.name or (claimed if self.verdict == "different" else self.verdict)

    def to_json(self, zone: tzinfo | None = UTC) -> dict[str, Any]:
        """A flat dict of plain values, with times of `zone` (None: of this machine)."""
        decided = self.decision.to_json()
        review = self.review
        return {
            "id": self.id,
            "time": self.at.astimezone(zone).isoformat(timespec="milliseconds"),
            "kind": self.kind,
            "verdict": self.verdict,
            "name": self.name,
            "forgotten": self.forgotten,
            "direction": self.direction,
            "camera": self.camera,
            "review": review.kind if review else None,
            "reviewed_at": review.at.astimezone(zone).isoformat(timespec="milliseconds") if review else None,
            "decided_name": decided.pop("name"),
            **decided,
            "request_id": self.request_id,
        }


def entry_columns() -> tuple[str, ...]:
    """The keys of `Entry.to_json`."""
    nothing = Decision(decision="unknown", name=None, distance=None, threshold=0)
    return tuple(Entry(id=0, at=datetime.now(UTC), kind="identify", decision=nothing).to_json())


def insert_entry(connection: sa.Connection, decision: Decision, row: dict[str, Any]) -> int:
    """Write a decision. A name that was forgotten since it was made is not written."""
    held = dataclasses.asdict(decision)
    named = {column: held.pop(field) for field, column in _NAMES.items()}
    id_of = ids_of(connection, {name for name in named.values() if name})
    row |= {column: id_of.get(name) for column, name in named.items()}
    row |= {"decision": held["decision"], "evidence": held}
    key: Sequence[int] = connection.execute(sa.insert(ledger).values(row)).inserted_primary_key or ()
    return key[0]


def insert_review(
    connection: sa.Connection, number: int, kind: ReviewKind, decision: str, identity: int | None
) -> None:
    row = {"ledger_id": number, "kind": kind, "decision": decision, "identity_id": identity}
    connection.execute(sa.insert(reviews).values(row | {"at": naive(datetime.now(UTC))}))


def read_entries(connection: sa.Connection, query: sa.Select[Any]) -> list[Entry]:
    """The entries of a query of whole rows of the ledger, in its order, with their reviews and names."""
    rows = connection.execute(query).all()
    if not rows:
        return []
    said: dict[int, list[Any]] = defaultdict(list)
    first, last = min(row.id for row in rows), max(row.id for row in rows)
    of_rows = reviews.c.ledger_id.between(first, last)
    for review in connection.execute(sa.select(reviews).where(of_rows).order_by(reviews.c.id)):
        said[review.ledger_id].append(review)
    ids = {getattr(row, column) for row in rows for column in _NAMES.values()}
    ids |= {review.identity_id for reviewed in said.values() for review in reviewed}
    name_of = names_of(connection, ids - {None})
    return [_entry(row, said[row.id], name_of) for row in rows]


def lose_name(connection: sa.Connection, identity: int | None) -> None:
    """Take an identity (None: everyone) out of the ledger: its number, and every probe that may show it.

    The decisions stay, with their distances and times, but no longer say of whom: `forget` calls this.
    """
    for statement in _losing(everyone=identity is None):
        connection.execute(statement, {} if identity is None else {"identity": identity})


@functools.cache
def _losing(*, everyone: bool) -> list[sa.Delete | sa.Update]:
    """The statements, made once: to make them takes longer than to run them."""

    def of(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
        return column.is_not(None) if everyone else column == sa.bindparam("identity")

    columns = [ledger.c[column] for column in _NAMES.values()]
    shown = sa.select(ledger.c.id).where(sa.or_(*map(of, columns)))
    reviewed = sa.select(reviews.c.ledger_id).where(of(reviews.c.identity_id))
    may_show = sa.true() if everyone else probes.c.ledger_id.in_(shown) | probes.c.ledger_id.in_(reviewed)
    return [
        sa.delete(probes).where(may_show),
        *(
            sa.update(column.table).where(of(column)).values({column.name: None})
            for column in (*columns, reviews.c.identity_id)
        ),
    ]


class Purged(NamedTuple):
    """How many were erased because their time was over."""

    entries: int
    probes: int


def erase_old(connection: sa.Connection, now: datetime, *, at_most_daily: bool = False) -> Purged:
    """Erase what is older than the retention, and probes whose days are over. `now` is UTC, naive."""
    days, purged_at = connection.execute(sa.select(ledger_state.c.retention_days, ledger_state.c.purged_at)).one()
    if at_most_daily and abs(now - purged_at) < _ONE_DAY:
        return Purged(0, 0)
    connection.execute(sa.update(ledger_state).values(purged_at=now))
    gone = connection.execute(sa.delete(probes).where(probes.c.erase_at <= now)).rowcount
    if not days:
        return Purged(0, gone)
    old = ledger.c.at < now - timedelta(days=days)
    gone += connection.execute(
        sa.delete(probes).where(probes.c.ledger_id.in_(sa.select(ledger.c.id).where(old)))
    ).rowcount
    return Purged(connection.execute(sa.delete(ledger).where(old)).rowcount, gone)


def last_enrolled(connection: sa.Connection) -> dict[str, datetime]:
    """When each name got its newest template."""
    newest = sa.select(identities.c.name, sa.func.max(templates.c.enrolled_at)).join_from(identities, templates)
    return {name: aware(at) for name, at in connection.execute(newest.group_by(identities.c.name))}


def aware(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC)


def naive(at: datetime) -> datetime:
    """As the database keeps it."""
    return at.astimezone(UTC).replace(tzinfo=None)


def _entry(row: Any, said: Iterable[Any], name_of: dict[int, str]) -> Entry:
    held = {field: value for field, value in row.evidence.items() if field in _FIELDS}
    held |= {field: name_of.get(getattr(row, column)) for field, column in _NAMES.items()}
    held["boxes"] = tuple(map(tuple, held.get("boxes", ())))
    return Entry(
        id=row.id,
        at=aware(row.at),
        kind=row.kind,
        decision=Decision(**held),
        direction=row.direction,
        camera=row.camera,
        request_id=row.request_id,
        reviews=tuple(Review(aware(r.at), r.kind, r.decision, name_of.get(r.identity_id)) for r in said),
    )
