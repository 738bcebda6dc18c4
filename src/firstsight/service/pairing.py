"""One-time codes: a tablet that is told one gets a key of its own, without anybody typing a key."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from firstsight.atomic import appearing_whole
from firstsight.service.keys import Key, Keys, Role, failed, locked

MINUTES = 10
"""So long a code is good."""
ROLE: Role = "kiosk"
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: none looks like another
_LENGTH = 8  # 40 bits: at ten tries, then one in six seconds, none is guessed in ten minutes
_MISREAD = str.maketrans("OIL", "011", "- ")


@dataclass(frozen=True)
class Invitation:
    """A code in clear, and until when it is good."""

    code: str
    ends: datetime

    def at(self, address: str) -> str:
        """Where the tablet goes. What follows the # stays in the browser: no log or proxy sees it."""
        return f"{address}/pair.html#{self.code}"


class Codes:
    """The codes of a service, kept as hashes beside its keys. Another process may make one: each look sees it.

    Raises:
        StorageError: from any method: the file cannot be read or written.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._path = keys.path.with_name("pairing.json")
        self._changes = keys.path.with_name("pairing.lock")
        self._running = keys.path.with_name("running.lock")

    @property
    def address(self) -> str | None:
        """Where the service was last started."""
        found: str | None = self._read()["address"]
        return found

    @contextmanager
    def looked_at(self, address: str) -> Iterator[None]:
        """A service at this address looks at the codes while the block runs; who makes one elsewhere can see that."""
        with ExitStack() as held:
            with self._changing() as changed:
                changed["address"] = address  # before the lock: who sees that a service runs finds it there
            try:
                held.enter_context(locked(self._running, shared=True))
            except OSError as error:
                raise failed(self._running, "locked", error) from error
            yield

    @property
    def are_looked_at(self) -> bool:
        """Whether a service of this machine does now: without one a code opens nothing."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self._changes):  # one at a time tries: none takes another's try for a service
                try:
                    with locked(self._running, wait=False):
                        return False
                except BlockingIOError:
                    return True
        except OSError as error:
            raise failed(self._running, "locked", error) from error

    def make(self) -> Invitation:
        """A new code. It is good once, for ten minutes."""
        letters = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
        ends = int(time.time()) + 60 * MINUTES
        with self._changing() as held:
            held["codes"].append({"sha256": _digest(letters), "ends": ends})
        return Invitation(f"{letters[:4]}-{letters[4:]}", datetime.fromtimestamp(ends, UTC))

    def redeem(self, code: str) -> Key | None:
        """A key for the tablet that knows the code, which is used up by it; None if it is none that is good."""
        digest = _digest(code)
        if not _known(digest, self._read()["codes"]):
            return None
        with self._changing() as held:
            if not _known(digest, held["codes"]):  # another was quicker
                return None
            held["codes"] = [each for each in held["codes"] if each["sha256"] != digest]
            return self._keys.find(self._keys.add(self._next_name(), ROLE))

    def _next_name(self) -> str:
        taken, number = {key.name for key in self._keys}, 1
        while f"tablet {number}" in taken:
            number += 1
        return f"tablet {number}"

    def _read(self) -> dict[str, Any]:
        try:
            held = json.loads(self._path.read_bytes())
            good = [each for each in held["codes"] if each["ends"] > time.time()]
            return {"address": held["address"], "codes": good}
        except FileNotFoundError:
            return {"address": None, "codes": []}
        except OSError as error:
            raise failed(self._path, "read", error) from error
        except (ValueError, KeyError, TypeError):
            return {"address": None, "codes": []}  # nothing in it is worth more than ten minutes

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self._changes):
                held = self._read()
                yield held
                with appearing_whole(self._path) as fresh:
                    fresh.write_text(json.dumps(held, indent=2), "utf-8")
        except OSError as error:
            raise failed(self._path, "written", error) from error


def _known(digest: str, codes: list[dict[str, Any]]) -> bool:
    """Whether it is one of them, in a time that says nothing of them."""
    return sum(hmac.compare_digest(digest, each["sha256"]) for each in codes) > 0


def _digest(code: str) -> str:
    letters = code.upper().translate(_MISREAD)
    return hashlib.sha256(letters.encode("utf-8", "replace")).hexdigest()
