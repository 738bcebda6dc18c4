import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.live import Live
from rich.table import Table

from firstsight.cli.console import err, print_json, print_table, progress
from firstsight.cli.console import out as console
from firstsight.cli.options import GalleryUrl, Json, with_recipe_flags
from firstsight.config import StreamRecipe
from firstsight.errors import UserError

if TYPE_CHECKING:
    from firstsight.workflows.stream import OnFigures
    from firstsight.workflows.stream_place import StreamRun


@partial(with_recipe_flags, kind_of_recipe=StreamRecipe)
def stream(
    recipe: Annotated[Path | None, Parameter(help="A TOML recipe; without it all defaults.")] = None,
    *,
    out: Annotated[Path | None, Parameter(help="The run folder to write; without it nothing is kept.")] = None,
    resume: Annotated[bool, Parameter(help="Go on from the last checkpoint: --resume --out OUT is enough.")] = False,
    from_ledger: Annotated[
        bool,
        Parameter(help="Learn from confirmed check-ins of a gallery, and move it to the new model if it is better."),
    ] = False,
    gallery: GalleryUrl = None,
    json: Json = False,
    **flags: Any,
) -> int:
    """Learn from data as they arrive: each is predicted first, then learned.

    Beside the accuracy so far stands that of saying the last label again, which is hard to beat where labels come in
    runs. Ctrl-C or SIGTERM end it with a checkpoint, the model and a report. Of pictures, NAME/*.jpg in a folder, the
    embedding is learned from; it is the one of --model.

    With --from-ledger the arrivals are check-ins that an operator confirmed, with pictures kept. Exit code 3: the new
    model is not measurably better, and the gallery keeps the old one.

    Example: firstsight stream --source weather.csv --target rain --out runs/weather
    """
    from firstsight.recipes import read_recipe, with_flags
    from firstsight.workflows.stream import recipe_of_stream, stream

    given = {flag: value for flag, value in flags.items() if value is not None}
    if from_ledger:
        model = given.pop("model", None)
        _refuse_flags([*given, *(["resume"] if resume else [])])
        return _from_ledger(recipe, out, model, gallery, json)
    if gallery:
        raise UserError("--gallery has no effect without --from-ledger.", hint="Leave it out.")
    if recipe is not None:
        begun = read_recipe(recipe, StreamRecipe)
    else:
        begun = recipe_of_stream(out) if resume and out else StreamRecipe()
    with _live(quiet=json) as on_figures:
        run = stream(None, with_flags(begun, **given), out=out, resume=resume, on_figures=on_figures, on_warning=_warn)
    if json:
        print_json(run.to_json())
    else:
        _show(run)
    return 0


def _refuse_flags(flags: list[str]) -> None:
    if flags:
        named = ", ".join(f"--{flag.replace('_', '-')}" for flag in flags)
        raise UserError(f"With --from-ledger {named} cannot be used.", hint="Settings go into a recipe of training.")


def _from_ledger(recipe: Path | None, out: Path | None, model: str | None, gallery: str | None, json: bool) -> int:
    from firstsight.cli.recognizer import open_gallery
    from firstsight.workflows.learn_from_ledger import learn_from_ledger

    with open_gallery(model, gallery) as opened, progress(quiet=json) as on_progress:
        learned = learn_from_ledger(opened, recipe, out=out, on_progress=on_progress, on_warning=_warn)
    if json:
        print_json(learned.to_json())
    else:
        console.print(learned.in_words(), markup=False)
        console.print(f"report: {learned.run.folder / 'report.html'}", markup=False)
    return 0 if learned.better else 3


def _show(run: "StreamRun") -> None:
    from firstsight.evaluation import prequential

    found = prequential.table(run.figures)
    print_table(found.columns, found.rows, title="Each arrival predicted, then learned")
    console.print(f"{found.caption} {run.figures['rows_per_second']:,.0f} a second.", markup=False)
    if run.figures["refused"]:
        where = f": {run.folder / 'dead-letter.jsonl'}" if run.folder else ", and kept nowhere without --out"
        console.print(f"{run.figures['refused']:,} refused{where}", markup=False)
    if run.folder is None:
        return
    console.print(f"report: {run.folder / 'report.html'}", markup=False)
    if run.model is not None:
        console.print(f"next:   firstsight predict --data DATA --model {shlex.quote(str(run.folder))}", markup=False)


def _warn(warning: str) -> None:
    err.print(warning, style="yellow", markup=False)


@contextmanager
def _live(*, quiet: bool) -> Iterator["OnFigures"]:
    """The figures as they change: a table on a terminal, a line for each tenfold of rows in a pipe."""
    if quiet:
        yield lambda figures: None
    elif err.is_terminal:
        with Live(console=err, transient=True) as live:
            yield lambda figures: live.update(_table(figures))
    else:
        yield _on_lines()


def _table(figures: dict[str, Any]) -> Table:
    from firstsight.evaluation import prequential

    found = prequential.table(figures)
    grid = Table(title=f"{figures['rows']:,} rows, {figures['rows_per_second']:,.0f} a second", title_justify="left")
    for i, column in enumerate(found.columns):
        grid.add_column(column, justify="left" if i == 0 else "right")
    for row in found.rows:
        grid.add_row(*row)
    return grid


def _on_lines() -> "OnFigures":
    due = 1

    def show(figures: dict[str, Any]) -> None:
        nonlocal due
        if figures["rows"] < due:
            return
        due = 10 ** len(str(figures["rows"]))
        name = "accuracy" if "accuracy" in figures else "mae"
        beside = f"no_change_{name}"
        words = f"{name} {figures[name]:.4g}  no-change {figures[beside]:.4g}"
        err.print(f"{figures['rows']:,} rows  {words}  {figures['rows_per_second']:,.0f} rows/s", markup=False)

    return show
