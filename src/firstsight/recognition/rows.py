"""The gallery's rows: names as they are kept, and the queries that need more than a line. N templates of length D."""

import dataclasses
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import sqlalchemy as sa
import torch
from jaxtyping import Int8
from torch import Tensor

from firstsight.errors import GalleryError
from firstsight.recognition.index import Index
from firstsight.recognition.schema import MAX_NAME, forgotten, gallery, identities, templates

_IN_ONE_QUERY = 10_000  # SQLite takes 32,766 values
_LOADED_AT_ONCE = 50_000
_READ_AT_ONCE = 256  # with their pictures
_BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # would let a name be shown as another
_STATE = sa.select(gallery.c.model_identity, gallery.c.model_name, gallery.c.size)
_T = TypeVar("_T")


class State(NamedTuple):
    """The one row of the table gallery."""

    model_identity: str
    model_name: str
    size: int


def clean_name(name: str) -> str:
    """The name as it is kept: without spaces around it, accents composed (Unicode NFC).

    Raises:
        GalleryError: empty, longer than 200 characters, or with characters that do not show.

    Example:
        >>> clean_name(" Ada Lovelace ")
        'Ada Lovelace'
    """
    cleaned = unicodedata.normalize("NFC", name).strip()
    if not cleaned:
        raise GalleryError("A name is empty.", hint="Give a name of at least one character.")
    if len(cleaned) > MAX_NAME:
        raise GalleryError(f"The name {cleaned[:20]}… has more than {MAX_NAME} characters.", hint="Shorten it.")
    if not cleaned.isprintable() and any(
        unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in _BIDI for c in cleaned
    ):
        raise GalleryError(f"The name {cleaned!r} has characters that do not show.", hint="Type it anew.")
    return cleaned


def state_of(connection: sa.Connection) -> State:
    return State(*connection.execute(_STATE).one())


def lock(connection: sa.Connection) -> State:
    """Let no other writer in until this transaction ends."""
    return State(*connection.execute(_STATE.with_for_update()).one())


def ids_of(connection: sa.Connection, names: Iterable[str]) -> dict[str, int]:
    """The ids of those names that are enrolled."""
    found: dict[str, int] = {}
    for chunk in _chunks(names):
        query = sa.select(identities.c.name, identities.c.id).where(identities.c.name.in_(chunk))
        found.update((name, identity) for name, identity in connection.execute(query))
    return found


def names_of(connection: sa.Connection, ids: Iterable[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for chunk in _chunks(ids):
        query = sa.select(identities.c.id, identities.c.name).where(identities.c.id.in_(chunk))
        found.update((identity, name) for identity, name in connection.execute(query))
    return found


def drop_forgotten(connection: sa.Connection, index: Index) -> None:
    """Drop what anyone has forgotten since the index last looked."""
    gone = sa.select(forgotten).where(forgotten.c.id > index.last_forgotten).order_by(forgotten.c.id)
    for row in connection.execute(gone).all():
        index.drop(row.first_identity, row.last_identity)
        index.last_forgotten = row.id


def load_new(connection: sa.Connection, index: Index) -> None:
    """Append the templates that the index does not have yet."""
    new = templates.c.id > index.last_template
    room = len(index) + (connection.scalar(sa.select(sa.func.count()).select_from(templates).where(new)) or 0)
    if room == len(index):
        return
    query = sa.select(templates.c.id, templates.c.identity_id, templates.c.template).where(new)
    rows = connection.execution_options(yield_per=_LOADED_AT_ONCE).execute(query.order_by(templates.c.id))
    for part in rows.partitions():
        ids, identity_ids, blobs = zip(*part, strict=True)
        index.add(torch.tensor(identity_ids), stacked(blobs), room=room)
        index.last_template = ids[-1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stored:
    """One template as it is kept, with whose it is and the picture that it was made from. Times are UTC, naive."""

    id: int
    identity: int
    name: str
    model_identity: str
    template: bytes
    picture: bytes | None
    enrolled_at: datetime


def stored(connection: sa.Connection, *, upto: int | None = None) -> Iterator[list[Stored]]:
    """All that is kept of everyone, in batches, by the template's id; `upto` is the last to read.

    The one way by which templates with their pictures are read. Between two batches no query is open, so that the
    caller may write.
    """
    columns = (templates.c.id, identities.c.id.label("identity"), identities.c.name, templates.c.model_identity)
    content = (templates.c.template, templates.c.picture, templates.c.enrolled_at)
    query = sa.select(*columns, *content).join(identities).order_by(templates.c.id).limit(_READ_AT_ONCE)
    last = 0
    while True:
        within = templates.c.id > last
        if upto is not None:
            within &= templates.c.id <= upto
        batch = [Stored(**row) for row in connection.execute(query.where(within)).mappings()]
        if not batch:
            return
        last = batch[-1].id
        yield batch


def insert_templates(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """The one way by which templates with their pictures are written: the columns of `templates` but the id."""
    connection.execute(sa.insert(templates), rows)


class Enrolled(NamedTuple):
    """An identity, and how much is kept of it. `since` is UTC, naive."""

    name: str
    since: datetime
    templates: int
    pictures: int


def enrolled(connection: sa.Connection) -> Iterator[Enrolled]:
    """Everyone, in the order of enrollment."""
    counts = sa.func.count(templates.c.id), sa.func.count(templates.c.picture)
    query = sa.select(identities.c.name, identities.c.enrolled_at, *counts).join(templates).group_by(identities.c.id)
    rows = connection.execution_options(yield_per=_LOADED_AT_ONCE).execute(query.order_by(identities.c.id))
    for row in rows:
        yield Enrolled(*row)


def stacked(blobs: Sequence[bytes]) -> Int8[Tensor, "N D"]:
    return torch.from_numpy(np.frombuffer(b"".join(blobs), np.int8).reshape(len(blobs), -1).copy())


def _chunks(values: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(values)
    while chunk := list(islice(rest, _IN_ONE_QUERY)):
        yield chunk
