"""/v1/identify and /v1/verify: questions, answered with their evidence. Neither is recorded."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from firstsight.recognition import listing
from firstsight.recognition.decision import Decision
from firstsight.recognition.gallery import Gallery
from firstsight.service import schemas, sent
from firstsight.service.access import needs
from firstsight.service.forms import Upload, described, upload
from firstsight.service.state import service_of

router = APIRouter(prefix="/v1", tags=["decisions"], dependencies=[Depends(needs("enroll"))])


@router.post("/identify", response_model=schemas.Decision, openapi_extra=described(sent.PictureForm))
async def identify(
    request: Request, form: Annotated[Upload[sent.PictureForm], Depends(upload(sent.PictureForm))]
) -> dict[str, Any]:
    """Who is it, of all who are enrolled?"""
    service = service_of(request)
    decision = await service.workers.identify(form.picture)
    service.metrics.decisions.labels("identify", decision.decision).inc()
    return await run_in_threadpool(shown, service.recognizer.gallery, decision)


@router.post("/verify", response_model=schemas.Decision, openapi_extra=described(sent.VerifyForm))
async def verify(
    request: Request, form: Annotated[Upload[sent.VerifyForm], Depends(upload(sent.VerifyForm))]
) -> dict[str, Any]:
    """Is it this name?"""
    service = service_of(request)
    decision = await service.workers.run(lambda: service.recognizer.verify(form.fields.name, form.picture))
    service.metrics.decisions.labels("verify", decision.decision).inc()
    return await run_in_threadpool(shown, service.recognizer.gallery, decision)


def shown(gallery: Gallery, decision: Decision) -> dict[str, Any]:
    """A decision, with the number of everyone it names."""
    names = {name for name in (decision.name, decision.nearest, decision.runner_up) if name}
    numbers = listing.numbers_of(gallery, names) if names else {}
    return decision.to_json() | {
        "person_id": numbers.get(decision.name or ""),
        "nearest_id": numbers.get(decision.nearest or ""),
        "runner_up_id": numbers.get(decision.runner_up or ""),
    }
