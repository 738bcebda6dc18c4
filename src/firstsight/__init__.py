"""Recognize at first sight: train an embedding network, enroll from ONE picture, know it from then on.

The public names are loaded when first used, so `import firstsight` does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Decision": "recognition.decision",
    "Evaluation": "evaluation.protocols",
    "FirstsightError": "errors",
    "Gallery": "recognition.gallery",
    "Ledger": "recognition.ledger",
    "Model": "models.folder",
    "OperatingPoint": "model_config",
    "Recipe": "config",
    "Recognizer": "recognition.recognizer",
    "Run": "workflows.train_run",
    "StreamRecipe": "config",
    "evaluate": "evaluation.protocols",
    "load_model": "models.folder",
    "open_pictures": "data.identities",
    "quadratic_loss": "functional.losses",
    "read_recipe": "recipes",
    "stream": "workflows.stream",
    "train": "workflows.train_run",
    "triplet_loss": "functional.triplets",
}

__all__ = [
    "Decision", "Evaluation", "FirstsightError", "Gallery", "Ledger", "Model", "OperatingPoint", "Recipe", "Recognizer",
    "Run", "StreamRecipe", "evaluate", "load_model", "open_pictures", "quadratic_loss", "read_recipe", "stream",
    "train", "triplet_loss",
]  # fmt: skip

if TYPE_CHECKING:
    from firstsight.config import Recipe, StreamRecipe
    from firstsight.data.identities import open_pictures
    from firstsight.errors import FirstsightError
    from firstsight.evaluation.protocols import Evaluation, evaluate
    from firstsight.functional.losses import quadratic_loss
    from firstsight.functional.triplets import triplet_loss
    from firstsight.model_config import OperatingPoint
    from firstsight.models.folder import Model, load_model
    from firstsight.recipes import read_recipe
    from firstsight.recognition.decision import Decision
    from firstsight.recognition.gallery import Gallery
    from firstsight.recognition.ledger import Ledger
    from firstsight.recognition.recognizer import Recognizer
    from firstsight.workflows.stream import stream
    from firstsight.workflows.train_run import Run, train


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'firstsight' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"firstsight.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
