"""From pictures to a model folder with its report: the `train` verb.

N pictures, D embedding.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from firstsight.config import ModelConfig, Network, Recipe, read_recipe, write_recipe
from firstsight.data.cache import Packed, Skipped, packed_pictures, resolve_color
from firstsight.data.identities import PictureSet, open_pictures, require_identities, split_by_identity
from firstsight.errors import DataError, StorageError, UserError
from firstsight.evaluation import pages
from firstsight.evaluation.protocols import Evaluation, embed_set, evaluate
from firstsight.evaluation.report import Section, write_report
from firstsight.models.embedding import UnitLength
from firstsight.models.folder import Model, make_model, save_model, set_operating_point
from firstsight.models.registry import CUSTOM, build_network
from firstsight.training.device import pick_device
from firstsight.training.feed import picture_feed
from firstsight.training.loop import Update, fit
from firstsight.training.loss import make_loss
from firstsight.training.metrics import metrics_file
from firstsight.workflows.progress import OnProgress, silent, stage


@dataclass(frozen=True, eq=False)
class Run:
    """What a training run gave. `folder` holds recipe.toml, metrics.jsonl, model/, report.html and report.json.

    `evaluation` is of the held-out identities, None where none were held out; `updates` are the rows of
    metrics.jsonl; `unreadable` are the pictures that could not be learned from.
    """

    folder: Path
    recipe: Recipe
    model: Model
    evaluation: Evaluation | None
    updates: list[dict[str, Any]]
    unreadable: tuple[Skipped, ...]

    def learning_section(self) -> Section:
        """The loss and the active triplets of each update, for a report."""
        loss_U = [row["loss"] for row in self.updates]
        active_U = [row["active"] / max(row["considered"], 1) for row in self.updates]
        return pages.learning_section(loss_U, active_U)

    def to_json(self) -> dict[str, Any]:
        """One flat dict: the figures of the evaluation, and how the training ended."""
        figures = self.evaluation.to_json() if self.evaluation else {}
        return {"out": str(self.folder), "model_identity": self.model.identity, **self.model.config.trained, **figures}


def train(
    recipe: Recipe | str | Path,
    *,
    out: str | Path,
    network: nn.Module | None = None,
    on_progress: OnProgress = silent,
) -> Run:
    """Train an embedding network on identity folders, measure it on held-out identities, and write the run.

    Args:
        recipe: a `Recipe`, or the path of a TOML recipe.
        out: the run folder to make.
        network: any module that maps float32 B x C x H x W to B x D, to train in place of the one that the recipe
            names. Its outputs are brought to unit length.
        on_progress: hears how far it is.

    Raises:
        DataError: no pictures, or fewer than two identities to learn from.
        UserError: the run folder holds a run already.
        StorageError: the run folder cannot be written.

    Example:
        >>> recipe = with_flags(Recipe(), data="photos", epochs=20)  # doctest: +SKIP
        >>> train(recipe, out="runs/mine").evaluation.one_shot.accuracy  # doctest: +SKIP
        0.94
    """
    recipe = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    folder = Path(out)
    if (folder / "model").exists():
        raise UserError(f"{folder} holds a run already.", hint="Name another --out, or remove the folder.")
    device = pick_device(recipe.training.device)
    learned, held_out = picture_sets(recipe)
    _require_pairs(learned, held_out)
    recipe = replace(recipe, preprocessing=resolve_color(learned, recipe.preprocessing))
    packed = packed_pictures(learned, recipe.preprocessing, on_progress=stage(on_progress, "Reading pictures"))
    _require_pairs(packed.kept, None)
    recipe, network = _network(recipe, network)
    network.to(device)
    config = ModelConfig(network=recipe.network, preprocessing=recipe.preprocessing)
    try:
        before_ND = None
        if held_out is not None:
            before_ND = embed_set(make_model(network, config, name="untrained"), held_out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.toml").write_text(write_recipe(recipe), "utf-8")
        updates = _fit(network, packed, recipe, folder, device, on_progress)
    except OSError as error:
        raise StorageError(
            f"The run {folder} cannot be written: {error.strerror}.", hint="Free space or name another --out."
        ) from error
    model = make_model(network, replace(config, trained=_provenance(learned, packed, updates)), name=str(folder))
    evaluation = None
    if held_out is not None:
        evaluation = evaluate(model, held_out, on_progress=stage(on_progress, "Measuring"))
        model = set_operating_point(model, evaluation.operating_point)
    model = save_model(model, folder / "model")
    run = Run(folder, recipe, model, evaluation, updates, packed.skipped)
    _write_report(run, before_ND)
    return run


def picture_sets(recipe: Recipe) -> tuple[PictureSet, PictureSet | None]:
    """What to learn from, and the held-out identities to measure on (None where the recipe holds out none).

    Raises:
        DataError: no data named, or too few identities.
    """
    if not recipe.data.path:
        raise DataError("No pictures were named to learn from.", hint="Add --data PICTURES.")
    pictures = open_pictures(recipe.data.path)
    if recipe.data.val:
        return pictures, open_pictures(recipe.data.val)
    learned, held_out = split_by_identity(pictures, recipe.data.holdout, recipe.training.seed)
    return learned, held_out if len(held_out) else None


def _require_pairs(learned: PictureSet, held_out: PictureSet | None) -> None:
    """Refuse at once what would fail only after the training: sets without negatives or without positives."""
    require_identities(learned, 2)
    require_identities(learned, 1, with_pictures=2)
    if held_out is not None:
        require_identities(held_out, 2, with_pictures=2)


def _network(recipe: Recipe, network: nn.Module | None) -> tuple[Recipe, nn.Module]:
    """The network to train, and the recipe that tells the truth about it."""
    if network is None:
        return recipe, build_network(recipe.network, recipe.preprocessing, seed=recipe.training.seed)
    shape = (2, recipe.preprocessing.channels, recipe.preprocessing.height, recipe.preprocessing.width)
    with torch.no_grad():
        output = network.eval()(torch.zeros(shape))
    if output.ndim != 2 or len(output) != 2:
        raise UserError(
            f"The network gives {tuple(output.shape)} for {shape}.",
            hint="It must give B x D embeddings for B pictures.",
        )
    table = Network(name=CUSTOM, channels=(), embedding_size=output.shape[1])
    return replace(recipe, network=table), nn.Sequential(network, UnitLength())


def _fit(
    network: nn.Module, packed: Packed, recipe: Recipe, folder: Path, device: torch.device, on_progress: OnProgress
) -> list[dict[str, Any]]:
    feed = picture_feed(packed.pixels_NCHW, torch.tensor(packed.kept.labels), recipe)
    with metrics_file(folder / "metrics.jsonl") as metrics:

        def on_update(update: Update) -> None:
            metrics.add(update)
            figures = {"loss": update.loss, "active": update.figures["active"] / max(update.figures["considered"], 1)}
            total = round(update.number / update.progress)
            on_progress("Training", update.number, total, figures | {"pictures/s": update.examples / update.seconds})

        fit(network, make_loss(recipe.loss), feed, recipe, device=device, on_update=on_update)
        return metrics.rows


def _provenance(learned: PictureSet, packed: Packed, updates: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "data": learned.source,
        "identities": len(packed.kept.names),
        "pictures": len(packed.kept),
        "unreadable": len(packed.skipped),
        "updates": len(updates),
    }


def _write_report(run: Run, before_ND: Tensor | None) -> None:
    title = f"firstsight train: {run.folder.name}"
    if run.evaluation is None or before_ND is None:
        write_report(
            run.folder,
            title=title,
            summary=f"Learned from {run.recipe.data.path}. No identities were held out, so nothing was measured.",
            sections=[run.learning_section()],
            data=run.to_json(),
        )
        return
    held_out = run.evaluation.pictures
    pages.write_evaluation(
        run.folder,
        run.evaluation,
        title=title,
        summary=f"Learned from {run.recipe.data.path}. Measured on {len(held_out.names)} identities that it never saw.",
        before=[run.learning_section(), pages.embedding_section(run.evaluation, before_ND)],
        data=run.to_json(),
    )
