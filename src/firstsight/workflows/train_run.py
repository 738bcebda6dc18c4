"""From data to a model folder with its report: the `train` verb."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from firstsight.atomic import remove_leftovers, write_atomically
from firstsight.config import Recipe
from firstsight.data.identities import PictureSet
from firstsight.errors import StorageError, UserError
from firstsight.evaluation import pages
from firstsight.evaluation.protocols import Evaluation
from firstsight.evaluation.report import Section, write_report
from firstsight.models.folder import Model, copy_model, make_model, save_model
from firstsight.recipes import write_recipe
from firstsight.training.checkpoint import FILE, Place, how_to_resume, interruptible
from firstsight.training.collapse import watch_for_collapse
from firstsight.training.loop import Update, fit, with_precision
from firstsight.training.loss import make_loss
from firstsight.training.metrics import metrics_file
from firstsight.training.ranks import from_first, joined_ranks, rank
from firstsight.training.tensorboard import require_tensorboard
from firstsight.workflows.finetune import require_a_comparison, why_kept
from firstsight.workflows.forget import note_training
from firstsight.workflows.job import Job, Outcome
from firstsight.workflows.prepare import given_recipe, prepare
from firstsight.workflows.progress import OnProgress, silent
from firstsight.workflows.run_folder import refuse_to_replace


@dataclass(frozen=True, eq=False)
class Run:
    """What a training run gave. `folder` holds recipe.toml, metrics.jsonl, checkpoint/, model/, report.html and
    report.json.

    `figures` are those of the held-out data, empty where none were held out; `updates` are the rows of
    metrics.jsonl; `warnings` are worth reading; `job` and `outcome` have the rest.
    """

    folder: Path
    recipe: Recipe
    model: Model
    updates: list[dict[str, Any]]
    warnings: list[str]
    job: Job
    outcome: Outcome

    @property
    def figures(self) -> dict[str, Any]:
        return self.outcome.figures

    @property
    def evaluation(self) -> Evaluation | None:
        """Of an embedding, on held-out identities."""
        return self.outcome.evaluation

    @property
    def kept_start(self) -> bool:
        """Whether fine-tuning did not help, so that `model` is the one that it began with, as it was."""
        return self.job.start is not None and self.model.identity == self.job.start.identity

    @property
    def kept(self) -> str:
        """Of a run with patience or with a model to begin with: when it ended, whose weights were kept, and what that
        does to its figures."""
        if self.kept_start:
            return why_kept(self.job, self.updates, self.figures["auc"])
        trained = self.model.config.trained
        if "best_epoch" not in trained:
            return ""
        best, epochs = trained["best_epoch"], trained["epochs"]
        figure = next(row["held_out"] for row in self.updates if row["epoch"] == best and "held_out" in row)
        ended = "stopped after" if epochs < self.recipe.training.epochs else "went on to the last,"
        return (
            f"{ended} epoch {epochs}; kept the weights of epoch {best} ({self.job.figure} {figure:.3f}). "
            "The figures are somewhat optimistic: that epoch was chosen on these held-out data."
        )

    def learning_section(self) -> Section:
        """The loss, and for triplets the share that is active, of each update."""
        loss_U = [row["loss"] for row in self.updates]
        active_U = [row["active"] / max(row["considered"], 1) for row in self.updates if "active" in row]
        return pages.learning_section(loss_U, active_U)

    def to_json(self) -> dict[str, Any]:
        """One flat dict: how the training ended, and the held-out figures."""
        begun = {"kept_start": self.kept_start} if self.job.start else {}
        trained = {} if self.kept_start else self.model.config.trained
        return {
            "out": str(self.folder), "model_identity": self.model.identity, **begun, **trained, **self.figures,
        }  # fmt: skip


def train(
    recipe: Recipe | str | Path,
    *,
    out: str | Path,
    network: nn.Module | None = None,
    crops: PictureSet | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    on_progress: OnProgress = silent,
    on_warning: Callable[[str], None] = lambda warning: None,
) -> Run:
    """Train a network, measure it on held-out data, and write the run.

    Args:
        recipe: a `Recipe`, or the path of a TOML recipe.
        out: the run folder to make.
        network: any module that maps float32 B x C x H x W to B x D, to train in place of the one that the recipe
            names. For an embedding its outputs are brought to unit length.
        crops: inputs of the network that the recipe begins with, to learn from in place of the recipe's pictures, whose
            path then only says where they come from.
        resume: go on with a run that was interrupted; the outcome is, bit for bit, that of a run never interrupted.
        tensorboard: also write the curves of metrics.jsonl to tensorboard/, which `tensorboard --logdir` shows. A run
            that began with it is resumed with it.
        on_progress: hears how far it is.
        on_warning: hears at once what is worth reading, such as that the embedding is collapsing.

    Started by torchrun, every rank gets the same `Run`; only rank 0 writes, and speaks.

    Raises:
        DataError: no data, or too few to learn from and measure on.
        RecipeError: a loss that does not fit the task, or a network that does not fit the data.
        UserError: the run folder holds a run already, or a recipe that is not of a run.
        StorageError: the run folder cannot be written.
        TrainingError: the run cannot go on.
        MissingExtra: TensorBoard is asked for, and not installed.
        ModelError: there is no such model to begin with, or it makes no embeddings.
        KeyboardInterrupt: its text says how to go on, or that nothing was saved yet.

    Example:
        >>> recipe = with_flags(Recipe(), data="photos", epochs=20)  # doctest: +SKIP
        >>> train(recipe, out="runs/mine").figures["accuracy"]  # doctest: +SKIP
        0.94
    """
    recipe = given_recipe(recipe)
    folder = Path(out)
    _refuse_to_overwrite(folder, recipe, resume)
    events = folder / "tensorboard" if tensorboard or (folder / "tensorboard").exists() else None
    if events:
        require_tensorboard()
    on_progress = on_progress if rank() == 0 else silent
    with interruptible(folder):
        job, network, device = prepare(recipe, network, on_progress, crops=crops)
        require_a_comparison(job)
        for warning in job.warnings if rank() == 0 else ():
            on_warning(warning)
        try:
            with joined_ranks(device):
                network.to(device)
                job.recipe = with_precision(job.recipe, network, device)
                job.begin(network)
                folder.mkdir(parents=True, exist_ok=True)
                if rank() == 0:
                    for name in ("recipe.toml", "model", "report.html", "report.json"):
                        remove_leftovers(folder / name)
                place, updates, warnings = _fit(network, job, folder, device, events, on_progress, on_warning)
                return _finish(network, job, folder, place, updates, warnings, on_progress, on_warning)
        except OSError as error:
            raise StorageError(
                f"The run {folder} cannot be written: {error.strerror}.", hint="Free space or name another --out."
            ) from error


def _refuse_to_overwrite(folder: Path, recipe: Recipe, resume: bool) -> None:
    if (folder / "model").exists():
        if not resume:
            raise UserError(f"{folder} holds a run already.", hint="Name another --out.")
        verb = "evaluate" if recipe.data.task == "embedding" else "predict"
        use = f"firstsight {verb} --model {shlex.quote(str(folder))} --data DATA"
        raise UserError(f"The run in {folder} is finished.", hint=f"Use it: {use}; or name another --out.")
    begun = (folder / "checkpoint" / FILE).exists()
    if begun and not resume:
        raise UserError(
            f"{folder} holds a run that was interrupted.",
            hint=f"Go on with: {how_to_resume(folder / 'checkpoint')}, or name another --out.",
        )
    if not resume:
        refuse_to_replace(folder)


def _fit(
    network: nn.Module,
    job: Job,
    folder: Path,
    device: torch.device,
    events: Path | None,
    on_progress: OnProgress,
    on_warning: Callable[[str], None],
) -> tuple[Place, list[dict[str, Any]], list[str]]:
    recipe = job.recipe
    alarm = watch_for_collapse(recipe.loss.margin)
    warnings: list[str] = []
    held_out: float | None = None
    with metrics_file(folder / "metrics.jsonl", write=rank() == 0, events=events) as metrics:

        def on_start(place: Place) -> None:
            nonlocal held_out
            metrics.start(place)
            if rank() == 0:  # not before the checkpoint has shown that it is of this recipe
                write_atomically(folder / "recipe.toml", write_recipe(recipe).encode())
            held_out = next((row["held_out"] for row in reversed(metrics.rows) if "held_out" in row), None)

        def on_update(update: Update) -> None:
            nonlocal held_out
            metrics.add(update)
            held_out = update.figures.get("held_out", held_out)
            if (warning := alarm(update)) and rank() == 0:
                warnings.append(warning)
                on_warning(warning)
            glance = _glance(update, recipe.training.epochs, {} if held_out is None else {job.figure: held_out})
            on_progress("Training", update.number, round(update.number / update.progress), glance)

        place = fit(
            network,
            make_loss(recipe),
            job.feed,
            recipe,
            device=device,
            checkpoint=folder / "checkpoint",
            on_update=on_update,
            on_start=on_start,
            on_checkpoint=metrics.flush,
            validate=job.validate if recipe.training.patience or job.start else None,
            to_beat=from_first(job.validate(network.eval()) if rank() == 0 else 0.0) if job.start else None,
        )
        return place, metrics.rows, warnings


def _glance(update: Update, epochs: int, held_out: dict[str, float]) -> dict[str, Any]:
    figures: dict[str, Any] = {"epoch": f"{update.epoch}/{epochs}", "loss": update.loss}
    if "active" in update.figures:
        figures["active"] = update.figures["active"] / max(update.figures["considered"], 1)
    return figures | held_out | {"examples/s": update.examples / update.seconds}


def _finish(
    network: nn.Module,
    job: Job,
    folder: Path,
    place: Place,
    updates: list[dict[str, Any]],
    warnings: list[str],
    on_progress: OnProgress,
    on_warning: Callable[[str], None],
) -> Run:
    trained = {**job.provenance, "updates": place.number}
    if place.best_epoch:
        trained |= {"epochs": place.epoch - 1, "best_epoch": place.best_epoch}
    model = make_model(network, replace(job.config, trained=trained), name=str(folder))
    if job.start and not place.best_epoch:
        model = job.start
    outcome = job.finish(model, on_progress)
    run = Run(folder, job.recipe, outcome.model, updates, warnings, job, outcome)
    if rank() != 0:
        return run
    _write_report(run)
    # the model last, for it says that the run is over: one killed before this is resumed
    if run.kept_start:
        return replace(run, model=copy_model(outcome.model, folder / "model"))
    _remember(run, on_warning)
    return replace(run, model=save_model(outcome.model, folder / "model"))


def _remember(run: Run, on_warning: Callable[[str], None]) -> None:
    """Note which names it learned from, for the receipts of `forget`."""
    try:
        note_training(
            run.folder, model_identity=run.model.identity, data=run.recipe.data.path, names=run.job.names,
            start=run.job.start.identity if run.job.start else "",
        )  # fmt: skip
    except OSError as error:
        warning = f"The data folder cannot be written ({error.strerror}): receipts of forget will not list this model."
        run.warnings.append(warning)
        on_warning(warning)


def _write_report(run: Run) -> None:
    outcome = run.outcome
    measured = "Measured on held-out data." if outcome.figures else "Nothing was held out to measure on."
    kept = f"Training {run.kept}" if run.kept and not run.kept_start else run.kept
    write_report(
        run.folder,
        title=f"firstsight train: {run.folder.name}",
        summary=f"Learned from {run.recipe.data.path}. {measured} {kept}".strip(),
        headlines=outcome.headlines,
        tables=outcome.tables,
        sections=[run.learning_section(), *outcome.sections],
        data=run.to_json(),
    )
