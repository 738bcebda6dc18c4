"""Hyper-parameters by trial and error, done well: the `tune` verb. See docs/tuning.md."""

import math
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstsight.atomic import write_atomically
from firstsight.config import Recipe
from firstsight.errors import StorageError, UserError
from firstsight.recipes import by_flag, write_recipe
from firstsight.training.ranks import started_by_torchrun
from firstsight.workflows.prepare import given_recipe
from firstsight.workflows.progress import OnProgress, silent
from firstsight.workflows.search_space import Space, default_space, read_space
from firstsight.workflows.tune_begin import begin, join
from firstsight.workflows.tune_study import (
    AGAIN,
    REASON,
    Study,
    complete,
    database_url,
    has_study,
    open_study,
    over,
    revive,
    see_report,
)
from firstsight.workflows.tune_trial import Plan, Progress, recipe_of, work
from firstsight.workflows.tune_workers import work_together

BEST = "best.toml"
TRIALS = 20
"""Where neither trials nor a time are given."""


@dataclass(frozen=True, eq=False)
class Tuned:
    """What a study came to. `best` is None where no trial was complete; `best_number` and `value` are then as well.

    `default` is the figure of the recipe that it started from, where that was a complete trial. All figures are of the
    held-out data that chose the best one, so they are optimistic: `report` measures with other seeds.
    """

    folder: Path
    plan: Plan
    best: Recipe | None
    best_number: int | None
    value: float | None
    default: float | None
    complete: int
    pruned: int
    tried_again: int

    def to_json(self) -> dict[str, Any]:
        """One flat dict."""
        plain = {name: value for name, value in vars(self).items() if name not in ("folder", "plan", "best")}
        best = {} if self.best is None else {d.flag: to_plain_value(self.best, d.flag) for d in self.plan.space}
        recipe = str(self.folder / BEST) if self.best else None
        return {"out": str(self.folder), "objective": self.plan.objective, "recipe": recipe, **plain, **best}


def tune(
    recipe: Recipe | str | Path,
    *,
    out: str | Path,
    search: Space | None = None,
    trials: int | None = None,
    seconds: float | None = None,
    trial_seconds: float | None = None,
    objective: str | None = None,
    workers: int = 1,
    storage: str | None = None,
    resume: bool = True,
    on_progress: OnProgress = silent,
) -> Tuned:
    """Search for better settings of a recipe, and write the best ones as `best.toml`, ready to train.

    The first trial is the recipe as it is, unless the space leaves that out. Trials share its seed, so that they learn
    from and are measured on the same data. Where a study is there already, it goes on; on several machines that
    name the same `storage` and the same last part of `out`, they work on one study.

    Args:
        recipe: a `Recipe`, or the path of one with a table `[search]`.
        out: the folder of the study.
        search: the space; that of the file, or `default_space`, where it is None.
        trials: how many the study is to have in all; 20 where no `seconds` are given either.
        seconds: no trial begins after so many.
        trial_seconds: a trial that would take longer is pruned.
        objective: a figure of a report, such as accuracy, auc, eer or r2; the one that `train` shows by default.
        workers: processes on this machine, which share its cores.
        storage: postgresql://USER@HOST/DATABASE; a file in `out` by default.
        resume: go on with a study that is there; False refuses to.
        on_progress: hears how far it is.

    Raises:
        RecipeError: an impossible space, before the first trial.
        UserError: no such objective, nothing held out, or the study there is another.
        StorageError: the database cannot be used.
        KeyboardInterrupt: its text says how to go on.
    """
    _refuse_numbers(trials=trials, seconds=seconds, trial_seconds=trial_seconds, workers=workers)
    if search is None:
        search = read_space(recipe, given_recipe(recipe)) if not isinstance(recipe, Recipe) else default_space(recipe)
    folder, recipe = Path(out), given_recipe(recipe)
    name = folder.absolute().name
    url = database_url(storage, folder)
    if trials is None and seconds is None:
        trials = TRIALS
    plan = Plan(
        recipe=recipe, space=search, objective=objective or "", url=url, name=name, trials=trials,
        until=None if seconds is None else time.time() + seconds, trial_seconds=trial_seconds,
    )  # fmt: skip
    begun = has_study(url, name)
    if begun and not resume:
        raise UserError(f"{folder} holds a study already.", hint="Name another --out, or leave out --no-resume.")
    plan = join(plan) if begun else begin(plan, folder, on_progress)
    revive(open_study(url, name, seed=recipe.training.seed))
    _work(plan, folder, workers, on_progress)
    return conclude(folder, plan)


def conclude(folder: Path, plan: Plan) -> Tuned:
    """What the study has come to, with its best recipe written."""
    study = open_study(plan.url, plan.name, seed=plan.recipe.training.seed)
    ranked = complete(study)
    best = recipe_of(plan, ranked[0]) if ranked else None
    if best:
        head = (
            f"# Trial {ranked[0].number} of the study {plan.name}: {plan.objective} {ranked[0].value:.6g} on the "
            f"held-out data that chose it.\n# firstsight train {shlex.quote(str(folder / BEST))} --out runs/tuned\n"
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / BEST, (head + write_recipe(best)).encode())
        except OSError as error:
            raise StorageError(f"{folder / BEST} cannot be written: {error.strerror}.", hint="Free space.") from error
    finished = over(study)
    default = next((trial.value for trial in ranked if trial.user_attrs.get("default")), None)
    return Tuned(
        folder, plan, best, ranked[0].number if ranked else None, ranked[0].value if ranked else None, default,
        complete=len(ranked), pruned=len(finished) - len(ranked),
        tried_again=sum(AGAIN in trial.user_attrs for trial in finished),
    )  # fmt: skip


def to_plain_value(recipe: Recipe, flag: str) -> Any:
    """What a recipe says under a flag, as plain data."""
    value = by_flag()[flag].of(recipe)
    return list(value) if isinstance(value, tuple) else value


def reasons(study: Study) -> list[tuple[int, str]]:
    """Which trials were pruned, and why."""
    return [(trial.number, trial.user_attrs[REASON]) for trial in over(study) if REASON in trial.user_attrs]


def _refuse_numbers(**given: float | None) -> None:
    if started_by_torchrun():
        raise UserError("Trials do not run under torchrun.", hint="Type firstsight tune … --workers N instead.")
    for name, value in given.items():
        if value is not None and (not math.isfinite(value) or value <= 0):
            flag = {"seconds": "time", "trial_seconds": "trial-time"}.get(name, name)
            raise UserError(f"--{flag} {value:g} is too little.", hint="Give 1 or more.")


def _work(plan: Plan, folder: Path, workers: int, on_progress: OnProgress) -> None:
    told = Progress(plan, on_progress)
    try:
        told()
        if workers == 1:
            work(plan, told)
        else:
            work_together(plan, workers, told)
    except KeyboardInterrupt as interrupt:
        told()
        see = see_report(folder, plan.url)
        raise KeyboardInterrupt(f"Go on with the same command, or look at what there is: {see}") from interrupt
