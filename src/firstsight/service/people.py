"""/v1/people: who is enrolled, from which pictures."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from firstsight.errors import AlreadyEnrolled, NotEnrolled
from firstsight.functional.quantize import quantize
from firstsight.recognition import listing
from firstsight.recognition.embed import embed_pictures
from firstsight.recognition.names import clean_name
from firstsight.recognition.quality import Verdict
from firstsight.recognition.rows import iso
from firstsight.service import schemas, sent
from firstsight.service.access import needs
from firstsight.service.forms import Upload, described, upload
from firstsight.service.problems import Problem, code_of
from firstsight.service.state import Service, service_of

router = APIRouter(prefix="/v1/people", tags=["people"])
Number = Annotated[int, Path(ge=1, le=2**53)]
Enrolled = dict[str, Any]


@router.post(
    "",
    status_code=201,
    response_model=schemas.Enrolled,
    responses={200: {"model": schemas.Enrolled, "description": "It was there already"}},
    dependencies=[Depends(needs("enroll"))],
    openapi_extra=described(sent.EnrollForm),
)
async def enroll(
    request: Request,
    response: Response,
    form: Annotated[Upload[sent.EnrollForm], Depends(upload(sent.EnrollForm))],
) -> Enrolled:
    """Remember a name from one picture. The same picture under the same name is enrolled once: again, it is 200."""
    service = service_of(request)
    enrolled, new = await service.workers.run(lambda: _enroll(service, form))
    response.status_code = 201 if new else 200
    return enrolled


@router.get("", response_model=schemas.People, dependencies=[Depends(needs("enroll"))])
def people(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    search: Annotated[str, Query(max_length=200)] = "",
) -> dict[str, Any]:
    """Who is enrolled, in the order of enrollment, a page at a time."""
    gallery = service_of(request).recognizer.gallery
    found = listing.list_people(gallery, after=after, limit=limit + 1, search=search)
    page = found[:limit]
    following = page[-1].id if len(found) > limit else None
    return {"people": [_person(each) for each in page], "total": len(gallery), "next": following}


@router.get("/{number}", response_model=schemas.PersonInFull, dependencies=[Depends(needs("enroll"))])
def person(request: Request, number: Number) -> dict[str, Any]:
    """One person, with each enrollment."""
    gallery = service_of(request).recognizer.gallery
    found = _person(listing.find_person(gallery, number))
    shots = [
        {
            "id": shot.id,
            "enrolled_at": iso(shot.enrolled_at),
            "consent": shot.consent,
            "picture": _address(number, shot.id) if shot.kept else None,
        }
        for shot in listing.shots_of(gallery, number)
    ]
    return found | {"enrollments": shots}


@router.get(
    "/{number}/pictures/{enrollment}",
    response_class=Response,
    responses={200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}},
    dependencies=[Depends(needs("enroll"))],
)
def picture(request: Request, number: Number, enrollment: Number) -> Response:
    """The picture of an enrollment, as the network saw it."""
    png = listing.picture_shown(service_of(request).recognizer.gallery, number, enrollment)
    if png is None:
        raise Problem(404, "not-found", "No such picture is kept.", hint="It was not kept, or has been forgotten.")
    return Response(png, media_type="image/png")


@router.post(
    "/{number}/pictures",
    status_code=201,
    response_model=schemas.Enrolled,
    responses={200: {"model": schemas.Enrolled, "description": "It was there already"}},
    dependencies=[Depends(needs("enroll"))],
    openapi_extra=described(sent.AddForm),
)
async def add_picture(
    request: Request,
    response: Response,
    number: Number,
    form: Annotated[Upload[sent.AddForm], Depends(upload(sent.AddForm))],
) -> Enrolled:
    """One picture more of a person. The same picture again is 200, and nothing is written."""
    service = service_of(request)
    enrolled, new = await service.workers.run(lambda: _add(service, number, form))
    response.status_code = 201 if new else 200
    return enrolled


@router.delete("/{number}", response_model=schemas.Receipt, dependencies=[Depends(needs("admin"))])
async def forget(request: Request, number: Number) -> dict[str, Any]:
    """Erase a person with all that was kept of them, and say what was erased from where."""
    service = service_of(request)
    gallery = service.recognizer.gallery
    known = await run_in_threadpool(listing.find_person, gallery, number)
    receipt = await run_in_threadpool(service.forget, gallery, known.name)
    return receipt | {"gallery": "the gallery"}


def _enroll(service: Service, form: Upload[sent.EnrollForm]) -> tuple[Enrolled, bool]:
    gallery, fields = service.recognizer.gallery, form.fields
    name = clean_name(fields.name)
    try:
        verdict = service.recognizer.enroll(
            name,
            form.picture,
            anyway=fields.anyway,
            keep_picture=fields.keep_picture,
            consent=fields.consent,
        )
    except AlreadyEnrolled as error:
        known = listing.numbers_of(gallery, {name}).get(name)
        if known is None:  # forgotten just now
            raise
        if not _has(service, name, form.picture):
            hint = f"Add a picture: POST /v1/people/{known}/pictures"
            raise Problem(409, code_of(error), error.message, hint=hint, person_id=known) from error
        return {"person": _person(listing.find_person(gallery, known)), "verdict": None}, False
    number = listing.numbers_of(gallery, {name}).get(name)
    if number is None:
        raise NotEnrolled(f"{name} is not enrolled in {gallery.where}.", hint="They may have been forgotten.")
    return _enrolled(service, number, verdict), True


def _add(service: Service, number: int, form: Upload[sent.AddForm]) -> tuple[Enrolled, bool]:
    fields = form.fields
    known = listing.find_person(service.recognizer.gallery, number)
    verdict = service.recognizer.enroll(
        known.name,
        form.picture,
        add=True,
        anyway=fields.anyway,
        keep_picture=fields.keep_picture,
        consent=fields.consent,
    )
    return _enrolled(service, number, verdict), not verdict.held


def _has(service: Service, name: str, picture: bytes) -> bool:
    template_D = quantize(embed_pictures(service.recognizer.model, [picture]))[0]
    return bool((service.recognizer.gallery.templates_of(name) == template_D).all(1).any())


def _enrolled(service: Service, number: int, verdict: Verdict) -> Enrolled:
    found = listing.find_person(service.recognizer.gallery, number)
    return {"person": _person(found), "verdict": verdict.to_json()}


def _person(person: listing.Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "name": person.name,
        "enrolled_at": iso(person.enrolled_at),
        "pictures": person.pictures,
        "thumbnail": _address(person.id, person.shown) if person.shown else None,
    }


def _address(number: int, shot: int) -> str:
    return f"/v1/people/{number}/pictures/{shot}"
