"""The gallery's rows: names as they are kept, and the queries that need more than a line. N templates of length D."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby, islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import sqlalchemy as sa
import torch
from jaxtyping import Int8
from torch import Tensor

from firstsight.errors import NotEnrolled
from firstsight.recognition.index import Index
from firstsight.recognition.schema import forgotten, gallery, identities, templates
from firstsight.recognition.sealing import SEAL_BYTES, Cipher, picture_of, seal, template_of, unseal

_IN_ONE_QUERY = 10_000  # SQLite takes 32,766 values
_LOADED_AT_ONCE = 500  # rows: they fit a core's cache, and do not wake the garbage collector; 50,000 take 2.5 x
_READ_AT_ONCE = 256  # with their pictures
_STATE = sa.select(*gallery.c["model_identity", "model_name", "size", "key_check", "erased"])
_TEMPLATE = templates.c["id", "identity_id", "model_identity", "template"]
# Made once: to make a statement takes longer than to run it.
_LOCK = _STATE.with_for_update()
_TEMPLATE_SIZE = sa.select(sa.func.length(templates.c.template)).limit(1)
_IDS = sa.select(identities.c.name, identities.c.id).where(identities.c.name.in_(sa.bindparam("names", expanding=True)))
_GONE = sa.select(forgotten).where(forgotten.c.id > sa.bindparam("last")).order_by(forgotten.c.id)
_NEW = sa.select(*_TEMPLATE).where(templates.c.id > sa.bindparam("last")).order_by(templates.c.id)
_OF_ONE = sa.select(*_TEMPLATE).where(templates.c.identity_id == sa.bindparam("identity")).order_by(templates.c.id)
_INSERT = sa.insert(templates)
_STANDING = _STATE.add_columns(
    *(sa.func.coalesce(sa.select(sa.func.max(t.c.id)).scalar_subquery(), 0) for t in (templates, forgotten))
)
_NAMES = sa.select(identities.c.id, identities.c.name).where(identities.c.id.in_(sa.bindparam("ids", expanding=True)))
_T = TypeVar("_T")


class State(NamedTuple):
    """The one row of the table gallery."""

    model_identity: str
    model_name: str
    size: int
    key_check: bytes | None
    erased: int


class Standing(NamedTuple):
    """The state, and the newest rows: what tells whether anyone enrolled or forgot meanwhile."""

    state: State = State("", "", 0, None, 0)
    last_template: int = 0
    last_forgotten: int = 0


class Enrollment(NamedTuple):
    """What is known of one enrolled picture beside its template. `enrolled_at` is UTC."""

    enrolled_at: datetime
    picture_kept: bool
    consent: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain values, the time in ISO 8601."""
        return {**self._asdict(), "enrolled_at": iso(self.enrolled_at)}


