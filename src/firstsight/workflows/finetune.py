"""Fine-tuning: a run that begins with a model, and ends with a better one or with that very one."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from firstsight.config import Recipe
from firstsight.errors import UserError
from firstsight.models.folder import Model, load_model, require_embedding
from firstsight.workflows.job import Job


def start_of(recipe: Recipe, network: nn.Module | None, device: torch.device) -> Model | None:
    """The model that a recipe begins with, None where weights begin at random. `network` is needed for one of a network
    of one's own.

    Raises:
        ModelError: there is no such model, it is damaged, or it makes no embeddings.
    """
    if not recipe.start.model:
        return None
    model = load_model(recipe.start.model, network=network, device=str(device))
    require_embedding(model)
    return model


def require_a_comparison(job: Job) -> None:
    """Refuse to fine-tune where nothing would show that it made the model worse.

    Raises:
        UserError: no held-out identities.
    """
    if job.start and not job.held_out:
        raise UserError(
            f"Whether {job.start.name} gets better or worse is measured on held-out identities, and there are none.",
            hint="Add --val, or a --holdout above 0.",
        )


def last_layer_alone(recipe: Recipe) -> str:
    """The warning that a run ends before more than the last layer learns; empty where it does not."""
    epochs, frozen = recipe.training.epochs, recipe.start.frozen_epochs
    if epochs > frozen:
        return ""
    return f"Warning: the last layer alone learns, for --epochs {epochs} is not above --frozen-epochs {frozen}."


def why_kept(job: Job, updates: Sequence[dict[str, Any]], before: float) -> str:
    """Why a run ends with the model that it began with: its held-out figure was `before`, and no epoch beat it."""
    assert job.start is not None
    figure, epoch = max((row["held_out"], -row["epoch"]) for row in updates if "held_out" in row)
    return (
        f"Fine-tuning did not help: on the held-out identities {job.start.name} has the {job.figure} {before:.4f}, and "
        f"no epoch more; the best, epoch {-epoch}, has {figure:.4f}. {job.start.name} is kept as it was."
    )
