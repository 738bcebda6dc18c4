"""The gallery: who is enrolled, from which pictures, by which model. M probes, N templates, D their length."""

import dataclasses
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from jaxtyping import Int8
from torch import Tensor

from firstsight.config import OperatingPoint
from firstsight.errors import AlreadyEnrolled, GalleryError, NotEnrolled, OtherModel, StorageError
from firstsight.models.folder import Model
from firstsight.recognition.decision import Match
from firstsight.recognition.index import Index
from firstsight.recognition.rows import (
    State,
    clean_name,
    drop_forgotten,
    ids_of,
    load_new,
    lock,
    names_of,
    stacked,
    state_of,
)
from firstsight.recognition.schema import forgotten, gallery, identities, operating_points, templates
from firstsight.recognition.storage import Storage


@dataclasses.dataclass(frozen=True, kw_only=True)
class Receipt:
    """What was erased, and where it was."""

    name: str
    gallery: str
    templates: int
    pictures: int
    erased_from: tuple[str, ...] = ("database", "write-ahead log", "index")


class Gallery:
    """Enrolled identities, their templates and the pictures they were made from.

    `url_or_path` is a file (made if it is not there) or `sqlite://`, a gallery in memory. Several processes and
    threads may use one gallery: each search sees what any of them has enrolled and forgotten before. Templates of
    different models cannot be compared, so a gallery holds those of one: see `bind_model`.

    Raises:
        GalleryError: not a gallery, or one of a newer firstsight.
        StorageError: from any method: read-only, locked, damaged, or the disk is full. Nothing is half-written.

    Example:
        >>> with Gallery("sqlite://") as gallery:
        ...     len(gallery)
        0
    """

    def __init__(self, url_or_path: str | Path) -> None:
        self._storage = Storage(url_or_path)
        self._index = Index()
        self._lock = threading.Lock()  # guards the index
        self._model: tuple[str, str] | None = None  # identity, and the name to find it by

    @property
    def where(self) -> str:
        """The file, or that it is in memory."""
        return self._storage.where

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
        bound = model.identity, model.address
        with self._storage.reading() as connection:
            self._refuse_other_model(state_of(connection), bound)
        self._model = bound

    def enroll(
        self, name: str, template_D: Int8[Tensor, "D"], picture: bytes | None = None, *, add: bool = False
    ) -> None:
        """Enroll one identity from one template; it is on the disk when this returns.

        `picture` is the PNG of the network's input. `add` lets a known name have one template more.

        Raises:
            AlreadyEnrolled: the name is known, and `add` was not asked for.
            OtherModel: the gallery holds templates of another model.
            GalleryError: the name cannot be one; no model was bound; the template has another length or no direction.
        """
        self.enroll_many([name], template_D[None], [picture], add=add)

    def enroll_many(
        self,
        names: Sequence[str],
        templates_ND: Int8[Tensor, "N D"],
        pictures: Sequence[bytes | None] | None = None,
        *,
        add: bool = False,
    ) -> None:
        """Enroll all or, if one is refused, none. Raises as `enroll` does; a name may come twice only with `add`."""
        if not names:
            return
        if not templates_ND.any(1).all():
            raise GalleryError("A template is all zero and stands for no direction.", hint="Check the picture.")
        names = [clean_name(name) for name in names]
        now = _now()
        with self._storage.writing() as connection:
            model_identity = self._claim(connection, templates_ND.shape[1])
            known = ids_of(connection, names)
            if not add:
                self._refuse_twice(names, known)
            new = [name for name in dict.fromkeys(names) if name not in known]
            if new:
                connection.execute(sa.insert(identities), [{"name": name, "enrolled_at": now} for name in new])
                known |= ids_of(connection, new)
            rows = zip(names, templates_ND.numpy(), pictures or [None] * len(names), strict=True)
            connection.execute(
                sa.insert(templates),
                [
                    {
                        "identity_id": known[name],
                        "model_identity": model_identity,
                        "template": template_D.tobytes(),
                        "picture": picture,
                        "enrolled_at": now,
                    }
                    for name, template_D, picture in rows
                ],
            )
            connection.execute(sa.update(gallery).values(size=gallery.c.size + len(new)))

    def forget(self, name: str) -> Receipt:
        """Erase an identity, its templates and pictures: overwritten in the database, gone from log and index.

        Raises:
            NotEnrolled: nobody has this name.
            StorageError: erased from the database, but another program keeps the log open, which still holds it.
        """
        name = clean_name(name)
        with self._storage.writing() as connection:
            lock(connection)
            identity = self._id_of(connection, name)
            counts = sa.select(sa.func.count(), sa.func.count(templates.c.picture))
            held, pictures = connection.execute(counts.where(templates.c.identity_id == identity)).one()
            connection.execute(sa.delete(templates).where(templates.c.identity_id == identity))
            connection.execute(sa.delete(identities).where(identities.c.id == identity))
            connection.execute(sa.insert(forgotten).values(first_identity=identity, last_identity=identity))
            connection.execute(sa.update(gallery).values(size=gallery.c.size - 1))
        self._erase_traces(f"{name} is out of the gallery")
        return Receipt(name=name, gallery=self.where, templates=held, pictures=pictures)

    def clear(self) -> None:
        """Forget everyone. Operating points stay."""
        with self._storage.writing() as connection:
            lock(connection)
            last = connection.scalar(sa.select(sa.func.max(identities.c.id))) or 0
            connection.execute(sa.delete(templates))
            connection.execute(sa.delete(identities))
            connection.execute(sa.insert(forgotten).values(first_identity=0, last_identity=last))
            connection.execute(sa.update(gallery).values(size=0))
        self._erase_traces("Everyone is out of the gallery")

    def search(self, templates_MD: Int8[Tensor, "M D"], k: int = 2) -> list[list[Match]]:
        """The `k` nearest identities to each probe, nearest first; fewer where fewer are enrolled.

        Exact: the order is that of `template_distances` to all templates, an identity being as near as its nearest
        template, and the earlier enrolled first where distances are equal.

        Raises:
            OtherModel: the gallery holds templates of another model than the one bound.
            GalleryError: no model was bound, or the probes have another length.
        """
        while True:
            with self._lock:
                size = self._follow()
                self._refuse_other_size(templates_MD.shape[1], self._index.size or templates_MD.shape[1])
                found = self._index.search(templates_MD, min(k, size))
            ids = {identity for nearest in found for identity, _ in nearest}
            with self._storage.reading() as connection:
                name_of = names_of(connection, ids)
            if len(name_of) == len(ids):  # else one was forgotten just now
                return [[Match(name_of[identity], distance) for identity, distance in nearest] for nearest in found]

    def templates_of(self, name: str) -> Int8[Tensor, "K D"]:
        """The templates of one identity, in the order of enrollment.

        Raises:
            NotEnrolled: nobody has this name.
            OtherModel: a model was bound, and the gallery holds templates of another.
        """
        with self._storage.reading() as connection:
            self._refuse_other_model(state_of(connection), self._model)
            of_name = templates.c.identity_id == self._id_of(connection, clean_name(name))
            query = sa.select(templates.c.template).where(of_name).order_by(templates.c.id)
            return stacked(list(connection.scalars(query)))

    def operating_point(self, model_identity: str) -> OperatingPoint | None:
        """Where 'the same' ends for this model in this gallery, if it was measured."""
        query = sa.select(operating_points.c.point).where(operating_points.c.model_identity == model_identity)
        with self._storage.reading() as connection:
            point = connection.scalar(query)
        return OperatingPoint(**point) if point else None

    def set_operating_point(self, model_identity: str, point: OperatingPoint) -> None:
        """Keep an operating point for a model, in place of an earlier one."""
        row = {"model_identity": model_identity, "point": dataclasses.asdict(point), "set_at": _now()}
        with self._storage.writing() as connection:
            of_model = operating_points.c.model_identity == model_identity
            connection.execute(sa.delete(operating_points).where(of_model))
            connection.execute(sa.insert(operating_points), row)

    def _remembered(self) -> tuple[str | None, str | None]:
        with self._storage.reading() as connection:
            held = state_of(connection)
        return (held.model_identity, held.model_name) if held.size else (None, None)

    def _claim(self, connection: sa.Connection, size: int) -> str:
        """Lock the gallery for this writer, and write its model down if it is the first."""
        held = lock(connection)
        model = self._bound()
        self._refuse_other_model(held, model)
        if not held.size:
            connection.execute(sa.update(gallery).values(model_identity=model[0], model_name=model[1]))
        length = connection.scalar(sa.select(sa.func.length(templates.c.template)).limit(1))
        self._refuse_other_size(size, length or size)
        return model[0]

    def _follow(self) -> int:
        """Bring the index to what the database holds now, and count the identities."""
        with self._storage.reading() as connection:
            held = state_of(connection)
            self._refuse_other_model(held, self._bound())
            drop_forgotten(connection, self._index)
            load_new(connection, self._index)
        return held.size

    def _bound(self) -> tuple[str, str]:
        if self._model is None:
            raise GalleryError(f"No model was bound to {self.where}.", hint="Call gallery.bind_model(model) first.")
        return self._model

    def _refuse_other_model(self, held: State, model: tuple[str, str] | None) -> None:
        if model and held.size and held.model_identity != model[0]:
            raise OtherModel(
                f"{self.where} holds templates of the model {held.model_name} ({held.model_identity[:8]}), "
                f"which cannot be compared with those of {model[1]} ({model[0][:8]}).",
                hint=f"Use --model {held.model_name}, or enroll into another gallery.",
            )

    def _refuse_other_size(self, size: int, held: int) -> None:
        if size != held:
            raise GalleryError(f"{self.where} holds templates of {held} bytes, not {size}.", hint="Use their model.")

    def _refuse_twice(self, names: Sequence[str], known: dict[str, int]) -> None:
        seen = set(known)
        for name in names:
            if name in seen:
                raise AlreadyEnrolled(
                    f"{name} is enrolled in {self.where} already.",
                    hint="Add a second picture with --add, or forget the name first.",
                )
            seen.add(name)

    def _id_of(self, connection: sa.Connection, name: str) -> int:
        identity = ids_of(connection, [name]).get(name)
        if identity is None:
            raise NotEnrolled(
                f"{name} is not enrolled in {self.where}.", hint="Check the spelling: upper and lower case count."
            )
        return identity

    def _erase_traces(self, done: str) -> None:
        with self._lock, self._storage.reading() as connection:
            drop_forgotten(connection, self._index)
        try:
            self._storage.empty_log()
        except StorageError as error:
            raise StorageError(f"{done}, but {error.message}", hint=error.hint) from error


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
