"""Enrolling a whole list of people, in one go that may be interrupted."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from firstsight.data.people import Entry, read_people
from firstsight.errors import (
    AlreadyEnrolled,
    DataError,
    GalleryError,
    PictureError,
    PictureRefused,
    PictureUnfit,
    UserError,
)
from firstsight.recognition.names import clean_name
from firstsight.recognition.recognizer import Recognizer
from firstsight.recognition.rows import ids_of

_AT_ONCE = 64  # pictures embedded and written together: what an interruption can lose


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A line of the list that was not enrolled. `unusable`: it has no name or picture, the name cannot be one, or the
    picture cannot be read; else the verdict on the picture had doubts."""

    line: int
    name: str
    picture: str
    reason: str
    unusable: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnrolledList:
    """What became of a list: how many people are new, how many were in the gallery before, and who was refused."""

    enrolled: int
    known: int
    refused: tuple[Refusal, ...]

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def enroll_people(
    recognizer: Recognizer,
    path: str | Path,
    *,
    anyway: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> EnrolledList:
    """Enroll everyone on a list: a CSV file with the columns name and picture, the latter relative to the file.

    Who has several lines is enrolled from all of them at once. Whoever is enrolled already is passed over, so after
    an interruption the same call goes on with the rest. Refused is whoever `Recognizer.enroll` would refuse.

    Raises:
        DataError: the list cannot be used; nobody is enrolled then.
    """
    entries = read_people(path)
    people, refused = _by_name(entries)
    todo = _unknown(recognizer, people)
    known = len(people) - len(todo)
    enrolled, left = 0, sum(map(len, todo.values()))
    on_progress(len(entries) - left, len(entries))
    for batch in _batches(todo):
        new, again, refusals = _enroll(recognizer, batch, Path(path).parent, anyway)
        enrolled, known, refused = enrolled + new, known + again, refused + refusals
        left -= sum(map(len, batch.values()))
        on_progress(len(entries) - left, len(entries))
    return EnrolledList(enrolled=enrolled, known=known, refused=tuple(sorted(refused, key=lambda each: each.line)))


People = dict[str, list[Entry]]
"""The lines of each name."""


def _by_name(entries: Sequence[Entry]) -> tuple[People, list[Refusal]]:
    people: People = {}
    refused = []
    for entry in entries:
        if entry.fault:
            refused.append(_refusal(entry, DataError(entry.fault)))
            continue
        try:
            people.setdefault(clean_name(entry.name), []).append(entry)
        except GalleryError as error:
            refused.append(_refusal(entry, error))
    return people, refused


def _unknown(recognizer: Recognizer, people: People) -> People:
    with recognizer.gallery.storage.reading() as connection:
        known = ids_of(connection, people)
    return {name: lines for name, lines in people.items() if name not in known}


def _batches(people: People) -> Iterator[People]:
    """All lines of a name stay together: after an interruption it has all of its pictures or none."""
    batch: People = {}
    for name, lines in people.items():
        batch[name] = lines
        if sum(map(len, batch.values())) >= _AT_ONCE:
            yield batch
            batch = {}
    if batch:
        yield batch


def _enroll(recognizer: Recognizer, people: People, folder: Path, anyway: bool) -> tuple[int, int, list[Refusal]]:
    """How many are new, how many another process has just enrolled, and who was refused."""
    entries = [(name, entry) for name, lines in people.items() for entry in lines]
    pictures = [(name, folder / entry.picture) for name, entry in entries]
    try:
        outcomes = recognizer.enroll_many(pictures, add=len(people) < len(entries), anyway=anyway)
    except AlreadyEnrolled:
        others = _unknown(recognizer, people)
        new, again, refused = _enroll(recognizer, others, folder, anyway) if others else (0, 0, [])
        return new, again + len(people) - len(others), refused
    refused = [
        _refusal(entry, outcome)
        for (_, entry), outcome in zip(entries, outcomes, strict=True)
        if isinstance(outcome, PictureError)
    ]
    kept = {name for (name, _), outcome in zip(entries, outcomes, strict=True) if not isinstance(outcome, PictureError)}
    return len(kept), 0, refused


def _refusal(entry: Entry, error: UserError) -> Refusal:
    unusable = not isinstance(error, PictureRefused | PictureUnfit)
    return Refusal(entry.line, entry.name, entry.picture, reason=error.message, unusable=unusable)
