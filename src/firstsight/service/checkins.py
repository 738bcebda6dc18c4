"""/v1/checkins: decisions that are written into the ledger, once, and what operators say of them."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from firstsight.data.spreadsheet import csv_file
from firstsight.recognition import listing
from firstsight.recognition.attendance import day_lines, find_zone, midnight, moment
from firstsight.recognition.checkin import check_in
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger import Place
from firstsight.recognition.ledger_rows import Entry, entry_columns
from firstsight.recognition.names import MAX_NAME
from firstsight.service import schemas, sent
from firstsight.service.access import Caller, needs
from firstsight.service.decisions import shown
from firstsight.service.forms import Upload, described, upload
from firstsight.service.problems import Problem
from firstsight.service.state import UNDO_MINUTES, Service, service_of

router = APIRouter(prefix="/v1/checkins", tags=["check-ins"])
Number = Annotated[int, Path(ge=1, le=2**53)]
Operator = Depends(needs("enroll"))
_EVIDENCE = (
    "distance",
    "nearest",
    "nearest_id",
    "runner_up",
    "runner_up_id",
    "runner_up_distance",
    "margin",
)


@router.post(
    "",
    status_code=201,
    response_model=schemas.Entry,
    responses={200: {"model": schemas.Entry, "description": "It was there already"}},
    openapi_extra=described(sent.CheckInForm),
)
async def check_in_(
    request: Request,
    response: Response,
    caller: Annotated[Caller, Depends(needs("kiosk"))],
    form: Annotated[Upload[sent.CheckInForm], Depends(upload(sent.CheckInForm))],
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=MAX_NAME)] = None,
) -> dict[str, Any]:
    """Recognize a picture and record it. The same Idempotency-Key again gets the first decision: 200."""
    service = service_of(request)
    at = datetime.now(UTC) - timedelta(seconds=form.fields.waited)
    entry = await service.workers.run(lambda: _check_in(service, form, idempotency_key, at))
    new = entry.at == at
    if new:
        service.metrics.decisions.labels("check-in", entry.decision.decision).inc()
    service.told.note(caller.id, entry.id)
    response.status_code = 201 if new else 200
    repeated = not new and (idempotency_key is None or entry.request_id != idempotency_key)
    return _shown_to(caller, service.recognizer.gallery, entry) | {"repeated": repeated}


class Filter:
    """Which entries: of one person, of a time."""

    def __init__(
        self,
        request: Request,
        person: Annotated[int | None, Query(ge=1, le=2**53, description="Only this person.")] = None,
        since: Annotated[str | None, Query(max_length=40, examples=["2026-11-25"])] = None,
        until: Annotated[str | None, Query(max_length=40)] = None,
        day: Annotated[date | None, Query(description="In place of since and until.")] = None,
        zone: Annotated[str | None, Query(max_length=60, examples=["Europe/Berlin"])] = None,
    ) -> None:
        self.zone = find_zone(zone)
        self.name = None if person is None else listing.find_person(service_of(request).recognizer.gallery, person).name
        self.since = _midnight(day, self.zone) if day else moment(since, self.zone) if since else None
        self.until = (
            _midnight(day + timedelta(days=1), self.zone)
            if day
            else moment(until, self.zone, end=True)
            if until
            else None
        )


Wanted = Annotated[Filter, Depends()]


@router.get("", response_model=schemas.Entries, dependencies=[Operator])
def entries(
    request: Request,
    wanted: Wanted,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[str | None, Query(max_length=80, description="The last `next`.")] = None,
) -> dict[str, Any]:
    """The log, newest first, a page at a time."""
    service = service_of(request)
    found = list(
        islice(
            service.ledger.entries(
                since=wanted.since,
                until=wanted.until,
                name=wanted.name,
                newest_first=True,
                beyond=_place(before) if before else None,
                page=limit + 1,
            ),
            limit + 1,
        )
    )
    page = found[:limit]
    following = f"{page[-1].at.isoformat()},{page[-1].id}" if len(found) > limit else None
    return {"entries": [_shown(service.recognizer.gallery, entry) for entry in page], "next": following}


@router.get("/day", response_model=schemas.Day, dependencies=[Operator])
def day_report(
    request: Request,
    day: date,
    zone: Annotated[str | None, Query(max_length=60)] = None,
    debounce: Annotated[float, Query(ge=0, le=1440, description="Count a person once in so many minutes.")] = 0,
) -> dict[str, Any]:
    """Who was here: first in, last out, how often seen."""
    service, of = service_of(request), find_zone(zone)
    held = service.ledger.entries(since=_midnight(day, of), until=_midnight(day + timedelta(days=1), of))
    lines = day_lines(held, of, minutes=debounce)
    numbers = listing.numbers_of(service.recognizer.gallery, {line.name for line in lines})
    people = [line.to_json() | {"person_id": numbers.get(line.name)} for line in lines]
    return {"day": day.isoformat(), "people": people}


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    dependencies=[Operator],
)
def export(request: Request, wanted: Wanted) -> StreamingResponse:
    """The log as CSV, oldest first."""
    held = service_of(request).ledger.entries(since=wanted.since, until=wanted.until, name=wanted.name)
    rows: Iterator[dict[str, Any]] = (entry.to_json(wanted.zone) for entry in held)
    return StreamingResponse(
        csv_file(entry_columns(), rows),
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="check-ins.csv"'},
    )


@router.get("/{number}", response_model=schemas.Entry, dependencies=[Operator])
def entry(request: Request, number: Number) -> dict[str, Any]:
    """One entry of the log."""
    service = service_of(request)
    return _shown(service.recognizer.gallery, service.ledger.entry(number))


@router.post("/{number}/confirm", response_model=schemas.Entry, dependencies=[Operator])
def confirm(request: Request, number: Number) -> dict[str, Any]:
    """An operator says that the decision is right."""
    service = service_of(request)
    return _shown(service.recognizer.gallery, service.ledger.confirm(number))


@router.post("/{number}/undo", response_model=schemas.Entry)
def undo(request: Request, number: Number, caller: Annotated[Caller, Depends(needs("kiosk"))]) -> dict[str, Any]:
    """'Not me': it was nobody who is enrolled. A kiosk may say so of what it was told, within 5 minutes, unless an
    operator has said who it was."""
    service = service_of(request)
    if caller.role == "kiosk":
        _refuse_kiosk(service, caller, number)
    return _shown_to(caller, service.recognizer.gallery, service.ledger.correct(number, None))


@router.post("/{number}/correct", response_model=schemas.Entry, dependencies=[Operator])
def correct(request: Request, number: Number, who: sent.Correction) -> dict[str, Any]:
    """An operator says who it was."""
    service = service_of(request)
    gallery = service.recognizer.gallery
    name = None if who.person_id is None else listing.find_person(gallery, who.person_id).name
    return _shown(gallery, service.ledger.correct(number, name))


def _refuse_kiosk(service: Service, caller: Caller, number: int) -> None:
    """Refuse what is not a kiosk's to undo; of an entry that it was not told of it learns nothing."""
    ask = "Ask an operator to correct it."
    if not service.told.knows(caller.id, number):
        raise Problem(403, "forbidden", "This was not checked in here, or it is too late to undo it.", hint=ask)
    held = service.ledger.entry(number)
    if datetime.now(UTC) - held.at > timedelta(minutes=UNDO_MINUTES):
        raise Problem(403, "forbidden", "It is too late to undo this here.", hint=ask)
    if held.review and held.review.decision == "match":
        raise Problem(403, "forbidden", "An operator has said who it was.", hint=ask)


