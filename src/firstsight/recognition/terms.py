"""On what terms a gallery is used: the model that was bound to it, and the key that it was opened with."""

import dataclasses

import sqlalchemy as sa

from firstsight.errors import GalleryError, OtherModel
from firstsight.recognition.rows import State, lock, state_of, template_size
from firstsight.recognition.schema import gallery
from firstsight.recognition.sealing import Cipher

_CLAIM = sa.update(gallery).values(model_identity=sa.bindparam("identity"), model_name=sa.bindparam("name"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Terms:
    """What a gallery must agree with before anything is read from it, or written into it.

    `model` is an identity, and the name to find it by; None until one is bound. `key_check` is the gallery's own
    evidence of the key, None where nothing is encrypted.
    """

    where: str
    model: tuple[str, str] | None
    cipher: Cipher | None
    key_check: bytes | None

    def state(self, connection: sa.Connection) -> State:
        """Which model, how many, which key. Raises GalleryError: it was encrypted since it was opened."""
        return self.refuse_other_key(state_of(connection))

    def locked(self, connection: sa.Connection) -> State:
        """The same, and no other writer comes in until this transaction ends."""
        return self.refuse_other_key(lock(connection))

    def claim(self, connection: sa.Connection, size: int) -> str:
        """Lock the gallery for who writes templates of a length into it, and write the model down if it is the first.

        Returns:
            The model's identity.
        """
        held = self.locked(connection)
        self.refuse_other_model(held)
        identity, name = self.bound
        if not held.size:
            connection.execute(_CLAIM, {"identity": identity, "name": name})
        self.refuse_other_size(size, template_size(connection, self.cipher) or size)
        return identity

    def refuse_other_key(self, held: State) -> State:
        """Refuse a gallery that another process has encrypted since it was opened.

        Raises:
            GalleryError: it has.
        """
        if held.key_check != self.key_check:
            raise GalleryError(f"{self.where} was encrypted after it was opened.", hint="Open it again, with its key.")
        return held

    @property
    def bound(self) -> tuple[str, str]:
        """The model. Raises GalleryError: none was bound."""
        if self.model is None:
            raise GalleryError(f"No model was bound to {self.where}.", hint="Call gallery.bind_model(model) first.")
        return self.model

    def refuse_other_model(self, held: State) -> None:
        """Refuse templates that the bound model did not make.

        Raises:
            OtherModel: another made them.
            GalleryError: no model was bound.
        """
        identity, name = self.bound
        if held.size and held.model_identity != identity:
            raise OtherModel(
                f"{self.where} holds templates of the model {held.model_name} ({held.model_identity[:8]}), "
                f"which cannot be compared with those of {name} ({identity[:8]}).",
                hint=f"Leave out --model, and name --gallery {self.where}: it knows its model. Or move it: "
                f"firstsight gallery reenroll --model {name} --gallery {self.where}",
            )

    def refuse_other_size(self, size: int, held: int) -> None:
        """Raises GalleryError: templates of another length than those held."""
        if size != held:
            raise GalleryError(f"{self.where} holds templates of {held} bytes, not {size}.", hint="Use their model.")
