from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from firstsight.cli.console import err, print_json, print_table, progress
from firstsight.cli.console import out as console
from firstsight.cli.options import Json, Out, with_recipe_flags


@with_recipe_flags
def train(
    recipe: Annotated[Path | None, Parameter(help="A TOML recipe; flags go before what it says.")] = None,
    *,
    out: Out,
    resume: Annotated[bool, Parameter(help="Go on with a run that was interrupted.")] = False,
    json: Json = False,
    **flags: Any,
) -> int:
    """Train a network on identity folders (NAME/*.jpg), and measure it on held-out identities.

    The run folder then holds the model, its report and everything needed to repeat the run.

    Example: firstsight train --data photos --out runs/mine --epochs 20
    """
    from firstsight.config import Recipe, read_recipe, with_flags
    from firstsight.training.ranks import rank
    from firstsight.workflows.train_run import train

    given = {flag: value for flag, value in flags.items() if value is not None}
    with progress(quiet=json) as on_progress:
        run = train(
            with_flags(read_recipe(recipe) if recipe else Recipe(), **given),
            out=out,
            resume=resume,
            on_progress=on_progress,
            on_warning=lambda warning: err.print(warning, style="yellow", markup=False),
        )
    if rank() != 0:
        return 0
    if json:
        print_json(run.to_json())
        return 0
    for table in run.outcome.tables:
        print_table(table.columns, table.rows, title=table.heading)
        console.print(table.caption, markup=False)
    for path, reason in run.job.unreadable:
        err.print(f"left out: {path}: {reason}", markup=False)
    console.print(f"report: {run.folder / 'report.html'}", markup=False)
    then = "enroll NAME PICTURE" if run.recipe.data.task == "embedding" else "predict --data DATA"
    console.print(f"next:   firstsight {then} --model {out}", markup=False)
    return 0
