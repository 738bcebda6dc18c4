"""Whether the best recipe is better than the default, or its trial was lucky: both again, with other seeds. S seeds."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.config import Recipe
from firstsight.errors import TrainingError
from firstsight.evaluation.bounds import Interval, student_interval
from firstsight.recipes import to_plain, with_flags
from firstsight.workflows.progress import OnProgress
from firstsight.workflows.tune_study import Study
from firstsight.workflows.tune_trial import Plan, held_out_figure, larger_is_better


@dataclass(frozen=True, eq=False)
class BySeed:
    """The objective of the default and of the best recipe, trained with each of S other seeds; NaN where a run
    diverged."""

    seeds: Sequence[int]
    default_S: NDArray[np.float64]
    best_S: NDArray[np.float64]
    objective: str

    @property
    def gains(self) -> NDArray[np.float64]:
        """By how much the best is better, seed by seed, where both came to their end."""
        gains = (self.best_S - self.default_S) * (1 if larger_is_better(self.objective) else -1)
        return gains[np.isfinite(gains)]

    @property
    def interval(self) -> Interval | None:
        """Of the mean gain, 95 %."""
        return student_interval(self.gains) if len(self.gains) >= 2 else None

    def in_words(self) -> str:
        diverged, of_default = (int(np.isnan(found_S).sum()) for found_S in (self.best_S, self.default_S))
        if diverged > of_default:
            return (
                f"The best recipe is no better than the default: of {len(self.seeds)} seeds that no trial saw it "
                f"diverges with {diverged}, the default with {of_default}."
            )
        interval = self.interval
        if interval is None:
            return "Too few runs came to their end to tell whether the best recipe is better than the default."
        gain = f"{self.gains.mean():+.4f} ({interval.low:+.4f} to {interval.high:+.4f}, 95 %)"
        over = f"over {len(self.gains)} seeds that no trial saw"
        if interval.low > 0:
            return f"The best recipe is better than the default: its {self.objective} gains {gain} {over}."
        if interval.high < 0:
            return f"The best recipe is worse than the default, its trial was lucky: {self.objective} {gain} {over}."
        return f"It may be luck: the {self.objective} of the best recipe gains {gain} {over}."

    def to_json(self) -> dict[str, Any]:
        interval = self.interval
        return {
            "seeds": list(self.seeds),
            "default_by_seed": self.default_S.tolist(),
            "best_by_seed": self.best_S.tolist(),
            "gain": float(self.gains.mean()) if len(self.gains) else None,
            "gain_low": interval.low if interval else None,
            "gain_high": interval.high if interval else None,
        }


def compare_by_seed(study: Study, plan: Plan, best: Recipe, seeds: int, on_progress: OnProgress) -> BySeed:
    """Train the default and the best recipe with seeds that no trial had, each pair on the same data."""
    first = plan.recipe.training.seed + 1
    chosen = range(first, first + seeds)
    done = 0
    found: dict[str, list[float]] = {"default": [], "best": []}
    for seed in chosen:
        for name, recipe in (("default", plan.recipe), ("best", best)):
            found[name].append(_figure_with_seed(study, plan, recipe, seed))
            done += 1
            on_progress("Other seeds", done, 2 * seeds, {name: found[name][-1]})
    return BySeed(list(chosen), np.array(found["default"]), np.array(found["best"]), plan.objective)


def _figure_with_seed(study: Study, plan: Plan, recipe: Recipe, seed: int) -> float:
    """Measured, or remembered from an earlier report; NaN for a run that diverges."""
    recipe = with_flags(recipe, seed=seed)
    what = json.dumps([to_plain(recipe), plan.objective], sort_keys=True)
    key = f"figure_{hashlib.sha256(what.encode()).hexdigest()[:16]}"
    if key not in study.user_attrs:
        try:
            value: float | None = held_out_figure(recipe, plan.objective)[0]
        except TrainingError:
            value = None
        study.set_user_attr(key, value)
    remembered = study.user_attrs[key]
    return math.nan if remembered is None else float(remembered)
