"""From a recipe to what is to be trained: its data, the network, and where."""

import copy
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from firstsight.config import Network, Preprocessing, Recipe
from firstsight.data.identities import PictureSet
from firstsight.errors import DataError, UserError
from firstsight.models.device import pick_device
from firstsight.models.folder import Model
from firstsight.models.registry import CUSTOM, build_network, own_network, with_own_size
from firstsight.recipes import read_recipe, refuse_without_effect
from firstsight.training.loss import make_loss
from firstsight.workflows.embedding_job import EmbeddingJob
from firstsight.workflows.example_job import ExampleJob
from firstsight.workflows.finetune import start_of
from firstsight.workflows.job import Job
from firstsight.workflows.progress import OnProgress


def given_recipe(recipe: Recipe | str | Path) -> Recipe:
    """A recipe, or the one in a file, in which every setting counts.

    Raises:
        RecipeError: it cannot be read, or sets what has no effect.
    """
    if isinstance(recipe, Recipe):
        refuse_without_effect(recipe)
        return recipe
    read = read_recipe(recipe)
    refuse_without_effect(read, where=str(recipe))
    return read


def recipe_of_run(folder: Path) -> Recipe:
    """The recipe of a run that was begun, everything resolved.

    Raises:
        UserError: none was begun there.
    """
    if not (folder / "recipe.toml").exists():
        raise UserError(
            f"There is no run in {folder} to go on with.",
            hint=f"Begin one: firstsight train --data DATA --out {folder}",
        )
    return read_recipe(folder / "recipe.toml")


def prepare(
    recipe: Recipe,
    network: nn.Module | None,
    on_progress: OnProgress,
    *,
    few: int | None = None,
    crops: PictureSet | None = None,
) -> tuple[Job, nn.Module, torch.device]:
    """The data of a recipe, the network to train on them, and where; what cannot work is refused before any work."""
    device = pick_device(recipe.training.device)
    make_loss(recipe)
    start = start_of(recipe, network, device)
    job = open_job(recipe, on_progress, few=few, start=start, crops=crops)
    job, network = (job, copy.deepcopy(start.network)) if start else _with_network(job, network)
    if recipe.training.patience and not job.held_out:
        raise UserError("Patience needs held-out data, and there are none.", hint="Add --val, or --patience 0.")
    return job, network, device


def open_job(
    recipe: Recipe,
    on_progress: OnProgress,
    *,
    few: int | None = None,
    start: Model | None = None,
    crops: PictureSet | None = None,
) -> Job:
    """Read the data of a recipe; with `few`, so many of the examples to learn from, and no more. `start` is the model
    that the recipe begins with; `crops` are inputs of its network, to learn from in place of the recipe's pictures.

    Raises:
        DataError: none named, unreadable, or too few to learn from and measure on.
    """
    if not recipe.data.path:
        raise DataError("No data were named to learn from.", hint="Add --data PICTURES.")
    if start:
        recipe = replace(recipe, network=start.config.network)
    if recipe.data.task != "regression":
        recipe = replace(recipe, preprocessing=_settled(recipe, start))
    if recipe.data.task == "embedding":
        return EmbeddingJob(recipe, on_progress, few, start, crops)
    return ExampleJob(recipe, on_progress, few)


def _settled(recipe: Recipe, start: Model | None) -> Preprocessing:
    """Sizes and alignment that the recipe leaves open: those of the model that it begins with, or of its network."""
    own = start.config.preprocessing if start else with_own_size(recipe.preprocessing, recipe.network)
    align = own.align if recipe.preprocessing.align == "auto" else recipe.preprocessing.align
    return replace(own, align="none" if align == "auto" else align)


def _with_network(job: Job, network: nn.Module | None) -> tuple[Job, nn.Module]:
    """The network to train, and the job that tells the truth about it."""
    if network is None:
        return job, build_network(job.config, seed=job.recipe.training.seed)
    shape = (2, *job.config.input_shape)
    with torch.no_grad():
        output = network.eval()(torch.zeros(shape))
    if output.ndim != 2 or len(output) != 2:
        raise UserError(
            f"The network gives {tuple(output.shape)} for {shape}.", hint="It must give B x D for B inputs."
        )
    table = Network(name=CUSTOM, channels=(), hidden=())
    if job.config.task == "embedding":
        table = replace(table, embedding_size=output.shape[1])
    job.recipe = replace(job.recipe, network=table)
    job.config = replace(job.config, network=table)
    return job, own_network(network, job.config)
