"""What a gallery keeps of people, as it is set: for who wants to know before standing in front of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger_rows import naive
from firstsight.recognition.rows import state_of
from firstsight.recognition.schema import copies, ledger_state, probes, templates


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Of those who are enrolled, and of those who are seen. Nothing in it tells who or how many they are.

    pictures: whether a picture is kept of anybody who is enrolled; where nobody is, whether one would be: it would,
        unless whoever enrolls leaves it out.
    encrypted: whether templates and pictures are sealed with a key.
    retention_days: how long decisions are kept; 0: without end.
    probes_until: when the last picture of a decision is erased (UTC); None: none is kept.
    copies: whether backups or exports were made.
    """

    pictures: bool
    encrypted: bool
    retention_days: int
    probes_until: datetime | None
    copies: bool


def what_is_kept(gallery: Gallery) -> Kept:
    """What `gallery` keeps now."""
    pictures = sa.select(sa.exists().where(templates.c.picture.is_not(None)) | ~sa.exists().where(templates.c.id > 0))
    latest = sa.select(sa.func.max(probes.c.erase_at)).where(probes.c.erase_at > naive(datetime.now(UTC)))
    with gallery.storage.reading() as connection:
        until: Any = connection.scalar(latest)
        return Kept(
            pictures=bool(connection.scalar(pictures)),
            encrypted=state_of(connection).key_check is not None,
            retention_days=int(connection.scalar(sa.select(ledger_state.c.retention_days)) or 0),
            probes_until=until and until.replace(tzinfo=UTC),
            copies=bool(connection.scalar(sa.select(sa.exists().where(copies.c.id.is_not(None))))),
        )
