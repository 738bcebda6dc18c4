import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from firstsight.cli.console import err, print_json, print_table, progress
from firstsight.cli.console import out as console
from firstsight.cli.options import Json, with_recipe_flags
from firstsight.errors import UserError

if TYPE_CHECKING:
    from firstsight.config import Recipe
    from firstsight.workflows.train_run import Run


@with_recipe_flags
def train(
    recipe: Annotated[Path | None, Parameter(help="A TOML recipe; flags go before what it says.")] = None,
    *,
    out: Annotated[Path | None, Parameter(help="The run folder to write; trials write none.")] = None,
    resume: Annotated[bool, Parameter(help="Go on with an interrupted run: --resume --out OUT is enough.")] = False,
    dry_run: Annotated[
        bool, Parameter(help="Try it: a few batches through every stage, then shapes, parameters and times.")
    ] = False,
    overfit: Annotated[
        int | None, Parameter(help="Prove the wiring: learn so few examples by heart; exit code 1 where that fails.")
    ] = None,
    tensorboard: Annotated[bool, Parameter(help="Also write curves for tensorboard --logdir OUT/tensorboard.")] = False,
    json: Json = False,
    **flags: Any,
) -> int:
    """Train a network on identity folders (NAME/*.jpg), and measure it on held-out identities.

    The run folder then holds the model, its report and everything needed to repeat the run.

    Example: firstsight train --data photos --out runs/mine --epochs 20
    """
    from firstsight.config import Recipe
    from firstsight.recipes import read_recipe, with_flags

    _refuse_beside_a_trial(dry_run=dry_run, overfit=overfit is not None, resume=resume, tensorboard=tensorboard)
    given = {flag: value for flag, value in flags.items() if value is not None}
    if resume and out and recipe is None and "data" not in given:
        resolved = _own_recipe(out, given)
    else:
        resolved = with_flags(read_recipe(recipe) if recipe else Recipe(), **given)
    if dry_run:
        return _dry_run(resolved, json)
    if overfit is not None:
        return _overfit(resolved, overfit, json)
    if out is None:
        raise UserError("Where is the run to be written?", hint="Add --out runs/mine.")
    return _train(resolved, out, json, resume=resume, tensorboard=tensorboard)


def _own_recipe(out: Path, given: dict[str, Any]) -> "Recipe":
    """That of the run to be resumed, which no flag may change."""
    from firstsight.workflows.prepare import recipe_of_run

    recipe = recipe_of_run(out)
    if given:
        flags = ", ".join(f"--{flag.replace('_', '-')}" for flag in given)
        raise UserError("--resume follows the run's own recipe.", hint=f"Leave out {flags}.")
    return recipe


def _refuse_beside_a_trial(**given: bool) -> None:
    """Refuse what a trial would not heed; `dry_run` and `overfit` are the trials."""
    flags = [f"--{name.replace('_', '-')}" for name, is_given in given.items() if is_given]
    if (given["dry_run"] or given["overfit"]) and len(flags) > 1:
        trial, *others = flags
        more = " and ".join(others)
        raise UserError(f"{trial} is a trial, and does not go with {more}.", hint=f"Leave out {more}, or {trial}.")


def _train(recipe: "Recipe", out: Path, json: bool, *, resume: bool, tensorboard: bool) -> int:
    from firstsight.training.ranks import rank
    from firstsight.workflows.train_run import train

    with progress(quiet=json) as on_progress:
        run = train(recipe, out=out, resume=resume, tensorboard=tensorboard, on_progress=on_progress, on_warning=_warn)
    if rank() != 0:
        return 0
    if json:
        print_json(run.to_json())
    else:
        _show(run)
    return 3 if run.kept_start else 0


def _show(run: "Run") -> None:
    from firstsight.evaluation.promise import promise

    for table in run.outcome.tables:
        print_table(table.columns, table.rows, title=table.heading)
        console.print(table.caption, markup=False)
    _say_unreadable(run.job.unreadable)
    _say_empty(run.job.empty_cells)
    if run.evaluation:
        console.print(promise(run.evaluation.operating_point), markup=False)
    if run.kept:
        console.print(run.kept, markup=False)
    console.print(f"report: {run.folder / 'report.html'}", markup=False)
    if (run.folder / "tensorboard").exists():
        console.print(f"curves: tensorboard --logdir {run.folder / 'tensorboard'}", markup=False)
    then = "enroll NAME PICTURE" if run.recipe.data.task == "embedding" else "predict --data DATA"
    console.print(f"next:   firstsight {then} --model {shlex.quote(str(run.folder))}", markup=False)


def _dry_run(recipe: "Recipe", json: bool) -> int:
    from firstsight.training.ranks import rank
    from firstsight.workflows.dry_run import dry_run

    with progress(quiet=json) as on_progress:
        found = dry_run(recipe, on_progress=on_progress)
    if rank() != 0:
        return 0
    if json:
        print_json(found.to_json())
        return 0
    layers = [
        (f"{name} {kind}", " x ".join(map(str, shape)), f"{weights:,}") for name, kind, shape, weights in found.layers
    ]
    print_table(("layer", "output for one example", "parameters"), layers, title="Network")
    print_table(("", "found"), found.rows(), title="Dry run: nothing was written")
    _say_unreadable(found.unreadable)
    return 0


def _overfit(recipe: "Recipe", examples: int, json: bool) -> int:
    from firstsight.training.ranks import rank
    from firstsight.workflows.overfit import overfit

    with progress(quiet=json) as on_progress:
        found = overfit(recipe, examples, on_progress=on_progress, on_warning=_warn)
    if rank() == 0 and json:
        print_json(found.to_json())
    elif rank() == 0:
        console.print(found.in_words(), markup=False)
    return 0 if found.proven else 1


def _warn(warning: str) -> None:
    err.print(warning, style="yellow", markup=False)


def _say_empty(cells: dict[str, int]) -> None:
    if cells:
        columns = ", ".join(f"{count:,} of {name}" for name, count in cells.items())
        err.print(f"empty cells, filled with the mean of their column: {columns}", markup=False)


def _say_unreadable(pictures: Iterable[tuple[str, str]]) -> None:
    for path, reason in pictures:
        err.print(f"left out: {path}: {reason}", markup=False)