def now() -> datetime:
    """As the database keeps it: UTC, without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)


def iso(moment: datetime) -> str:
    """UTC as the database keeps it, in ISO 8601."""
    return moment.isoformat(timespec="seconds") + "Z"


def state_of(connection: sa.Connection) -> State:
    return State(*connection.execute(_STATE).one())


def standing_of(connection: sa.Connection) -> Standing:
    *state, last_template, last_forgotten = connection.execute(_STANDING).one()
    return Standing(State(*state), last_template, last_forgotten)


def lock(connection: sa.Connection) -> State:
    """Let no other writer in until this transaction ends."""
    return State(*connection.execute(_LOCK).one())


def count_templates(connection: sa.Connection) -> int:
    """Counted one by one: a second for some millions."""
    return connection.scalar(sa.select(sa.func.count()).select_from(templates)) or 0


def template_size(connection: sa.Connection, cipher: Cipher | None = None) -> int | None:
    """D, the length of the templates held; None where there are none."""
    written: int | None = connection.scalar(_TEMPLATE_SIZE)
    return written and written - (SEAL_BYTES if cipher else 0)


def ids_of(connection: sa.Connection, names: Iterable[str]) -> dict[str, int]:
    """The ids of those names that are enrolled."""
    found: dict[str, int] = {}
    for chunk in _chunks(names):
        found.update((name, identity) for name, identity in connection.execute(_IDS, {"names": chunk}))
    return found


def id_of(connection: sa.Connection, name: str, where: str) -> int:
    """The id of one name. Raises NotEnrolled: nobody has it in the gallery `where`."""
    identity = ids_of(connection, [name]).get(name)
    if identity is None:
        raise NotEnrolled(f"{name} is not enrolled in {where}.", hint="Check the spelling: upper and lower case count.")
    return identity


def names_of(connection: sa.Connection, ids: Iterable[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for chunk in _chunks(ids):
        found.update((identity, name) for identity, name in connection.execute(_NAMES, {"ids": chunk}))
    return found


def drop_forgotten(connection: sa.Connection, index: Index) -> None:
    """Drop what anyone has forgotten since the index last looked."""
    for row in connection.execute(_GONE, {"last": index.last_forgotten}).all():
        index.drop(row.first_identity, row.last_identity)
        index.last_forgotten = row.id


def enrollments(connection: sa.Connection) -> Iterator[tuple[str, list[Enrollment]]]:
    """Each name with its enrollments, in the order in which they came."""
    columns = identities.c.name, templates.c.enrolled_at, templates.c.picture.is_not(None), templates.c.consent
    query = sa.select(*columns).join_from(identities, templates).order_by(identities.c.id, templates.c.id)
    rows = connection.execution_options(yield_per=_LOADED_AT_ONCE).execute(query)
    for name, group in groupby(rows, key=lambda row: row[0]):
        yield name, [Enrollment(*row[1:]) for row in group]


class NewTemplate(NamedTuple):
    """A template to be written, with the picture that it was made from. `enrolled_at` is UTC, naive."""

    identity: int
    template: bytes
    picture: bytes | None
    consent: str | None
    enrolled_at: datetime


def insert_templates(
    connection: sa.Connection, cipher: Cipher | None, model_identity: str, rows: Iterable[NewTemplate]
) -> None:
    """The one way by which templates with their pictures are written: sealed, if there is a cipher."""
    values = [
        {
            "identity_id": row.identity,
            "model_identity": model_identity,
            "template": seal(cipher, row.template, template_of(row.identity, model_identity)),
            "picture": None if row.picture is None else seal(cipher, row.picture, picture_of(row.identity)),
            "enrolled_at": row.enrolled_at,
            "consent": row.consent,
        }
        for row in rows
    ]
    if values:
        connection.execute(_INSERT, values)


def held_templates(connection: sa.Connection, identities: set[int], cipher: Cipher | None) -> set[tuple[int, bytes]]:
    """The templates of these identities, each with its identity."""
    return {
        (identity, template_D.tobytes())
        for identity in identities
        for template_D in templates_of(connection, identity, cipher).numpy()
    }


def templates_of(connection: sa.Connection, identity: int, cipher: Cipher | None) -> Int8[Tensor, "K D"]:
    """The templates of one identity, in the order of enrollment."""
    return _opened(connection.execute(_OF_ONE, {"identity": identity}).all(), cipher)


def load_new(connection: sa.Connection, index: Index, cipher: Cipher | None = None) -> None:
    """Append the templates that the index does not have yet."""
    rows = connection.execution_options(yield_per=_LOADED_AT_ONCE).execute(_NEW, {"last": index.last_template})
    for part in rows.partitions():
        index.add(torch.tensor([row.identity_id for row in part]), _opened(part, cipher))
        index.last_template = part[-1].id


def _opened(rows: Sequence[Any], cipher: Cipher | None) -> Int8[Tensor, "N D"]:
    """The templates of rows of `_TEMPLATE`, unsealed."""
    if cipher is None:  # the same without a call for each of a million
        blobs = [row.template for row in rows]
    else:
        blobs = [unseal(cipher, row.template, template_of(row.identity_id, row.model_identity)) for row in rows]
    return stacked(blobs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stored:
    """One template as it is kept, with whose it is and the picture that it was made from. Times are UTC, naive."""

    id: int
    identity: int
    name: str
    model_identity: str
    template: bytes
    picture: bytes | None
    consent: str | None
    enrolled_at: datetime


def stored(connection: sa.Connection, cipher: Cipher | None, *, upto: int | None = None) -> Iterator[list[Stored]]:
    """All that is kept of everyone, in batches, by the template's id; `upto` is the last to read.

    The one way by which templates with their pictures are read. Between two batches no query is open, so that the
    caller may write.
    """
    columns = (templates.c.id, identities.c.id.label("identity"), identities.c.name, templates.c.model_identity)
    content = templates.c["template", "picture", "consent", "enrolled_at"]
    query = sa.select(*columns, *content).join(identities).order_by(templates.c.id).limit(_READ_AT_ONCE)
    last = 0
    while True:
        within = templates.c.id > last
        if upto is not None:
            within &= templates.c.id <= upto
        batch = [_unsealed(Stored(**row), cipher) for row in connection.execute(query.where(within)).mappings()]
        if not batch:
            return
        last = batch[-1].id
        yield batch


def _unsealed(row: Stored, cipher: Cipher | None) -> Stored:
    template = unseal(cipher, row.template, template_of(row.identity, row.model_identity))
    picture = None if row.picture is None else unseal(cipher, row.picture, picture_of(row.identity))
    return dataclasses.replace(row, template=template, picture=picture)


def stacked(blobs: Sequence[bytes]) -> Int8[Tensor, "N D"]:
    return torch.from_numpy(np.frombuffer(b"".join(blobs), np.int8).reshape(len(blobs), -1).copy())


def _chunks(values: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(values)
    while chunk := list(islice(rest, _IN_ONE_QUERY)):
        yield chunk
