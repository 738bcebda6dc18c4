"""The gallery: who is enrolled, from which pictures, by which model. M probes, N templates, D their length."""

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import compress, repeat
from pathlib import Path

import sqlalchemy as sa
from jaxtyping import Int8
from torch import Tensor

from firstsight.errors import AlreadyEnrolled, GalleryError, StorageError, TracesLeft
from firstsight.model_config import OperatingPoint
from firstsight.models.folder import Model
from firstsight.recipes import checked
from firstsight.recognition.copies import Copy, copies_with
from firstsight.recognition.decision import Match
from firstsight.recognition.forgetting import (
    Receipt,
    erase_everyone,
    erase_identity,
    erase_traces,
    finish_erasing,
    leave_to_erase,
)
from firstsight.recognition.keys import unlock
from firstsight.recognition.names import clean_name
from firstsight.recognition.opening import open_storage
from firstsight.recognition.rows import (
    Enrollment,
    NewTemplate,
    enrollments,
    held_templates,
    id_of,
    ids_of,
    insert_templates,
    now,
    state_of,
    templates_of,
)
from firstsight.recognition.schema import gallery, identities, operating_points
from firstsight.recognition.sealing import Cipher, seal_all, sealed_from_server
from firstsight.recognition.searcher import Searcher
from firstsight.recognition.storage import Storage
from firstsight.recognition.terms import Terms

# Made once: to make a statement takes longer than to run it.
_INSERT = sa.insert(identities)
_GROWN = sa.update(gallery).values(size=gallery.c.size + sa.bindparam("more"))


