"""Which models are at hand, and what is enrolled with them: the `models` verb."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from firstsight.models.folder import CONFIG, read_config
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import default_gallery_path


def list_models(folder: Path) -> Iterator[dict[str, Any]]:
    """Each model folder below `folder`, as plain values.

    Raises:
        ModelError: one of them is damaged.
    """
    for path in sorted(folder.glob(f"**/{CONFIG}")):
        yield _describe(path.parent)


def _describe(folder: Path) -> dict[str, Any]:
    config = read_config(folder)
    preprocessing = config.preprocessing
    gallery = default_gallery_path(config.identity)
    enrolled = 0
    if gallery.exists():
        with Gallery(gallery) as opened:
            enrolled = len(opened)
    return {
        "name": str(folder.parent if folder.name == "model" else folder),
        "model_identity": config.identity,
        "network": config.network.name,
        "embedding_size": config.network.embedding_size,
        "input": f"{preprocessing.width}x{preprocessing.height} {preprocessing.color}",
        "data": config.trained.get("data", ""),
        "threshold": config.operating_point.threshold if config.operating_point else None,
        "enrolled": enrolled,
    }
