"""/v1/models: what recognizes here, and what its operating point promises."""

from typing import Any

from fastapi import APIRouter, Depends, Request

from firstsight.errors import GalleryError
from firstsight.evaluation.promise import at_size, by_hand, promise_lines
from firstsight.model_config import OperatingPoint
from firstsight.recognition.decision import Rule
from firstsight.recognition.recognizer import Recognizer
from firstsight.service import schemas
from firstsight.service.access import needs
from firstsight.service.curves import curves_of
from firstsight.service.state import service_of

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", response_model=schemas.Models, dependencies=[Depends(needs("enroll"))])
async def models(request: Request) -> dict[str, Any]:
    """The model in use, its operating point in words, and what another threshold would cost."""
    service = service_of(request)
    return {"models": [await service.workers.quick(lambda: _described(service.recognizer))]}


def _described(recognizer: Recognizer) -> dict[str, Any]:
    config, gallery = recognizer.model.config, recognizer.gallery
    point = recognizer.operating_point
    templates = gallery.count_templates()
    rule = _rule(recognizer, templates)
    preprocessing = config.preprocessing
    promised = point if rule and rule.bound is not None else None
    return {
        "name": recognizer.model.name,
        "identity": config.identity,
        "embedding_size": config.network.embedding_size,
        "input": f"{preprocessing.width}x{preprocessing.height} {preprocessing.color}",
        "people": len(gallery),
        "templates": templates,
        "threshold": rule.threshold if rule else None,
        "bound": rule.bound if rule else None,
        "spread": point.spread if point else None,
        "promise": list(promise_lines(promised)) if promised else [],
        "now": _now(rule, promised, templates),
        "calibration": _calibration(point) if point else None,
        "curves": curves_of(recognizer),
    }


def _rule(recognizer: Recognizer, templates: int) -> Rule | None:
    try:
        return recognizer.rule(templates)
    except GalleryError:  # never measured
        return None


def _now(rule: Rule | None, promised: OperatingPoint | None, templates: int) -> str | None:
    if promised:
        return at_size(promised, templates) if templates else None
    return by_hand(rule.threshold) if rule else None


def _calibration(point: OperatingPoint) -> dict[str, Any]:
    return {
        "version": point.version,
        "target": point.target,
        "identities": point.identities,
        "accepted": point.accepted,
        "comparisons": point.comparisons,
        "steps": [{"size": step.size, "threshold": step.threshold, "bound": step.bound} for step in point.steps],
    }
