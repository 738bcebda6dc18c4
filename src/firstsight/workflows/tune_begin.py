"""How a study begins, once what cannot work has been refused; and how one that is there is gone on with."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from firstsight.config import Recipe
from firstsight.errors import FirstsightError, StorageError, UserError
from firstsight.recipes import recipe_from, refuse_without_effect, to_plain
from firstsight.training.loss import make_loss
from firstsight.workflows.prepare import prepare
from firstsight.workflows.progress import OnProgress, silent
from firstsight.workflows.search_space import at_recipe, corners, space_from_plain, space_to_plain
from firstsight.workflows.tune_study import (
    OPTUNA,
    STARTUP,
    database_url,
    has_study,
    in_one_sentence,
    make_study,
    open_study,
)
from firstsight.workflows.tune_trial import NAMES, Plan, larger_is_better, measured, suggestion

FORMAT = 1


def begin(plan: Plan, folder: Path, on_progress: OnProgress) -> Plan:
    """Begin a study, once what cannot work has been refused, with the recipe's own values as its first trial
    where the space holds them."""
    refuse_without_effect(plan.recipe)
    plan = dataclasses.replace(plan, objective=_possible(plan, on_progress))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}.", hint="Name another --out.") from error
    better = larger_is_better(plan.objective)
    study = make_study(plan.url, plan.name, seed=plan.recipe.training.seed, larger_is_better=better)
    if study is None:
        return join(plan)
    with in_one_sentence(plan.url):
        inside = at_recipe(plan.space, plan.recipe)
        if inside is not None:
            by_flag = {dimension.flag: dimension for dimension in plan.space}
            fixed = {flag: suggestion(by_flag[flag], value) for flag, value in inside.items()}
            study.enqueue_trial(fixed, user_attrs={"default": True})
        for name, value in _about(plan).items():
            study.set_user_attr(name, value)
    return plan


def _possible(plan: Plan, on_progress: OnProgress) -> str:
    """Refuse what no trial could do, at every end of the space; give the name of the objective."""
    job, network, device = prepare(plan.recipe, None, on_progress)
    if not job.held_out:
        raise UserError("Tuning needs held-out data, and there are none.", hint="Add --val, or --holdout 0.2.")
    objective = plan.objective or NAMES[job.figure]
    if math.isnan(measured(job, network.to(device), objective)):
        raise UserError(
            f"The held-out data cannot support the objective {objective}.", hint="Hold out more, or name another."
        )
    tried = [*corners(plan.space, plan.recipe, ("data", "preprocessing", "network"))]
    for done, (name, recipe) in enumerate(tried, 1):
        with _at_an_end(name):
            prepare(recipe, None, silent)
        on_progress("Ends of the search space", done, len(tried), {})
    for name, recipe in corners(plan.space, plan.recipe, ("loss",)):
        with _at_an_end(name):
            make_loss(recipe)
    return objective


@contextlib.contextmanager
def _at_an_end(name: str) -> Iterator[None]:
    try:
        yield
    except FirstsightError as error:
        raise type(error)(f"The search space is impossible at {name}: {error.message}", hint=error.hint) from error


def _about(plan: Plan) -> dict[str, Any]:
    """What the study says of itself."""
    seed = plan.recipe.training.seed
    return {
        "format": FORMAT,
        "recipe": to_plain(plan.recipe),
        "space": space_to_plain(plan.space),
        "objective": plan.objective,
        "sampler": f"TPE, multivariate, the first {STARTUP} trials at random, seed {seed} (Optuna {OPTUNA})",
        "pruner": "ASHA: after a third of a run, the best third so far goes on",
    }


def join(plan: Plan) -> Plan:
    """Go on with the study that is there; refuse to, where it is another one."""
    stored = _stored(plan)
    if plan.objective and plan.objective != stored.objective:
        raise _another(plan, "objective", stored.objective)
    if space_to_plain(plan.space) != space_to_plain(stored.space):
        raise _another(plan, "search space", "")
    if _comparable(plan.recipe) != _comparable(stored.recipe):
        raise _another(plan, "recipe", "")
    return dataclasses.replace(plan, objective=stored.objective)


def _stored(plan: Plan) -> Plan:
    """The plan that the study was begun with. Another machine may be just about to write it."""
    for _ in range(100):  # ten seconds
        stored = open_study(plan.url, plan.name, seed=plan.recipe.training.seed).user_attrs
        if "pruner" in stored:  # the last that is written
            recipe, space = recipe_from(stored["recipe"]), space_from_plain(stored["space"])
            return dataclasses.replace(plan, recipe=recipe, space=space, objective=stored["objective"])
        time.sleep(0.1)
    raise UserError(f"The study {plan.name} was never begun in full.", hint="Name another --out.")


def _comparable(recipe: Recipe) -> dict[str, Any]:
    """All but where this machine keeps the data, and what it computes on."""
    plain = to_plain(recipe)
    for table, key in (("data", "path"), ("data", "val"), ("training", "device"), ("training", "precision")):
        plain[table].pop(key)
    return plain


def _another(plan: Plan, what: str, there: str) -> UserError:
    named = f" ({there})" if there else ""
    return UserError(
        f"The study {plan.name} was begun with another {what}{named}.",
        hint="Name another --out, or give what it was begun with.",
    )


def stored_plan(out: str | Path, storage: str | None = None) -> Plan:
    """The plan of the study in a folder, as its first command made it.

    Raises:
        UserError: there is none.
    """
    folder = Path(out)
    url, name = database_url(storage, folder), folder.absolute().name
    if not has_study(url, name):
        raise UserError(f"There is no study in {folder}.", hint=f"Begin one: firstsight tune RECIPE --out {folder}")
    stored = open_study(url, name, seed=0).user_attrs
    recipe, space = recipe_from(stored["recipe"]), space_from_plain(stored["space"])
    return Plan(recipe=recipe, space=space, objective=stored["objective"], url=url, name=name)
