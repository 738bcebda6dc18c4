"""Who asks, and may they: looked at before anything of a request's body is read."""

import dataclasses
import secrets
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firstsight.errors import FirstsightError
from firstsight.service.addresses import origin
from firstsight.service.keys import ROLES, Keys, Role
from firstsight.service.pairing import Codes
from firstsight.service.problems import Problem, respond
from firstsight.service.rates import Rates
from firstsight.service.sessions import LASTS, LOCAL, Sessions

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
SESSION = "/v1/session"
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_BEARER = HTTPBearer(auto_error=False, scheme_name="key", description="A key of this service; none on 127.0.0.1.")
_SEND = "Send Authorization: Bearer KEY, or sign in."
_ANOTHER = "Make another: firstsight serve pair"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


@dataclasses.dataclass(frozen=True)
class Caller:
    """Who asks: a key's id, or LOCAL; `by` which means."""

    id: str
    role: Role
    by: Literal["key", "cookie", "local"]


class Access:
    """The rules of one service. Without `keys` everyone on this machine is an admin."""

    def __init__(self, keys: Keys | None, *, per_second: float) -> None:
        self.keys = keys
        own_secret = secrets.token_bytes(32)
        self.sessions = Sessions((lambda: keys.secret) if keys is not None else (lambda: own_secret))
        self._rates = Rates(per_second=per_second, burst=2 * per_second)
        self._failures = Rates(per_second=1 / 6, burst=10)  # wrong keys, by address

    def caller(self, headers: Headers, cookie: str | None, address: str) -> Caller | None:
        """Who asks; None if nobody is signed in.

        Raises:
            Problem: a wrong key, or too many of them.
        """
        scheme, _, presented = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.keys is not None:
            return self.sign_in(presented.strip(), address)
        number = self.sessions.key_of(cookie) if cookie else None
        if self.keys is None:
            return Caller(LOCAL, "admin", "local")
        key = self.keys.by_id(number) if number else None
        return Caller(key.id, key.role, "cookie") if key else None

    def sign_in(self, presented: str, address: str) -> Caller:
        """The caller that a key makes. Wrong ones before it do not keep a right one waiting: nobody guesses 256 bits.

        Raises:
            Problem: it is none, or this address has tried too many.
        """
        assert self.keys is not None, "only where keys are on"
        key = self.keys.find(presented)
        if key is None:
            self._count_failure(address)
            raise _unauthorized("This is no key of this service.", _SEND)
        return Caller(key.id, key.role, "key")

    def pair(self, code: str, address: str) -> Caller:
        """The caller that a one-time code makes: a tablet with a key of its own.

        Raises:
            Problem: it is no code that is still good, or this address has tried too many.
        """
        assert self.keys is not None, "only where keys are on"
        self._count_failure(address)  # before it is looked at: of many at once each counts, and a right one too
        key = Codes(self.keys).redeem(code)
        if key is None:
            raise _unauthorized("This code is unknown, used or over.", _ANOTHER)
        self._failures.give(origin(address))
        return Caller(key.id, key.role, "cookie")

    def _count_failure(self, address: str) -> None:
        if wait := self._failures.take(origin(address)):
            raise _too_many(wait)

    def refuse_too_many(self, caller: Caller) -> None:
        """Raises Problem: this key has asked too often."""
        if caller.by != "local" and (wait := self._rates.take(caller.id)):
            raise _too_many(wait)


