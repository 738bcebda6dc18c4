import re
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from firstsight.cli.console import out as console
from firstsight.cli.console import print_json, print_table, progress
from firstsight.cli.options import Json, with_recipe_flags
from firstsight.errors import UserError

if TYPE_CHECKING:
    from firstsight.config import Recipe
    from firstsight.workflows.tune import Tuned
    from firstsight.workflows.tune_trial import Plan

FEW = 3
"""Reasons shown where nothing else can be."""
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@with_recipe_flags
def tune(
    recipe: Annotated[Path | None, Parameter(help="A TOML recipe, with a table [search] or without one.")] = None,
    *,
    out: Annotated[Path | None, Parameter(help="The folder of the study; runs/tune-RECIPE by default.")] = None,
    trials: Annotated[int | None, Parameter(help="How many trials the study is to have in all (20).")] = None,
    time: Annotated[str | None, Parameter(help="No trial begins after so long: 90s, 20m, 1h30m.")] = None,
    trial_time: Annotated[str | None, Parameter(help="A trial that would take longer is pruned: 4m.")] = None,
    objective: Annotated[
        str | None, Parameter(help="A figure of report.json: accuracy, auc, eer, val_at_far_1e-2, r2 ...")
    ] = None,
    workers: Annotated[int, Parameter(help="Processes on this machine, which share its cores.")] = 1,
    storage: Annotated[
        str | None, Parameter(help="postgresql://USER@HOST/DATABASE, for several machines; a file of OUT by default.")
    ] = None,
    resume: Annotated[
        bool, Parameter(help="Go on with a study that is there; --no-resume refuses to.", negative="--no-resume")
    ] = True,
    range_test: Annotated[bool, Parameter(help="Propose a learning rate, by one short run (Smith 2017).")] = False,
    report: Annotated[bool, Parameter(help="Write report.html, and train best and default with other seeds.")] = False,
    seeds: Annotated[int | None, Parameter(help="Other seeds for --report (5).")] = None,
    json: Json = False,
    **flags: Any,
) -> int:
    """Find better settings of a recipe by trial and error, and show what was learned.

    The first trial is the recipe as it is; hopeless trials end early. The same command goes on after an interruption,
    and on other machines joins in. The best recipe is written to OUT/best.toml.

    Example: firstsight tune mine.toml --data photos --trials 20 --time 20m --workers 2
    """
    given = {flag: value for flag, value in flags.items() if value is not None}
    folder = out or Path("runs") / (f"tune-{recipe.stem}" if recipe else "tune")
    if seeds is not None and not report:
        raise UserError("--seeds belongs to --report.", hint="Add --report, or leave it out.")
    searching = {
        "--trials": trials, "--time": time, "--trial-time": trial_time, "--workers": None if workers == 1 else workers,
        "--no-resume": None if resume else False,
    }  # fmt: skip
    if range_test:
        _refuse_beside(
            "--range-test", searching | {"--objective": objective, "--storage": storage, "--report": report or None}
        )
        return _range_test(_resolved(recipe, given), folder, json)
    if report:
        _refuse_beside("--report", searching)
        return _report(_plan(given, folder, storage, objective), folder, seeds or 5, json)
    return _tune(
        recipe, given, folder, json, trials=trials, seconds=_seconds("time", time),
        trial_seconds=_seconds("trial-time", trial_time), objective=objective, workers=workers, storage=storage,
        resume=resume,
    )  # fmt: skip


def _resolved(recipe: Path | None, given: dict[str, Any]) -> "Recipe":
    from firstsight.config import Recipe
    from firstsight.recipes import read_recipe, with_flags

    return with_flags(read_recipe(recipe) if recipe else Recipe(), **given)


def _refuse_beside(what: str, unheeded: dict[str, Any]) -> None:
    """Refuse what would not be heeded, where it was given."""
    given = [flag for flag, value in unheeded.items() if value is not None]
    if given:
        raise UserError(f"{what} does not go with {' and '.join(given)}.", hint=f"Leave out {' and '.join(given)}.")


