"""The gallery's rows: names as they are kept, and the queries that need more than a line. N templates of length D."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

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


def template_size(connection: sa.Connection) -> int | None:
    """D, the length of the templates held."""
    size: int | None = connection.scalar(sa.select(sa.func.length(templates.c.template)).limit(1))
    return size


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


def stacked(blobs: Sequence[bytes]) -> Int8[Tensor, "N D"]:
    return torch.from_numpy(np.frombuffer(b"".join(blobs), np.int8).reshape(len(blobs), -1).copy())


def _chunks(values: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(values)
    while chunk := list(islice(rest, _IN_ONE_QUERY)):
        yield chunk
