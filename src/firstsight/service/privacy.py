"""/v1/privacy: what is kept about people, as this service is set. Anyone may ask."""

from typing import Any

from fastapi import APIRouter, Request

from firstsight.recognition.kept import what_is_kept
from firstsight.service import schemas
from firstsight.service.state import service_of

router = APIRouter(prefix="/v1/privacy", tags=["running"])


@router.get("", response_model=schemas.Privacy)
def privacy(request: Request) -> dict[str, Any]:
    """What is kept about people, and for how long. No key is needed."""
    service = service_of(request)
    model = service.recognizer.model.config
    held = what_is_kept(service.recognizer.gallery)
    return {
        "faces": model.preprocessing.align == "faces",
        "embedding_size": model.network.embedding_size,
        "picture": [model.preprocessing.width, model.preprocessing.height],
        "pictures_kept": held.pictures,
        "encrypted": held.encrypted,
        "retention_days": held.retention_days or None,
        "probes_until": held.probes_until and held.probes_until.isoformat(),
        "copies": held.copies,
        "debounce": service.debounce,
    }
