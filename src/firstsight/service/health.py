"""Whether it runs, and how: for supervisors and Prometheus."""

from fastapi import APIRouter, Depends, Request, Response

from firstsight.service import schemas
from firstsight.service.access import needs
from firstsight.service.state import service_of

router = APIRouter(tags=["running"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", response_model=schemas.Status)
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", response_model=schemas.Status)
async def readyz(request: Request) -> dict[str, str]:
    """The gallery can be read and searched; else 503."""
    service = service_of(request)
    await service.workers.quick(service.recognizer.gallery.count_templates)
    return {"status": "ready"}


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    dependencies=[Depends(needs("kiosk"))],
)
def metrics(request: Request) -> Response:
    """Counters for Prometheus."""
    return Response(service_of(request).metrics.text(), media_type="text/plain; version=0.0.4")
