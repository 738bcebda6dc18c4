"""What a request that fails is answered: one shape, made from our errors."""

import logging
import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from firstsight.errors import (
    AlreadyEnrolled,
    FirstsightError,
    GalleryError,
    MissingExtra,
    ModelError,
    NotEnrolled,
    OtherModel,
    PictureError,
    PictureRefused,
    PictureUnfit,
    StorageError,
    UserError,
)

log = logging.getLogger("firstsight.service")


class Problem(UserError):
    """A request that cannot be served as it was asked."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        hint: str,
        headers: dict[str, str] | None = None,
        person_id: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.headers = headers or {}
        self.person_id = person_id


_STATUS: dict[type[FirstsightError], int] = {
    NotEnrolled: 404,
    AlreadyEnrolled: 409,
    OtherModel: 409,
    PictureError: 422,
    GalleryError: 422,
    ModelError: 409,
    MissingExtra: 409,
    UserError: 422,
    StorageError: 503,
}
_FOLDERS = re.compile(r"(?<![\w/.])/(?:[^\s/:]+/)+")
"""What leads to a file: clients need no path of it."""
_CODES = {400: "not-a-form", 404: "not-found", 405: "method", 408: "too-slow", 413: "too-large"}
_WHAT_THERE_IS = "See /v1/openapi.json for what there is."
_SAID = {
    404: ("There is nothing here.", _WHAT_THERE_IS),
    405: ("This cannot be done here.", "See /v1/openapi.json for what can."),
    408: ("The request took more than 30 seconds to arrive.", "Try again."),
}
_INSTEAD = {
    "missing": "Send the field {field}.",
    "extra_forbidden": "Leave {field} out.",
    "literal_error": "Send {expected}.",
    "json_invalid": "Send JSON.",
    "bool_parsing": "Send true or false.",
    "int_parsing": "Send a whole number.",
    "float_parsing": "Send a number.",
    "finite_number": "Send a number.",
    "greater_than_equal": "Send {ge} or more.",
    "less_than_equal": "Send {le} or less.",
    "string_too_short": "Send {min_length} or more characters.",
    "string_too_long": "Send at most {max_length} characters.",
    "date_from_datetime_parsing": "Send a day such as 2026-11-25.",
}
"""By pydantic's name of what is wrong with a field."""


def code_of(error: FirstsightError) -> str:
    """The name of an error's class, or why a picture is unfit, for programs.

    Example:
        >>> code_of(NotEnrolled("ada is not enrolled."))
        'not-enrolled'
    """
    if isinstance(error, PictureUnfit):
        return error.answer.replace(" ", "-")
    name = type(error).__name__.removesuffix("Error")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def answer_problems(app: FastAPI, where: str) -> None:
    """Have every failure answered in one shape. `where` is the gallery in messages: clients need no path of it."""

    @app.exception_handler(FirstsightError)
    async def ours(_request: Request, error: FirstsightError) -> JSONResponse:
        return respond(error, where)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return respond(_invalid(error), where)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400 and request.headers.get("content-type", "").startswith("application/json"):
            return respond(Problem(422, "invalid", "The body is no JSON that can be read.", hint="Send JSON."), where)
        return respond(problem_of(error.status_code, str(error.detail), dict(error.headers or {})), where)

    @app.exception_handler(ClientDisconnect)
    async def gone(_request: Request, _error: ClientDisconnect) -> JSONResponse:
        return respond(Problem(400, "disconnected", "The client went away.", hint="Send it again."), where)


def problem_of(status: int, detail: str = "", headers: dict[str, str] | None = None) -> Problem:
    """What the framework says with a status, in our words."""
    message, hint = _SAID.get(status, (f"{detail.rstrip('.')}.", "Send less." if status == 413 else _WHAT_THERE_IS))
    return Problem(status, _CODES.get(status, "http"), message, hint=hint, headers=headers)


def respond(error: FirstsightError, where: str = "the gallery") -> JSONResponse:
    """The answer to a request that ended with this error. What fails of the disk stands in the log too."""
    if isinstance(error, StorageError):
        log.error("%s", error)
    headers = dict(error.headers) if isinstance(error, Problem) else {}
    status = error.status if isinstance(error, Problem) else _status(error)
    if status == 503:
        headers.setdefault("Retry-After", "1")
    message, hint = (said.replace(where, "the gallery") for said in (error.message, _hint(error)))
    if isinstance(error, StorageError):
        message, hint = (_FOLDERS.sub("", said) for said in (message, hint))
    body = {
        "code": error.code if isinstance(error, Problem) else code_of(error),
        "message": message,
        "hint": hint,
        "verdict": error.verdict.to_json() if isinstance(error, PictureRefused) and error.verdict else None,
        "boxes": error.boxes if isinstance(error, PictureUnfit) else (),
        "person_id": error.person_id if isinstance(error, Problem) else None,
    }
    return JSONResponse(body, status, headers)


def _status(error: FirstsightError) -> int:
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def _hint(error: FirstsightError) -> str:
    """In the words of this API, where the command line's do not fit."""
    if isinstance(error, PictureUnfit) and error.answer == "several faces":
        return "Send a picture that shows one face."
    if isinstance(error, PictureRefused):
        doubts = [doubt.kind for doubt in error.verdict.doubts] if error.verdict else []
        if doubts == ["look-alike"]:
            return f"If it is {error.verdict.nearest}, add the picture to that person; if not, send anyway=true."
        return "Send a better picture, or insist with anyway=true."
    return error.hint or "Try again; if it stays, the log of the service says more."


def _invalid(error: RequestValidationError) -> Problem:
    """The first thing that is wrong, without what was sent; a field that is wrong before one that lacks."""
    errors: list[dict[str, Any]] = list(error.errors())
    found = min(errors, key=lambda each: each["type"] in ("missing", "extra_forbidden"))
    field = [part for part in found["loc"] if isinstance(part, str)][-1]
    hint = _INSTEAD.get(found["type"], "See /v1/openapi.json for what it takes.")
    instead = hint.format_map({"field": field, **found.get("ctx", {})})
    return Problem(422, "invalid", f"{field}: {found['msg']}.", hint=instead)
