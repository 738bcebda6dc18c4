"""The key of an encrypted gallery: where it comes from, and whether it fits."""

import os
from pathlib import Path

from firstsight.atomic import to_disk
from firstsight.errors import GalleryError
from firstsight.recognition.forgetting import leave_to_erase
from firstsight.recognition.rows import lock, state_of
from firstsight.recognition.sealing import KEY_BYTES, Cipher, seal_all, sealed_from_server
from firstsight.recognition.storage import Storage

_WHICH = "Name the file that firstsight gallery encrypt --key-file FILE has made: no other key opens the gallery."
KEY, KEY_FILE = "FIRSTSIGHT_KEY", "FIRSTSIGHT_KEY_FILE"  # in the environment: the key, or the file that holds it


def unlock(storage: Storage, cipher: Cipher | None) -> bytes | None:
    """The check value of the gallery, after the key was found to fit it; None where nothing is encrypted.

    A gallery without anyone in it becomes an encrypted one.

    Raises:
        GalleryError: the key is missing or wrong, the gallery holds someone and is not encrypted, or the server is to
            search what it cannot read.
    """
    with storage.reading() as connection:
        check = state_of(connection).key_check
    if cipher is not None and storage.nearest:
        raise (
            sealed_from_server(storage.where)
            if check is not None
            else GalleryError(
                f"{storage.where} is not encrypted, and a key was given: a server cannot search what is encrypted.",
                hint=f"Unset {KEY} and {KEY_FILE}, or leave ?search= away.",
            )
        )
    if cipher is None:
        if check is not None:
            raise GalleryError(
                f"{storage.where} is encrypted, and no key was given.", hint=f"Set {KEY_FILE} to the file of its key."
            )
        return None
    check = check or _claim(storage, cipher)
    if not cipher.fits(check):
        raise GalleryError(f"The key does not fit {storage.where}.", hint="Give the key that it was encrypted with.")
    return check


def _claim(storage: Storage, cipher: Cipher) -> bytes:
    with storage.writing() as connection:
        held = lock(connection)
        if held.key_check is not None:  # another process was faster
            return held.key_check
        if held.size:
            raise GalleryError(
                f"{storage.where} is not encrypted, and a key was given.",
                hint=f"Type: firstsight gallery encrypt --gallery {storage.where}; or unset {KEY} and {KEY_FILE}.",
            )
        check = seal_all(connection, cipher)  # of the ledger there may be pictures
        leave_to_erase(connection)
    return check


def environment_key() -> bytes | None:
    """The key in FIRSTSIGHT_KEY, or in the file that FIRSTSIGHT_KEY_FILE names; None where neither is set.

    Raises:
        GalleryError: it is not 64 hexadecimal digits, or the file cannot be read.
    """
    if text := os.environ.get(KEY):
        return _parsed(text, KEY)
    path = os.environ.get(KEY_FILE)
    return key_in_file(Path(path)) if path else None


def key_in_file(path: Path) -> bytes:
    """The key in a file.

    Raises:
        GalleryError: it is not 64 hexadecimal digits, or the file cannot be read.
    """
    try:
        text = path.read_text("ascii", errors="replace")
    except OSError as error:
        raise GalleryError(
            f"The key file {path} cannot be read: {error.strerror}.",
            hint=_WHICH,
        ) from error
    return _parsed(text, str(path))


def make_key_file(path: Path) -> bytes:
    """A new random key, in a file that only its owner may read.

    Raises:
        GalleryError: the file is there already, or cannot be written.
    """
    key = os.urandom(KEY_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(key.hex() + "\n")
            file.flush()
        to_disk(path)
        to_disk(path.parent)
    except OSError as error:
        raise GalleryError(
            f"The key file {path} cannot be made: {error.strerror}.", hint="Name another place for it."
        ) from error
    return key


def _parsed(text: str, where: str) -> bytes:
    digits = text.strip()
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES or len(digits) != 2 * KEY_BYTES:
        raise GalleryError(
            f"{where} holds no key: {2 * KEY_BYTES} hexadecimal digits are needed.",
            hint=_WHICH,
        )
    return key