class Gallery:
    """Enrolled identities, their templates and the pictures they were made from.

    `url_or_path` is a file (made if it is not there), `sqlite://`, a gallery in memory, or
    `postgresql://USER@HOST/DATABASE` (see docs/gallery.md). Several processes and threads may use one gallery: each
    search sees what any of them has enrolled and forgotten before. Templates of different models cannot be compared,
    so a gallery holds those of one: see `bind_model`.

    `key`, 32 bytes, encrypts the templates and pictures of a new gallery, and is needed for an encrypted one. Names
    and consent notes are not encrypted.

    Raises:
        GalleryError: not a gallery, or one of a newer firstsight; the key is missing or wrong, or the gallery holds
            someone and is not encrypted.
        MissingExtra: PostgreSQL without its driver, or a key without `cryptography`.
        StorageError: from any method: read-only, locked, damaged, out of reach, or the disk is full. Nothing is
            half-written.

    Example:
        >>> with Gallery("sqlite://") as gallery:
        ...     len(gallery)
        0
    """

    def __init__(self, url_or_path: str | Path, *, key: bytes | None = None) -> None:
        cipher = Cipher(key) if key is not None else None
        self._storage = open_storage(url_or_path)
        self._searcher = Searcher(self._storage)
        try:
            check = unlock(self._storage, cipher)
            self._terms = Terms(where=self.where, model=None, cipher=cipher, key_check=check)
            finish_erasing(self._storage)
        except BaseException:
            self.close()
            raise

    @property
    def where(self) -> str:
        """The file, or that it is in memory."""
        return self._storage.where

    @property
    def storage(self) -> Storage:
        """The database, for the ledger and for what reads or writes whole galleries."""
        return self._storage

    @property
    def terms(self) -> Terms:
        """What all that reads or writes them must obey."""
        return self._terms

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._storage.close()

    def __len__(self) -> int:
        """How many identities."""
        with self._storage.reading() as connection:
            return state_of(connection).size

    def names(self) -> list[str]:
        """Everyone enrolled, in the order of enrollment."""
        with self._storage.reading() as connection:
            return list(connection.scalars(sa.select(identities.c.name).order_by(identities.c.id)))

    def enrollments(self) -> Iterator[tuple[str, list[Enrollment]]]:
        """Everyone enrolled, each with when, whether the picture was kept, and the consent note. Read them to the end
        before the next call: a gallery in memory has one connection."""
        with self._storage.reading() as connection:
            yield from enrollments(connection)

    @property
    def model_identity(self) -> str | None:
        """The model whose templates are held; None while nobody is enrolled."""
        return self._remembered()[0]

    @property
    def model_name(self) -> str | None:
        """The name or folder of that model: `load_model` takes it."""
        return self._remembered()[1]

    def bind_model(self, model: Model) -> None:
        """Say which model made the templates that are enrolled and searched from now on.

        The first enrollment writes it into the gallery.

        Raises:
            OtherModel: the gallery holds templates of another model.
        """
        terms = dataclasses.replace(self._terms, model=(model.identity, model.address))
        with self._storage.reading() as connection:
            terms.refuse_other_model(state_of(connection))
        self._terms = terms

    def enroll(
        self,
        name: str,
        template_D: Int8[Tensor, "D"],
        picture: bytes | None = None,
        *,
        add: bool = False,
        consent: str | None = None,
    ) -> None:
        """Enroll one identity from one template; it is on the disk when this returns.

        `picture` is the PNG of the network's input. `add` lets a known name have one template more. `consent` is a
        note on the consent to it, kept beside the template.

        Raises:
            AlreadyEnrolled: the name is known, and `add` was not asked for.
            OtherModel: the gallery holds templates of another model.
            GalleryError: the name cannot be one; no model was bound; the template has another length or no direction.
        """
        self.enroll_many([name], template_D[None], [picture], add=add, consents=[consent])

    def enroll_many(
        self,
        names: Sequence[str],
        templates_ND: Int8[Tensor, "N D"],
        pictures: Sequence[bytes | None] | None = None,
        *,
        add: bool = False,
        consents: Sequence[str | None] | None = None,
    ) -> list[bool]:
        """Enroll all or, if one is refused, none. Raises as `enroll` does; a name may come twice only with `add`.

        Returns:
            Of each whether it was written. A template that its name has already is not: a retry adds nothing.
        """
        if not names:
            return []
        if not templates_ND.any(1).all():
            raise GalleryError("A template is all zero and stands for no direction.", hint="Check the picture.")
        names = [clean_name(name) for name in names]
        enrolled_at = now()
        with self._storage.writing() as connection:
            model_identity = self._terms.claim(connection, templates_ND.shape[1])
            known = ids_of(connection, names)
            if not add:
                self._refuse_twice(names, known)
            held = held_templates(connection, set(known.values()), self._terms.cipher)
            new = [name for name in dict.fromkeys(names) if name not in known]
            if new:
                connection.execute(_INSERT, [{"name": name, "enrolled_at": enrolled_at} for name in new])
                known |= ids_of(connection, new)
            rows = zip(
                names,
                templates_ND.numpy(),
                pictures or repeat(None, len(names)),
                consents or repeat(None, len(names)),
                strict=True,
            )
            asked = [
                NewTemplate(known[name], template_D.tobytes(), picture, consent, enrolled_at)
                for name, template_D, picture, consent in rows
            ]
            written = []
            for row in asked:
                written.append(row[:2] not in held)
                held.add(row[:2])
            insert_templates(connection, self._terms.cipher, model_identity, compress(asked, written))
            connection.execute(_GROWN, {"more": len(new)})
        return written

    def forget(self, name: str) -> Receipt:
        """Erase an identity, its templates and pictures: gone from the database, its free space, the log and the index.
        The receipt says what is left where only the administrator of a server can erase it.

        If this is interrupted, either nothing is erased, or what is left to erase is erased as the gallery is opened
        again.

        Raises:
            NotEnrolled: nobody has this name.
            TracesLeft: out of the gallery, but traces are left on the disk: another program holds on to them, or the
                disk is full. It has the receipt.
        """
        name = clean_name(name)
        with self._storage.writing() as connection:
            self._terms.locked(connection)
            erased = erase_identity(connection, id_of(connection, name, self.where))
        try:
            self._erase_traces(f"{name} is out of the gallery")
        except TracesLeft as left:
            left.receipt = erased.receipt(name, self._storage, str(left))
            raise
        return erased.receipt(name, self._storage)

    def clear(self) -> None:
        """Forget everyone. Operating points stay."""
        with self._storage.writing() as connection:
            self._terms.locked(connection)
            erase_everyone(connection)
        self._erase_traces("Everyone is out of the gallery")

    def encrypt(self, key: bytes) -> tuple[Copy, ...]:
        """Seal all templates and pictures with a key, in one transaction; the gallery is not opened without it again.

        Returns:
            The backups and exports made before: they stay in clear.

        Raises:
            GalleryError: it is encrypted already, its server is to search it, or the key is not of 32 bytes.
            TracesLeft: it is encrypted, but traces of what was in clear are left in its files, as for `forget`.
            MissingExtra: `cryptography` is not installed.
        """
        cipher = Cipher(key)
        if self._storage.nearest:
            raise sealed_from_server(self.where)
        with self._storage.writing() as connection:
            if self._terms.locked(connection).key_check is not None:
                raise GalleryError(f"{self.where} is encrypted already.", hint="Use it with its key.")
            check = seal_all(connection, cipher)
            leave_to_erase(connection)
            in_clear = copies_with(connection)
        self._terms = dataclasses.replace(self._terms, cipher=cipher, key_check=check)
        self._erase_traces(f"{self.where} is encrypted")
        return in_clear

    def search(self, templates_MD: Int8[Tensor, "M D"], k: int = 2) -> list[list[Match]]:
        """The `k` nearest identities to each probe, nearest first; fewer where fewer are enrolled.

        Exact: the order is that of `template_distances` to all templates, an identity being as near as its nearest
        template, and the earlier enrolled first where distances are equal.

        Raises:
            OtherModel: the gallery holds templates of another model than the one bound.
            GalleryError: no model was bound, or the probes have another length.
        """
        return self._searcher.search(self._terms, templates_MD, k)

    def count_templates(self) -> int:
        """How many templates a search looks at.

        Raises:
            OtherModel: the gallery holds templates of another model than the one bound.
            GalleryError: no model was bound.
        """
        return self._searcher.count(self._terms)

    def templates_of(self, name: str) -> Int8[Tensor, "K D"]:
        """The templates of one identity, in the order of enrollment.

        Raises:
            NotEnrolled: nobody has this name.
            OtherModel: a model was bound, and the gallery holds templates of another.
        """
        with self._storage.reading() as connection:
            held = self._terms.state(connection)
            if self._terms.model:
                self._terms.refuse_other_model(held)
            return templates_of(connection, id_of(connection, clean_name(name), self.where), self._terms.cipher)

    def operating_point(self, model_identity: str) -> OperatingPoint | None:
        """Where 'the same' ends for this model in this gallery, if it was measured."""
        query = sa.select(operating_points.c.point).where(operating_points.c.model_identity == model_identity)
        with self._storage.reading() as connection:
            point = connection.scalar(query)
        found: OperatingPoint | None = checked(OperatingPoint, point, where=self.where) if point else None
        return found

    def set_operating_point(self, model_identity: str, point: OperatingPoint) -> None:
        """Keep an operating point for a model, in place of an earlier one."""
        row = {"model_identity": model_identity, "point": dataclasses.asdict(point), "set_at": now()}
        with self._storage.writing() as connection:
            self._terms.locked(connection)
            of_model = operating_points.c.model_identity == model_identity
            connection.execute(sa.delete(operating_points).where(of_model))
            connection.execute(sa.insert(operating_points), row)

    def _remembered(self) -> tuple[str | None, str | None]:
        with self._storage.reading() as connection:
            held = state_of(connection)
        return (held.model_identity, held.model_name) if held.size else (None, None)

    def _refuse_twice(self, names: Sequence[str], known: dict[str, int]) -> None:
        seen = set(known)
        for name in names:
            if name in seen:
                raise AlreadyEnrolled(
                    f"{name} is enrolled in {self.where} already.",
                    hint="Add a second picture with --add, or forget the name first.",
                )
            seen.add(name)

    def _erase_traces(self, done: str) -> None:
        self._searcher.drop_forgotten()
        try:
            erase_traces(self._storage)
        except StorageError as error:
            raise TracesLeft(f"{done}, but {error.message}", hint=error.hint) from error