class Gate:
    """The outermost ASGI application: refuses, or leaves the caller in the request's state."""

    def __init__(self, app: ASGIApp, access: Access, where: str) -> None:
        self._app = app
        self._access = access
        self._where = where

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            scope.setdefault("state", {}).update(self._admitted(scope, headers))
        except FirstsightError as error:
            await respond(error, self._where)(scope, receive, send)
            return
        await self._app(scope, receive, self._renewing(scope, send))

    def _renewing(self, scope: Scope, send: Send) -> Send:
        """Who comes every day stays signed in: a tablet by the door has nobody to type a key again."""
        caller, cookie = scope["state"]["caller"], scope["state"]["cookie"]
        fresh = self._access.sessions.renewed(cookie) if caller and caller.by == "cookie" else None
        if fresh is None or (scope["path"] == SESSION and scope["method"] not in SAFE):
            return send

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"]).append("set-cookie", cookie_header(scope, fresh))
            await send(message)

        return send_with_cookie

    def _admitted(self, scope: Scope, headers: Headers) -> dict[str, object]:
        access = self._access
        if access.keys is None:
            _refuse_strangers(headers)
        cookie = cookie_parser(headers.get("cookie", "")).get(cookie_name(scope))
        address = client_address(scope)
        caller = access.caller(headers, cookie, address)
        if scope["method"] not in SAFE and (caller is None or caller.by != "key"):
            self._refuse_other_sites(scope, headers, cookie)
        if caller:
            access.refuse_too_many(caller)
        return {"caller": caller, "cookie": cookie}

    def _refuse_other_sites(self, scope: Scope, headers: Headers, cookie: str | None) -> None:
        """What a browser sends because another site asked it to is not wanted by the one who sits before it."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if cookie is None and origin is None and site is None:
            return  # no browser
        other = origin is not None and origin.partition("://")[2] != headers.get("host")
        if other or site not in (None, "same-origin", "none"):
            raise Problem(403, "csrf", "Another site asked for this.", hint="Use the pages of this service.")
        if scope["path"] == SESSION and scope["method"] == "POST":
            return  # signing in: there is no session yet
        token = headers.get("x-csrf-token", "")
        sessions = self._access.sessions
        if cookie is None or sessions.key_of(cookie) is None or not sessions.fits(cookie, token):
            raise Problem(
                403, "csrf", "The token of the session is missing or old.", hint="Get it anew: GET /v1/session"
            )


def needs(role: Role) -> Callable[..., Caller]:
    """A dependency: the caller, who has this role or a higher one.

    Raises:
        Problem: nobody is signed in, or the role may not.
    """

    def allowed(request: Request, _documented: Annotated[Any, Depends(_BEARER)]) -> Caller:
        caller: Caller | None = request.state.caller
        if caller is None:
            raise _unauthorized("A key is needed.", _SEND)
        if ROLES.index(caller.role) < ROLES.index(role):
            raise Problem(
                403, "forbidden", f"A key of the role {caller.role} may not do this.", hint=f"Use one: {role}"
            )
        return caller

    return allowed


def cookie_name(scope: Scope) -> str:
    """With the port: browsers share cookies between the ports of a host."""
    server = scope.get("server") or ("", 0)
    return f"firstsight_{server[1] or 0}"


def cookie_header(scope: Scope, cookie: str) -> str:
    """What has a browser keep a cookie."""
    made = Response()
    secure = scope.get("scheme") == "https"
    made.set_cookie(cookie_name(scope), cookie, max_age=LASTS, httponly=True, samesite="strict", secure=secure)
    return made.headers["set-cookie"]


def client_address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _refuse_strangers(headers: Headers) -> None:
    """Without keys, only programs and browsers of this machine are answered: a page elsewhere may have its name lead to
    127.0.0.1, and a proxy may carry the requests of others here."""
    name = headers.get("host", "").lower()
    name = name if name.endswith("]") else name.rpartition(":")[0] or name
    if name not in _LOOPBACK_NAMES:
        raise Problem(403, "host", "This service answers to 127.0.0.1 and localhost.", hint="Start it with --host.")
    if any(header in headers for header in _FORWARDED):
        raise Problem(
            403,
            "host",
            "A proxy is in between, and no keys are on.",
            hint="Start it with --keys, or leave the proxy out.",
        )


def _unauthorized(message: str, hint: str) -> Problem:
    return Problem(
        401,
        "unauthorized",
        message,
        hint=hint,
        headers={"WWW-Authenticate": "Bearer"},
    )


def _too_many(wait: float) -> Problem:
    seconds = str(max(1, round(wait + 0.5)))
    return Problem(
        429, "too-many-requests", "Too many requests.", hint=f"Wait {seconds} s.", headers={"Retry-After": seconds}
    )
