"""Cookies that a page signs in with, and the tokens that tell its requests from those of other sites.

A cookie is `KEY.ISSUED.NONCE.MAC`: nothing is kept of it, so it survives a restart and ends with its key.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

LASTS = 30 * 86_400
"""Seconds since it was last used, to the day."""
_RENEWED = 86_400
LOCAL = "local"
"""In place of a key, where none is needed."""


class Sessions:
    """Makes and reads cookies; `secret` gives what they are signed with."""

    def __init__(self, secret: Callable[[], bytes]) -> None:
        self._secret = secret

    def make(self, key: str) -> str:
        """A cookie for the key of this id."""
        return self._signed(key, secrets.token_urlsafe(12))

    def key_of(self, cookie: str) -> str | None:
        """The id of the key that signed in; None if the cookie is not ours, or too old."""
        text, _, mac = cookie.rpartition(".")
        if not self._secret() or not hmac.compare_digest(mac.encode(), self._mac("cookie", text).encode()):
            return None
        key, issued, _ = text.split(".")
        return key if time.time() - int(issued) < LASTS else None

    def renewed(self, cookie: str) -> str | None:
        """The same session as of now, with the same token; None while the cookie is younger than a day."""
        key, issued, nonce, _ = cookie.split(".")
        return self._signed(key, nonce) if time.time() - int(issued) > _RENEWED else None

    def token(self, cookie: str) -> str:
        """What a page that holds this cookie sends with each request that changes something."""
        key, _, nonce = cookie.rpartition(".")[0].split(".")
        return self._mac("token", f"{key}.{nonce}")

    def fits(self, cookie: str, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.token(cookie).encode())

    def _signed(self, key: str, nonce: str) -> str:
        text = f"{key}.{int(time.time())}.{nonce}"
        return f"{text}.{self._mac('cookie', text)}"

    def _mac(self, use: str, text: str) -> str:
        return hmac.new(self._secret(), f"{use}:{text}".encode(), hashlib.sha256).hexdigest()
