"""Uploads: one picture and a few fields, in memory and never on a disk, within limits that are kept while reading."""

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from firstsight.service.bodies import MOST_BYTES, MOST_FIELDS, expect_upload
from firstsight.service.problems import Problem

_ON_THE_WAY = 16 * MOST_BYTES  # of all uploads together

Fields = TypeVar("Fields", bound=BaseModel)


@dataclasses.dataclass(frozen=True)
class Upload(Generic[Fields]):
    """A picture as it was sent, and the other fields of the form."""

    picture: bytes
    fields: Fields


class Budget:
    """How many bytes all uploads together may hold."""

    def __init__(self, most: int = _ON_THE_WAY) -> None:
        self._left = most

    def take(self, count: int) -> None:
        if count > self._left:
            raise Problem(503, "busy", "The service is busy with other uploads.", hint="Try again in a second.")
        self._left -= count

    def give(self, count: int) -> None:
        self._left += count


class _InMemory(MultiPartParser):
    spool_max_size = 2 * MOST_BYTES  # more than the limit: nothing is ever written to a disk


def upload(fields: type[Fields]) -> Callable[[Request], AsyncIterator[Upload[Fields]]]:
    """A dependency: the form that a request carries, its fields checked by `fields`.

    Raises:
        Problem: not a form, too large, too slow, or too many at once.
        RequestValidationError: no picture, or a field that cannot be used.
    """

    async def read(request: Request) -> AsyncIterator[Upload[Fields]]:
        budget: Budget = request.app.state.service.budget
        taken: list[int] = []

        def take(count: int) -> None:
            budget.take(count)
            taken.append(count)

        try:
            picture, texts = await _parsed(request, take)
            yield Upload(picture, _checked(fields, texts))
        finally:
            budget.give(sum(taken))

    return read


def described(fields: type[BaseModel]) -> dict[str, Any]:
    """The request body for the OpenAPI document, which cannot see through `upload`."""
    schema = fields.model_json_schema()
    properties = {"picture": {"type": "string", "format": "binary", "description": "A picture file, up to 10 MB."}}
    schema["properties"] = properties | schema["properties"]
    schema["required"] = ["picture", *schema.get("required", [])]
    schema.pop("title", None)
    schema["example"] = {"picture": "the bytes of a JPEG file"} | {
        name: field["examples"][0] for name, field in schema["properties"].items() if "examples" in field
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


async def _parsed(request: Request, take: Callable[[int], None]) -> tuple[bytes, dict[str, str]]:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Problem(400, "not-a-form", "The request is no multipart form.", hint="Send the field picture in one.")
    expect_upload(request)
    stream = _counted(request, take)
    parser = _InMemory(request.headers, stream, max_files=1, max_fields=20, max_part_size=MOST_FIELDS)
    try:
        async with aclosing(stream):
            form = await parser.parse()
        return await _picture_and_texts(form)
    except MultiPartException as error:
        message = f"The form cannot be read: {error.message.rstrip('.')}."
        raise Problem(400, "not-a-form", message, hint="Send multipart/form-data with one picture.") from error
    finally:
        for file in parser._files_to_close_on_error:  # Starlette closes them after errors of its own only
            file.close()


async def _picture_and_texts(form: FormData) -> tuple[bytes, dict[str, str]]:
    picture = form.get("picture")
    names = [name for name, _ in form.multi_items()]
    if not isinstance(picture, UploadFile) or len(names) > len(set(names)):
        raise RequestValidationError([{"loc": ("body", "picture"), "msg": "One file is needed", "type": "missing"}])
    return await picture.read(), {name: value for name, value in form.items() if isinstance(value, str)}


async def _counted(request: Request, take: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
    async for chunk in request.stream():
        take(len(chunk))
        yield chunk


def _checked(fields: type[Fields], texts: dict[str, str]) -> Fields:
    try:
        return fields.model_validate(texts)
    except ValidationError as error:
        found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
        raise RequestValidationError(found) from error
