from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from firstsight.cli.console import err, print_json, print_table, progress
from firstsight.cli.console import out as console
from firstsight.cli.options import Align, Device, Json, Model, Seed

if TYPE_CHECKING:
    from firstsight.workflows.evaluate_run import Measured


def evaluate(
    *,
    model: Model = None,
    data: Annotated[str, Parameter(help="Folder, zip or CSV manifest of identities that it was not trained on.")],
    protocol: Annotated[
        Literal["all-pairs", "pairs", "one-shot", "one-shot-runs", "retrieval", "open-set"],
        Parameter(help="all-pairs: recognition from one picture each, and verification of every two pictures."),
    ] = "all-pairs",
    pairs: Annotated[str | None, Parameter(help="File of pairs in LFW's format, for the protocol pairs.")] = None,
    ways: Annotated[int | None, Parameter(help="Identities in an episode of one-shot (20).")] = None,
    shots: Annotated[int | None, Parameter(help="Pictures enrolled of each in an episode of one-shot (1).")] = None,
    within_groups: Annotated[
        bool, Parameter(help="Episodes of one-shot stay within GROUP of GROUP/NAME.", negative=())
    ] = False,
    trials: Annotated[int | None, Parameter(help="Random choices; without it the protocol's own number.")] = None,
    against: Annotated[str | None, Parameter(help="A second model, to be compared on the same pairs.")] = None,
    out: Annotated[Path | None, Parameter(help="Folder for report.html and report.json.")] = None,
    align: Align = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Measure a model on identities that it has not seen. Every figure comes with its 95 % interval.

    Example: firstsight evaluate --model runs/mine --data more-photos --out runs/mine/again
    """
    from firstsight.cli.recognizer import load_named
    from firstsight.models.folder import DEFAULT_MODEL
    from firstsight.workflows.evaluate_run import measure
    from firstsight.workflows.run_folder import refuse_to_replace

    if out:
        refuse_to_replace(out)
    with progress(quiet=json) as on_progress:
        measured = measure(
            load_named(model or DEFAULT_MODEL, device=device, align=align),
            data,
            protocol=protocol,
            pairs=pairs,
            ways=ways,
            shots=shots,
            trials=trials,
            within_groups=within_groups,
            against=load_named(against, device=device, align=align) if against else None,
            seed=seed,
            on_progress=on_progress,
        )
    report = measured.write(out) if out else None
    if json:
        print_json(measured.figures)
    else:
        _show(measured, report)
    return 0


def _show(measured: "Measured", report: Path | None) -> None:
    print_table(measured.table.columns, measured.table.rows)
    console.print(measured.table.caption, markup=False)
    for note in measured.notes:
        err.print(note, style="yellow" if note.startswith("Warning") else None, markup=False)
    for path, reason in measured.skipped:
        err.print(f"unreadable, counted as a mistake: {path}: {reason}", markup=False)
    if report:
        console.print(f"report: {report}", markup=False)