def _seconds(name: str, text: str | None) -> float | None:
    """The seconds of 90, 90s, 20m, 1h30m or 1.5h."""
    if text is None:
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text.replace(" ", ""))
    if "".join(number + unit for number, unit in parts) != text.replace(" ", "") or not parts:
        raise UserError(f"--{name} {text} is no duration.", hint="Give 90s, 20m, 1h30m or 1.5h.")
    if len(parts) > 1 and not all(unit for _, unit in parts):
        raise UserError(f"--{name} {text} leaves open what its numbers count.", hint="Give 90s, 20m, 1h30m or 1.5h.")
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if not seconds:
        raise UserError(f"--{name} {text} is no time at all.", hint="Give 90s, 20m, 1h30m or 1.5h.")
    return seconds


def _tune(recipe: Path | None, given: dict[str, Any], folder: Path, json: bool, **options: Any) -> int:
    from firstsight.workflows.search_space import default_space, read_space
    from firstsight.workflows.tune import tune
    from firstsight.workflows.tune_study import see_report

    resolved = _resolved(recipe, given)
    space = read_space(recipe, resolved) if recipe else default_space(resolved)
    with progress(quiet=json) as on_progress:
        found = tune(resolved, search=space, out=folder, on_progress=on_progress, **options)
    if json:
        print_json(found.to_json())
    else:
        _show(found, f"next:   {see_report(folder, found.plan.url)}")
    return 0 if found.best else 1


def _show(found: "Tuned", next_: str) -> None:
    from firstsight.workflows.tune import to_plain_value
    from firstsight.workflows.tune_report import cell

    plan = found.plan
    if found.best is None:
        console.print(f"No trial was complete; {found.pruned} were pruned.", markup=False)
        _show_reasons(plan)
        return
    recipes = (plan.recipe, found.best)
    rows = [(d.flag, *(cell(to_plain_value(recipe, d.flag)) for recipe in recipes)) for d in plan.space]
    print_table(("", "recipe", "best"), rows, title=f"Trial {found.best_number}: {plan.objective} {found.value:.4f}")
    started = "" if found.default is None else f" The recipe as it was: {plan.objective} {found.default:.4f}."
    console.print(f"{found.complete} trials complete, {found.pruned} pruned.{started}", markup=False)
    console.print("The best figure is optimistic: the trial was chosen by it.", markup=False)
    console.print(f"recipe: {found.folder / 'best.toml'}", markup=False)
    console.print(next_, markup=False)


def _show_reasons(plan: "Plan") -> None:
    from firstsight.workflows.tune import reasons
    from firstsight.workflows.tune_study import open_study

    for number, reason in reasons(open_study(plan.url, plan.name, seed=0))[:FEW]:
        console.print(f"trial {number}: {reason}", markup=False)


def _plan(given: dict[str, Any], folder: Path, storage: str | None, objective: str | None) -> "Plan":
    """That of the study; where this machine keeps the data may be told."""
    from dataclasses import replace

    from firstsight.recipes import with_flags
    from firstsight.workflows.tune_begin import stored_plan

    plan = stored_plan(folder, storage)
    unheeded = [f"--{flag.replace('_', '-')}" for flag in given if flag not in ("data", "val", "device")]
    unheeded += ["--objective"] * (objective is not None)
    if unheeded:
        raise UserError("--report follows the study's own recipe.", hint=f"Leave out {' and '.join(unheeded)}.")
    return replace(plan, recipe=with_flags(plan.recipe, **given))


def _report(plan: "Plan", folder: Path, seeds: int, json: bool) -> int:
    from firstsight.workflows.tune_report import report

    with progress(quiet=json) as on_progress:
        found = report(folder, plan, seeds=seeds, on_progress=on_progress)
    if json:
        print_json(found.to_json())
        return 0
    _show(found.tuned, found.in_words())
    console.print(f"report: {found.page}", markup=False)
    console.print(f"next:   firstsight train {quote(str(folder / 'best.toml'))} --out runs/tuned", markup=False)
    return 0


def _range_test(recipe: "Recipe", folder: Path, json: bool) -> int:
    from firstsight.workflows.range_test import range_test, write_range_test

    with progress(quiet=json) as on_progress:
        found = range_test(recipe, on_progress=on_progress)
    page = write_range_test(found, folder / "range-test")
    if json:
        print_json(found.to_json() | {"report": str(page)})
        return 0
    console.print(found.in_words(), markup=False)
    console.print(f"report: {page}", markup=False)
    return 0