def _check_in(service: Service, form: Upload[sent.CheckInForm], request_id: str | None, at: datetime) -> Entry:
    fields = form.fields
    return check_in(
        service.recognizer,
        form.picture,
        claim=fields.claim,
        request_id=request_id,
        direction=fields.direction,
        camera=fields.camera,
        debounce=service.debounce,
        at=at,
    )


def _shown(gallery: Gallery, entry: Entry) -> dict[str, Any]:
    plain = entry.to_json()
    numbers = listing.numbers_of(gallery, {entry.name}) if entry.name else {}
    return {
        **{field: plain[field] for field in schemas.Entry.model_fields if field in plain},
        "person_id": numbers.get(entry.name or ""),
        "repeated": False,
        "decision": shown(gallery, entry.decision),
    }


def _shown_to(caller: Caller, gallery: Gallery, entry: Entry) -> dict[str, Any]:
    """A kiosk stands where anybody comes by: it is told who was recognized, not who else is near, or how near."""
    plain = _shown(gallery, entry)
    if caller.role == "kiosk":
        plain["decision"] |= dict.fromkeys(_EVIDENCE)
    return plain


def _place(text: str) -> Place:
    at, _, number = text.rpartition(",")
    try:
        place = Place(datetime.fromisoformat(at), int(number))
    except ValueError as error:
        raise _no_place() from error
    if place.at.tzinfo is None or not 1970 <= place.at.year <= 9000 or not 0 < place.id <= 2**53:
        raise _no_place()
    return place


def _no_place() -> Problem:
    return Problem(422, "invalid", "before: this is no `next` of an answer.", hint="Send the last `next`, as it came.")


def _midnight(day: date, zone: Any) -> datetime:
    if not 1970 <= day.year <= 9000:
        raise Problem(422, "invalid", f"day: {day} is out of range.", hint="Send a day of 1970 to 9000.")
    return midnight(day, zone)
