"""Which models are at hand, and what is enrolled with them: the `models` verb."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from firstsight.errors import GalleryError, ModelError, StorageError
from firstsight.models.folder import CONFIG, SHIPPED, WEIGHTS, read_config, shipped_models
from firstsight.recognition.recognizer import default_gallery_path
from firstsight.recognition.sqlite import enrolled_in


def list_models(folder: Path) -> Iterator[dict[str, Any]]:
    """Each model folder below `folder`, and each model that ships, as plain values; `error` says what is wrong with a
    damaged one."""
    for path in sorted(folder.glob(f"**/{CONFIG}")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and (path.parent / WEIGHTS).exists():
            of_run = path.parent.parent if path.parent.name == "model" else path.parent
            yield _describe(path.parent, str(of_run))
    for name in shipped_models():
        yield _describe(SHIPPED / name, name)


def _describe(folder: Path, name: str) -> dict[str, Any]:
    try:
        config = read_config(folder)
    except ModelError as error:
        return {"name": name, "error": str(error)}
    preprocessing = config.preprocessing
    columns = f"{len(config.columns.features)} columns" if config.columns else ""
    return {
        "name": name,
        "task": config.task,
        "model_identity": config.identity,
        "network": config.network.name,
        "outputs": len(config.outputs) or config.network.embedding_size,
        "input": columns or f"{preprocessing.width}x{preprocessing.height} {preprocessing.color}",
        "data": config.trained.get("data", ""),
        "threshold": config.operating_point.threshold if config.operating_point else None,
        "enrolled": _enrolled(default_gallery_path(config.identity)),
    }


def _enrolled(gallery: Path) -> int | None:
    """How many; None where the gallery does not open: damaged or locked."""
    if not gallery.exists():
        return 0
    try:
        return enrolled_in(gallery)
    except (GalleryError, StorageError):
        return None
