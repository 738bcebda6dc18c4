"""A gallery as JSON lines, and back: for another database, another program, or the eye.

The first line says by which model, and how many lines follow; each of them is a template:

    {"firstsight_gallery": 1, "model_identity": "9f…", "model_name": "runs/mine", "identities": 1, "templates": 1}
    {"name": "ada", "enrolled_at": "2026-11-25T12:00:00+00:00", "template": "q83v…"}

In base64: templates, int8, one byte a component; and under the key "picture", where pictures were asked for, PNG.
"""

import base64
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import sqlalchemy as sa

from firstsight.atomic import appearing_whole, remove_leftovers
from firstsight.errors import AlreadyEnrolled, DataError, GalleryError, OtherModel, StorageError
from firstsight.recognition.copies import Making, making_copy, newest_identity, note_copy
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.names import clean_name
from firstsight.recognition.rows import (
    NewTemplate,
    Stored,
    count_templates,
    ids_of,
    insert_templates,
    stored,
    template_size,
)
from firstsight.recognition.schema import gallery, identities

OnProgress = Callable[[int, int], None]
"""Called as on_progress(done, total), in templates."""

FORMAT = 1
_MARK = "firstsight_gallery"
_AT_ONCE = 1000  # templates


class Moved(NamedTuple):
    """How much was exported or imported."""

    identities: int
    templates: int


class _Line(NamedTuple):
    name: str
    template: bytes
    picture: bytes | None
    consent: str | None
    enrolled_at: datetime


def export_lines(
    opened: Gallery,
    out: Path,
    *,
    pictures: bool = False,
    force: bool = False,
    on_progress: OnProgress = lambda done, total: None,
) -> Moved:
    """Write everyone into a file of JSON lines, as they are at this moment: the whole file, or none.

    Only its owner may read it.

    Raises:
        GalleryError: nobody is enrolled; `out` is there already, and `force` does not insist, or is the gallery.
        StorageError: it cannot be written.
    """
    if out.exists() and str(out.resolve()) == str(Path(opened.where).resolve()):
        raise GalleryError(f"{out} is the gallery itself.", hint="Name another file.")
    if out.exists() and not force:
        raise GalleryError(f"{out} is there already.", hint="Name another file, or replace it with --force.")
    try:
        remove_leftovers(out)
        with (
            making_copy(opened.storage, "export", str(out.resolve())) as made,
            appearing_whole(out) as fresh,
            fresh.open("w", encoding="utf-8") as file,
        ):
            return _write(opened, file, made, pictures, on_progress)
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror}.", hint="Name another file.") from error


