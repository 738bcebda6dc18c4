"""One trial: a run by the very loop of `train`, watched, and ended early where nothing is to be hoped of it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from firstsight.config import Recipe
from firstsight.errors import RecipeError, TrainingError, UserError
from firstsight.recipes import recipe_from, to_plain
from firstsight.training.loop import Update, fit, with_precision
from firstsight.training.loss import make_loss
from firstsight.workflows.job import Job
from firstsight.workflows.prepare import prepare
from firstsight.workflows.progress import OnProgress, silent
from firstsight.workflows.search_space import (
    Choices,
    Dimension,
    Space,
    label,
    recipe_at,
    space_from_plain,
    space_to_plain,
)
from firstsight.workflows.tune_study import (
    REASON,
    STEPS,
    WORKER,
    Trial,
    TrialPruned,
    complete,
    is_one_too_many,
    open_study,
    over,
    put_back,
    taken,
    this_worker,
)

NAMES = {"AUC": "auc", "accuracy": "accuracy", "R²": "r2"}
"""What a report calls the figure that is measured after each epoch."""
SMALLER_IS_BETTER = ("error", "eer", "rmse", "mae")
OBJECTIVES = ("accuracy", "auc", "average_precision", "val_at_far", "r2", *SMALLER_IS_BETTER)
SOON = 0.05
"""The share of a run after which its whole length is told from it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the workers of a study have to know. `until` is a time of `time.time()`."""

    recipe: Recipe
    space: Space
    objective: str
    url: str
    name: str
    trials: int | None = None
    until: float | None = None
    trial_seconds: float | None = None

    def to_plain(self) -> dict[str, Any]:
        return {**vars(self), "recipe": to_plain(self.recipe), "space": space_to_plain(self.space)}

    @staticmethod
    def from_plain(plain: dict[str, Any]) -> "Plan":
        recipe, space = recipe_from(plain["recipe"]), space_from_plain(plain["space"])
        return Plan(**plain | {"recipe": recipe, "space": space})


class OneTooMany(Exception):
    """Another worker took the last trial at the same moment."""


OnTrial = Callable[[int | None, Update | None], None]
"""Called as on_trial(number, update) after each update, and with two None when the trial is over."""


def work(plan: Plan, on_trial: OnTrial = lambda number, update: None) -> None:
    """Make trials until there are as many as planned, or the time is up. Others may do the same at the same time.

    Raises:
        FirstsightError: what would befall every trial, such as data that are gone.
        KeyboardInterrupt: the trial that ran is to be tried again.
    """
    study = open_study(plan.url, plan.name, seed=plan.recipe.training.seed)
    while plan.until is None or time.time() < plan.until:
        if plan.trials is not None and taken(study) >= plan.trials:
            return
        study.optimize(lambda trial: _tried(trial, plan, on_trial), n_trials=1, catch=(OneTooMany,))
        on_trial(None, None)


def larger_is_better(objective: str) -> bool:
    return not objective.startswith(SMALLER_IS_BETTER)


def is_objective(name: str) -> bool:
    """Whether a figure of a report is one to be made better: not a count, a threshold, or the end of an interval."""
    return name.startswith(OBJECTIVES) and not name.endswith(("_low", "_high", "_by", "_refused", "_threshold", "_far"))


def held_out_figure(
    recipe: Recipe, objective: str, *, watch: Callable[[Update, str], None] | None = None
) -> tuple[float, Job]:
    """Train by the recipe, and measure the objective on what is held out. Nothing is written.

    `watch` hears each update, with a held-out figure after some of the epochs, and what that is called.

    Raises:
        TrainingError: the loss or the figure is not finite.
    """
    job, network, device = prepare(recipe, None, silent)
    network.to(device)
    recipe = with_precision(job.recipe, network, device)
    fit(
        network,
        make_loss(recipe),
        job.feed,
        recipe,
        device=device,
        on_update=(lambda update: watch(update, job.figure)) if watch else lambda update: None,
        validate=_validation(job, recipe) if watch or recipe.training.patience else None,
    )
    value = measured(job, network, objective)
    if not math.isfinite(value):
        raise TrainingError(f"The {objective} of the trained network is {value}.")
    return value, job


def measured(job: Job, network: nn.Module, objective: str) -> float:
    """A held-out figure by its name in a report; NaN where the data cannot support it.

    Raises:
        UserError: there is none of that name.
    """
    if NAMES[job.figure] == objective:
        return job.validate(network)
    figures = {name: value for name, value in job.figures(network).items() if is_objective(name)}
    if objective not in figures:
        raise UserError(f"There is no objective {objective}.", hint=f"Known here: {', '.join(figures)}.")
    value = figures[objective]
    return math.nan if value is None else float(value)


def _validation(job: Job, recipe: Recipe) -> Callable[[nn.Module], float]:
    """The held-out figure after each epoch of a run with patience; of others, once a step. NaN where none is due."""
    epochs, done = recipe.training.epochs, 0

    def validate(network: nn.Module) -> float:
        nonlocal done
        done += 1
        due = STEPS * done // epochs > STEPS * (done - 1) // epochs
        return job.validate(network) if due or recipe.training.patience else math.nan

    return validate


def _tried(trial: Trial, plan: Plan, on_trial: OnTrial) -> float:
    """What a trial comes to; how it ends early is said in its attributes."""
    trial.set_user_attr(WORKER, this_worker())
    if plan.trials is not None and is_one_too_many(trial.study, trial.number, plan.trials):
        raise OneTooMany
    try:
        recipe = recipe_at(plan.space, plan.recipe, lambda dimension: _suggested(trial, dimension))
        value, _ = held_out_figure(recipe, plan.objective, watch=_Watch(trial, plan, on_trial))
        return value
    except KeyboardInterrupt:
        put_back(trial.study, _frozen(trial))
        raise
    except (TrialPruned, TrainingError, RecipeError, MemoryError, torch.OutOfMemoryError) as error:
        reason = getattr(error, "message", None) or str(error).splitlines()[0] if str(error) else "Out of memory."
        trial.set_user_attr(REASON, reason)
        raise TrialPruned(reason) from error


class _Watch:
    """Ends a trial that takes too long, or whose held-out figure is not among the better third at its step."""

    def __init__(self, trial: Trial, plan: Plan, on_trial: OnTrial) -> None:
        self._trial, self._plan, self._on_trial = trial, plan, on_trial
        self._began, self._step = time.monotonic(), 0
        # the study's figures are the smaller the better where the objective is
        self._sign = 1.0 if larger_is_better(plan.objective) else -1.0

    def __call__(self, update: Update, name: str) -> None:
        self._on_trial(self._trial.number, update)
        self._refuse_too_long(update)
        step = math.floor(STEPS * update.progress + 1e-9)
        if "held_out" not in update.figures or step <= self._step:
            return
        self._step, figure = step, update.figures["held_out"]
        if not math.isfinite(figure):
            raise TrialPruned(f"Its {name} after epoch {update.epoch} is {figure}.")
        self._trial.report(self._sign * figure, step)
        if step < STEPS and self._trial.should_prune():
            raise TrialPruned(f"Its {name} of {figure:.4g} after epoch {update.epoch} is not among the better third.")

    def _refuse_too_long(self, update: Update) -> None:
        most = self._plan.trial_seconds
        if most is None or update.progress < SOON:
            return
        whole = (time.monotonic() - self._began) / update.progress
        if whole > most * 1.1:
            raise TrialPruned(f"It would take {whole:.0f} s, and a trial may take {most:.0f} s.")


def _suggested(trial: Trial, dimension: Dimension) -> Any:
    if isinstance(dimension, Choices):
        return dimension.by_label[trial.suggest_categorical(dimension.flag, list(dimension.by_label))]
    if dimension.whole:
        return trial.suggest_int(dimension.flag, int(dimension.low), int(dimension.high), log=dimension.log)
    return trial.suggest_float(dimension.flag, dimension.low, dimension.high, log=dimension.log)


def suggestion(dimension: Dimension, value: Any) -> Any:
    """How a value of a dimension stands in the study."""
    return label(value) if isinstance(dimension, Choices) else value


def _frozen(trial: Trial) -> Any:
    return trial.study.get_trials(deepcopy=False)[trial.number]


def recipe_of(plan: Plan, trial: Any) -> Recipe:
    """The recipe that a trial followed."""

    def picked(dimension: Dimension) -> Any:
        value = trial.params[dimension.flag]
        return dimension.by_label[value] if isinstance(dimension, Choices) else value

    return recipe_at(plan.space, plan.recipe, picked)


class Progress:
    """Tells how many trials are over, or how much of the time is, with the best figure so far."""

    def __init__(self, plan: Plan, on_progress: OnProgress) -> None:
        self._plan, self._on_progress, self._began = plan, on_progress, time.time()
        self._study = open_study(plan.url, plan.name, seed=0)
        self._over, self._glance = 0, dict[str, Any]()

    def __call__(self, number: int | None = None, update: Update | None = None) -> None:
        plan = self._plan
        if update is None:
            finished, ranked = over(self._study), complete(self._study)
            self._over = len(finished)
            self._glance = {f"best {plan.objective}": ranked[0].value} if ranked else {}
        now = {"trial": number, "done": f"{update.progress:.0%}"} if update else {}
        if plan.trials is not None:
            self._on_progress("Trials", self._over, plan.trials, self._glance | now)
        elif plan.until is not None:
            whole = max(1, round(plan.until - self._began))
            elapsed = min(whole, round(time.time() - self._began))
            self._on_progress("Seconds", elapsed, whole, {"trials": self._over} | self._glance | now)
