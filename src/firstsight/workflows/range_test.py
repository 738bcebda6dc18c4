"""The learning-rate range test (Smith 2017): raise η with each update until the loss runs away.

U updates.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.config import Recipe
from firstsight.errors import TrainingError, UserError
from firstsight.evaluation.report import Headline, Plot, Section, write_report
from firstsight.evaluation.tuning_plots import range_curve
from firstsight.training.loop import Update
from firstsight.workflows.prepare import given_recipe, prepare
from firstsight.workflows.progress import OnProgress, silent
from firstsight.workflows.trials import fit_while

LOWEST, HIGHEST = 1e-5, 1e2
UPDATES = 350
"""At the least: fifty to each order of magnitude."""
BEYOND = 4.0
"""The test is over where the smoothed loss is so many times its least: it has run away."""
SMOOTH = 0.95
"""Share of the running mean that is kept with each update."""
NOTHING = 0.02
"""A fall by so small a share is none."""
BEGINS = 0.1
"""The share of the whole fall at which the loss is taken to have begun to fall."""


@dataclass(frozen=True, eq=False)
class RangeTest:
    """Smoothed losses `loss_U` at the rates `rate_U`. From `low` to `high` the loss falls; `proposal` lies between."""

    recipe: Recipe
    rate_U: NDArray[np.float64]
    loss_U: NDArray[np.float64]
    low: float
    high: float
    proposal: float
    ran_away: bool

    def in_words(self) -> str:
        end = "and runs away beyond" if self.ran_away else "and did not run away up to the end"
        return (
            f"The loss falls from η = {self.low:.2g} to {self.high:.2g}, {end}. "
            f"Take --learning-rate {self.proposal:.2g}, or search around it: "
            f"learning_rate = {{ log = [{self.low:.2g}, {self.high:.2g}] }}"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "learning_rate": self.proposal, "low": self.low, "high": self.high, "ran_away": self.ran_away,
            "updates": len(self.rate_U),
        }  # fmt: skip


def range_test(recipe: Recipe | str | Path, *, on_progress: OnProgress = silent) -> RangeTest:
    """Train once, by the loop of `train`, with η growing exponentially from 1e-5 to 100, until the loss runs away.

    `low` is where a tenth of the whole fall is done, `high` where the loss is least. Smith takes the rates between them
    for a schedule that goes up and down; the proposal, their geometric mean drawn towards `high`, is for any.

    Raises:
        UserError: the loss never fell.
    """
    recipe = given_recipe(recipe)
    recipe = replace(recipe, training=replace(recipe.training, patience=0))
    job, network, device = prepare(recipe, None, on_progress)
    epochs = math.ceil(UPDATES / len(job.feed.plan(1)))
    longer = replace(job.recipe, training=replace(job.recipe.training, epochs=epochs))
    rates, losses, best = list[float](), list[float](), math.inf
    ran_away, mean = False, 0.0

    def going_on(update: Update) -> bool:
        nonlocal mean, best, ran_away
        rates.append(update.learning_rate)
        mean = SMOOTH * mean + (1 - SMOOTH) * _telling_loss(update, longer)
        losses.append(mean / (1 - SMOOTH ** len(rates)))  # as the mean began at 0
        best = min(best, losses[-1])
        ran_away = len(rates) > UPDATES // 10 and losses[-1] > BEYOND * best
        on_progress("Range test", update.number, round(update.number / update.progress), {"loss": update.loss})
        return not ran_away

    try:
        fit_while(going_on, job, longer, network, device, rate_at=_rate)
    except TrainingError:
        ran_away = True
    return _judged(recipe, np.array(rates), np.array(losses), ran_away)


def write_range_test(found: RangeTest, folder: Path) -> Path:
    """report.html with the curve and the proposal, and report.json."""
    plot = Plot(
        range_curve(found.rate_U, found.loss_U, low=found.low, high=found.high, proposal=found.proposal),
        "The loss, smoothed, as η grows from update to update. Left of the shaded band η is too small to learn by, "
        "right of it too large.",
        f"A curve that falls from η {found.low:.2g} to {found.high:.2g}.",
        wide=True,
    )
    return write_report(
        folder,
        title="Learning-rate range test",
        summary=f"{found.in_words()}. After Smith, Cyclical learning rates for training neural networks (2017).",
        headlines=[Headline("Proposed η", f"{found.proposal:.2g}", f"between {found.low:.2g} and {found.high:.2g}")],
        sections=[Section("Loss by learning rate", [plot])],
        data=found.to_json(),
    )


def _rate(progress: float) -> float:
    return float(LOWEST * (HIGHEST / LOWEST) ** progress)


def _telling_loss(update: Update, recipe: Recipe) -> float:
    """The loss; of triplets, where it is the mean of the active ones and stays near the margin, that of all."""
    if "active" in update.figures and recipe.loss.reduction == "active":
        return update.loss * update.figures["active"] / max(update.figures["considered"], 1)
    return update.loss


def _judged(recipe: Recipe, rate_U: NDArray[np.float64], loss_U: NDArray[np.float64], ran_away: bool) -> RangeTest:
    """From the curve to the rates. What the loss was before any learning is the median of its first tenth."""
    start = len(rate_U) // 20  # the first means are of few updates
    least = start + int(np.argmin(loss_U[start:])) if start else 0
    before = float(np.median(loss_U[start : 2 * start + 1]))
    fall = before - float(loss_U[least])
    level_U = np.flatnonzero(loss_U[: least + 1] > before - BEGINS * fall)
    if not fall > NOTHING * abs(before) or not len(level_U):
        raise UserError(
            "The loss fell at no learning rate.", hint="Prove the wiring first: firstsight train RECIPE --overfit 16"
        )
    low, high = float(rate_U[level_U[-1]]), float(rate_U[least])
    proposal = low ** (1 / 3) * high ** (2 / 3)
    return RangeTest(recipe, rate_U, loss_U, low, high, proposal, ran_away)
