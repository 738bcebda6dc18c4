"""Encryption at rest: templates and pictures sealed with AES-256-GCM, each bound to whose it is.

A sealed value is 12 random bytes (the nonce), the ciphertext, and a tag of 16 bytes. What it is bound to is not kept
in it: a row that was copied to another identity does not open.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from firstsight.errors import GalleryError, MissingExtra, StorageError
from firstsight.recognition.schema import gallery, probes, templates

KEY_BYTES = 32
SEAL_BYTES = 28  # what a sealed value is longer by

_NONCE_BYTES = 12
_CHECK = "key check"
_SEALED_AT_ONCE = 1_000


class Cipher:
    """AES-256-GCM under one key of 32 bytes.

    Raises:
        GalleryError: the key has another length.
        MissingExtra: `cryptography` is not installed.
    """

    def __init__(self, key: bytes) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise MissingExtra("Encryption needs cryptography, which is not installed.", extra="encryption") from error
        if len(key) != KEY_BYTES:
            raise GalleryError(f"The key has {len(key)} bytes, not {KEY_BYTES}.", hint="Give secrets.token_bytes(32).")
        self._aes = AESGCM(key)
        self._refused = InvalidTag

    def seal(self, plain: bytes, bound_to: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        sealed: bytes = self._aes.encrypt(nonce, plain, bound_to.encode())
        return nonce + sealed

    def open(self, sealed: bytes, bound_to: str) -> bytes | None:
        """None: made with another key, bound to something else, or altered."""
        try:
            plain: bytes = self._aes.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to.encode())
        except (self._refused, ValueError):  # ValueError: too short for a nonce and a tag
            return None
        return plain

    def check_value(self) -> bytes:
        """What the gallery keeps, to tell this key from others."""
        return self.seal(b"", _CHECK)

    def fits(self, check_value: bytes) -> bool:
        return self.open(check_value, _CHECK) is not None


def seal(cipher: Cipher | None, plain: bytes, bound_to: str) -> bytes:
    """What is written of a value: without a cipher itself."""
    return plain if cipher is None else cipher.seal(plain, bound_to)


def unseal(cipher: Cipher | None, written: bytes, bound_to: str) -> bytes:
    """The value that `seal` wrote.

    Raises:
        StorageError: it was altered or moved after it was written.
    """
    if cipher is None:
        return written
    plain = cipher.open(written, bound_to)
    if plain is None:
        raise StorageError(
            f"The gallery is damaged: a row was altered, or is not of the {bound_to}.",
            hint="Put a backup in its place.",
        )
    return plain


def template_of(identity: int, model_identity: str) -> str:
    """What a template is bound to."""
    return f"template of identity {identity} by model {model_identity}"


def picture_of(identity: int) -> str:
    """What a picture is bound to."""
    return f"picture of identity {identity}"


def probe_of(entry: int) -> str:
    """What the picture of a probe is bound to."""
    return f"probe of entry {entry}"


def sealed_from_server(where: str) -> GalleryError:
    """What is said where a server is to search an encrypted gallery."""
    return GalleryError(
        f"{where} is encrypted, so its server cannot search it.",
        hint="Leave ?search= away: each process then searches in its memory.",
    )


def seal_all(connection: sa.Connection, cipher: Cipher) -> bytes:
    """Seal each row of a gallery that is not encrypted, and have it keep the check value of the key: it is returned."""
    _seal_templates(connection, cipher)
    _seal_probes(connection, cipher)
    check = cipher.check_value()
    connection.execute(sa.update(gallery).values(key_check=check))
    return check


def _seal_templates(connection: sa.Connection, cipher: Cipher) -> None:
    columns = templates.c["id", "identity_id", "model_identity", "template", "picture"]
    sealed = sa.update(templates).where(templates.c.id == sa.bindparam("row")).values(
        template=sa.bindparam("sealed_template"), picture=sa.bindparam("sealed_picture")
    )  # fmt: skip
    for rows in _some_at_once(connection, columns):
        connection.execute(
            sealed,
            [
                {
                    "row": row.id,
                    "sealed_template": cipher.seal(row.template, template_of(row.identity_id, row.model_identity)),
                    "sealed_picture": row.picture and cipher.seal(row.picture, picture_of(row.identity_id)),
                }
                for row in rows
            ],
        )


def _seal_probes(connection: sa.Connection, cipher: Cipher) -> None:
    sealed = sa.update(probes).where(probes.c.ledger_id == sa.bindparam("row")).values(picture=sa.bindparam("sealed"))
    for rows in _some_at_once(connection, probes.c["ledger_id", "picture"]):
        connection.execute(
            sealed, [{"row": entry, "sealed": cipher.seal(picture, probe_of(entry))} for entry, picture in rows]
        )


def _some_at_once(connection: sa.Connection, columns: Iterable[sa.Column[Any]]) -> Iterator[Sequence[Any]]:
    """All rows, a thousand at a time: their pictures need not fit in memory. The first column is their number."""
    number, *others = columns
    some = sa.select(number, *others).order_by(number).limit(_SEALED_AT_ONCE)
    last = 0
    while rows := connection.execute(some.where(number > last)).all():
        yield rows
        last = rows[-1][0]