def import_lines(
    file: Path,
    opened: Gallery,
    *,
    model: tuple[str, str] | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Moved:
    """Enroll everyone whom a file of JSON lines holds: all of them or, if one cannot be, nobody.

    Args:
        file: what `export_lines` has written.
        opened: the gallery. An empty one is bound to the model of the file.
        model: identity of the model that it must be by, and where that lies here; by default any, and where it lay
            when the file was written.
        on_progress: called as on_progress(done, total), in templates.

    Raises:
        DataError: not such a file, damaged or cut short.
        OtherModel: the file holds templates of another model than the gallery or `model`.
        AlreadyEnrolled: a name is in the gallery already.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            return _read(file, lines, opened, model, on_progress)
    except UnicodeDecodeError as error:
        raise _no_export(file) from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.", hint="Check the path.") from error


def _write(opened: Gallery, file: TextIO, made: Making, pictures: bool, on_progress: OnProgress) -> Moved:
    with opened.storage.reading() as connection:
        held = opened.terms.state(connection)
        if not held.size:
            raise GalleryError(f"Nobody is enrolled in {opened.where}.", hint="Enroll first: firstsight enroll")
        made.newest = newest_identity(connection)
        total = count_templates(connection)
        head = {_MARK: FORMAT, "model_identity": held.model_identity, "model_name": held.model_name}
        _print(file, {**head, "identities": held.size, "templates": total})
        done = 0
        for batch in stored(connection, opened.terms.cipher):
            for row in batch:
                _print(file, _as_json(row, pictures))
            done += len(batch)
            on_progress(done, total)
    return Moved(held.size, total)


def _as_json(row: Stored, pictures: bool) -> dict[str, Any]:
    line = {
        "name": row.name,
        "enrolled_at": row.enrolled_at.replace(tzinfo=UTC).isoformat(),
        "template": base64.b64encode(row.template).decode(),
    }
    if pictures and row.picture is not None:
        line["picture"] = base64.b64encode(row.picture).decode()
    if row.consent is not None:
        line["consent"] = row.consent
    return line


def _print(file: TextIO, line: dict[str, Any]) -> None:
    file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _read(file: Path, lines: TextIO, opened: Gallery, model: tuple[str, str] | None, on_progress: OnProgress) -> Moved:
    head = _head(file, lines.readline())
    total = head["templates"]
    parsed = _parsed(file, lines)
    with opened.storage.writing() as connection:
        held = opened.terms.locked(connection)
        by = (held.model_identity, held.model_name) if held.size else model
        _refuse_other_model(file, head, by)
        if not held.size:
            name = by[1] if by else head["model_name"]
            connection.execute(sa.update(gallery).values(model_identity=head["model_identity"], model_name=name))
        length = template_size(connection, opened.terms.cipher)
        before = newest_identity(connection)
        done = 0
        while batch := list(itertools.islice(parsed, _AT_ONCE)):
            length = length or len(batch[0].template)
            wrong = next((line.name for line in batch if len(line.template) != length), None)
            if wrong is not None:
                raise DataError(f"{file}: the template of {wrong} has not {length} bytes, as the others have.")
            _insert(connection, opened, batch, head["model_identity"], before)
            done += len(batch)
            on_progress(done, total)
        if done != total:
            raise DataError(f"{file} has {done} templates, and says {total}.", hint="Copy or export it again.")
        new = connection.scalar(sa.select(sa.func.count()).where(identities.c.id > before)) or 0
        connection.execute(sa.update(gallery).values(size=gallery.c.size + new))
        note_copy(connection, "export", str(file.resolve()), oldest=before + 1)  # it holds them still
    return Moved(new, done)


def _refuse_other_model(file: Path, head: dict[str, Any], by: tuple[str, str] | None) -> None:
    if by and by[0] != head["model_identity"]:
        raise OtherModel(
            f"{file} holds templates of the model {head['model_name']} ({head['model_identity'][:8]}), which cannot be "
            f"compared with those of {by[1]} ({by[0][:8]}).",
            hint="Import it into another gallery: firstsight gallery import FILE --gallery new.sqlite",
        )


def _insert(connection: sa.Connection, opened: Gallery, batch: Sequence[_Line], model: str, before: int) -> None:
    """Identities above `before` are of this import: a name may come again, for its second template."""
    known = ids_of(connection, {line.name for line in batch})
    for name, identity in known.items():
        if identity <= before:
            raise AlreadyEnrolled(f"{name} is enrolled in {opened.where} already.", hint="Forget the name first.")
    new = {line.name: line.enrolled_at for line in reversed(batch) if line.name not in known}
    if new:
        people = [{"name": name, "enrolled_at": since} for name, since in reversed(new.items())]
        connection.execute(sa.insert(identities), people)
        known |= ids_of(connection, new)
    rows = (NewTemplate(known[line.name], *line[1:]) for line in batch)
    insert_templates(connection, opened.terms.cipher, model, rows)


def _head(file: Path, line: str) -> dict[str, Any]:
    try:
        head = json.loads(line)
        version = head[_MARK]
        right = [*map(type, (head["model_identity"], head["model_name"], head["templates"]))] == [str, str, int]
    except (ValueError, TypeError, KeyError) as error:
        raise _no_export(file) from error
    if version != FORMAT:
        raise DataError(f"{file} has format {version}, which this firstsight does not know.", hint="Upgrade it.")
    if not right:
        raise _no_export(file)
    return dict(head)


def _no_export(file: Path) -> DataError:
    return DataError(f"{file} is no exported gallery.", hint="Give a file that firstsight gallery export has written.")


def _parsed(file: Path, lines: TextIO) -> Iterator[_Line]:
    for number, text in enumerate(lines, start=2):
        try:
            line = json.loads(text)
            template = base64.b64decode(line["template"], validate=True)
            picture = base64.b64decode(line["picture"], validate=True) if "picture" in line else None
            since = datetime.fromisoformat(line["enrolled_at"]).astimezone(UTC).replace(tzinfo=None)
            name = clean_name(line["name"])
            consent = line.get("consent")
            if not (consent is None or isinstance(consent, str)):
                raise ValueError("the consent is no text")
            if not any(template):
                raise ValueError("the template is empty or all zero")
        except GalleryError as error:
            raise DataError(f"{file}, line {number}: {error.message}", hint=error.hint) from error
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{file}, line {number} is damaged ({type(error).__name__}: {error}).", hint="Copy or export it again."
            ) from error
        yield _Line(name, template, picture, consent, since)
