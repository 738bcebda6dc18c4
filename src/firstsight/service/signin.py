"""/v1/session: how a page signs in, and gets the token that its requests carry."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from starlette.concurrency import run_in_threadpool

from firstsight.service import schemas, sent
from firstsight.service.access import Caller, client_address, cookie_header, cookie_name
from firstsight.service.sessions import LOCAL
from firstsight.service.state import Service, service_of

router = APIRouter(prefix="/v1/session", tags=["session"])
Shown = Annotated[sent.SignIn | sent.Pair, Body(json_schema_extra={"example": {"key": "fs-1f0c9a2b-..."}})]


@router.get("", response_model=schemas.Session)
async def session(request: Request, response: Response) -> dict[str, Any]:
    """Who is signed in, and the token for requests that change something."""
    service = service_of(request)
    caller: Caller | None = request.state.caller
    cookie: str | None = request.state.cookie
    if caller and caller.by == "local" and (cookie is None or service.access.sessions.key_of(cookie) is None):
        cookie = _set_cookie(request, response, service, LOCAL)
    return _session(request, caller, cookie)


@router.post("", response_model=schemas.Session)
async def sign_in(request: Request, response: Response, given: Shown) -> dict[str, Any]:
    """Sign in with a key, or pair a tablet with a one-time code: sets the cookie."""
    service = service_of(request)
    if service.access.keys is None:
        return await session(request, response)
    address = client_address(request.scope)
    if isinstance(given, sent.Pair):
        caller = await run_in_threadpool(service.access.pair, given.code, address)
    else:
        caller = await run_in_threadpool(service.access.sign_in, given.key, address)
    cookie = _set_cookie(request, response, service, caller.id)
    return _session(request, Caller(caller.id, caller.role, "cookie"), cookie)


@router.delete("", response_model=schemas.Session)
async def sign_out(request: Request, response: Response) -> dict[str, Any]:
    """Sign out: takes the cookie away."""
    response.delete_cookie(cookie_name(request.scope))
    return _session(request, None, None)


def _session(request: Request, caller: Caller | None, cookie: str | None) -> dict[str, Any]:
    service = service_of(request)
    sessions = service.access.sessions
    known = caller is not None and cookie is not None and sessions.key_of(cookie) is not None
    return {
        "role": caller.role if caller else None,
        "keys": service.access.keys is not None,
        "csrf": sessions.token(cookie) if cookie and known else None,
        "model": service.recognizer.model.name,
        "version": request.app.version,
    }


def _set_cookie(request: Request, response: Response, service: Service, key: str) -> str:
    cookie = service.access.sessions.make(key)
    response.headers.append("set-cookie", cookie_header(request.scope, cookie))
    return cookie
