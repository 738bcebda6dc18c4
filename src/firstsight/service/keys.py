"""Keys of the service: who may ask for what. Kept as hashes, in a file that only its owner may read."""

import dataclasses
import errno
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from firstsight.atomic import appearing_whole
from firstsight.errors import StorageError, UserError
from firstsight.recognition.names import clean_name

Role = Literal["kiosk", "enroll", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may all that those before it may."""

_PREFIX = "fs"
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})  # as of some network disks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Key:
    """What is kept of a key. `id` is its public part."""

    id: str
    name: str
    role: Role
    sha256: str
    made_at: str

    def to_json(self) -> dict[str, Any]:
        """Without the hash."""
        plain = dataclasses.asdict(self)
        del plain["sha256"]
        return plain


@dataclasses.dataclass(frozen=True)
class _Held:
    secret: bytes
    keys: dict[str, Key]


class Keys:
    """The keys in a file, which is made with the first of them. Another process may add and revoke: each look sees it.

    A key has 256 random bits, so its SHA-256 needs no salt and no stretching.

    Raises:
        StorageError: from any method: the file cannot be read or written, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._held = _Held(b"", {})

    def __iter__(self) -> Iterator[Key]:
        return iter(self._read().keys.values())

    @property
    def secret(self) -> bytes:
        """What cookies are signed with; empty before the first key."""
        return self._read().secret

    def add(self, name: str, role: Role) -> str:
        """A new key, in clear: it is not kept, and cannot be shown again.

        Raises:
            GalleryError: the name cannot be one.
        """
        name, number, random = clean_name(name), secrets.token_hex(4), secrets.token_urlsafe(32)
        key = f"{_PREFIX}-{number}-{random}"
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        with self._changing() as held:
            held.keys[number] = Key(id=number, name=name, role=role, sha256=_digest(key), made_at=made_at)
        return key

    def revoke(self, number: str) -> Key:
        """It opens nothing from now on; nor do the cookies that it signed in.

        Raises:
            UserError: there is no such key.
        """
        with self._changing() as held:
            if number not in held.keys:
                raise UserError(f"There is no key {number}.", hint="List them: firstsight serve keys list")
            return held.keys.pop(number)

    def find(self, key: str) -> Key | None:
        """The record of a key that was presented; None if it is none."""
        _, _, rest = key.partition("-")
        held = self._read().keys.get(rest.partition("-")[0])
        known = hmac.compare_digest(_digest(key), held.sha256 if held else _digest(""))
        return held if known else None

    def by_id(self, number: str) -> Key | None:
        return self._read().keys.get(number)

    def _read(self) -> _Held:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            self._seen, self._held = None, _Held(b"", {})
            return self._held
        except OSError as error:
            raise failed(self.path, "read", error) from error
        if (seen := (stat.st_ino, stat.st_mtime_ns, stat.st_size)) != self._seen:
            self._held, self._seen = self._parsed(), seen
        return self._held

    def _parsed(self) -> _Held:
        try:
            plain = json.loads(self.path.read_bytes())
            return _Held(bytes.fromhex(plain["secret"]), {each["id"]: Key(**each) for each in plain["keys"]})
        except OSError as error:
            raise failed(self.path, "read", error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(
                f"{self.path} is damaged.", hint="Put a backup in its place, or remove it and make new keys."
            ) from error

    @contextmanager
    def _changing(self) -> Iterator[_Held]:
        """What the block changes is written whole; other processes wait."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.path.with_suffix(".lock")):
                held = self._read()
                held = _Held(held.secret or secrets.token_bytes(32), dict(held.keys))
                yield held
                plain = {"secret": held.secret.hex(), "keys": [dataclasses.asdict(key) for key in held.keys.values()]}
                with appearing_whole(self.path) as fresh:
                    fresh.write_text(json.dumps(plain, indent=2, ensure_ascii=False), "utf-8")
        except OSError as error:
            raise failed(self.path, "written", error) from error


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Other processes that ask for this file wait until the block ends; `shared`: but for those that share it too.

    However a process ends, the system lets go of its lock.

    Raises:
        BlockingIOError: another has it, and we do not `wait`.
        OSError: the file cannot be made, or its disk has no locks.
    """
    import fcntl

    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def failed(file: Path | str, what: str, error: OSError) -> StorageError:
    """What to say of a file of the service that cannot be read, written or locked."""
    hint = "Check its permissions."
    if error.errno in _NO_LOCKS:
        hint = "Name a folder on a disk of this machine: FIRSTSIGHT_HOME=FOLDER"
    return StorageError(f"{file} cannot be {what}: {error.strerror}.", hint=hint)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
