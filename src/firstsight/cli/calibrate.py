from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from firstsight.cli.console import err, print_json, print_table, progress
from firstsight.cli.console import out as console
from firstsight.cli.options import Align, Device, Json, Model, Seeing

if TYPE_CHECKING:
    from firstsight.workflows.calibrate import Calibrated


def calibrate(
    *,
    model: Model = None,
    data: Annotated[str, Parameter(help="Folder, zip or CSV manifest of identities that it was not trained on.")],
    fpir: Annotated[
        float | Literal["auto"],
        Parameter(help="Share of strangers who may be let in, 0.01 say; auto: the tightest that the data support."),
    ] = "auto",
    gallery: Annotated[
        str | None,
        Parameter(
            help="A gallery to keep it in; without it, it becomes the model folder's default, or goes into the own "
            "gallery of a model that ships."
        ),
    ] = None,
    align: Align = None,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Measure where 'the same' ends, with a promise: how many strangers are let in at most.

    The data are people, or things, like the strangers at the door. A column `group` of the manifest gives the figures
    of each group beside those of all.

    Example: firstsight calibrate --model runs/mine --data other-people --fpir 0.01
    """
    from contextlib import nullcontext

    from firstsight.cli.recognizer import load_named, open_recognizer
    from firstsight.models.folder import shipped_models
    from firstsight.workflows.calibrate import calibrate_model

    target = None if isinstance(fpir, str) else fpir
    in_gallery = gallery is not None or model is None or model in shipped_models()
    seeing = Seeing(align=align)
    opened = open_recognizer(model, gallery, device=device, make=True, seeing=seeing) if in_gallery else nullcontext()
    with opened as recognizer, progress(quiet=json) as on_progress:
        found = calibrate_model(
            recognizer.model if recognizer else load_named(str(model), device=device, align=align),
            data,
            target=target,
            gallery=recognizer.gallery if recognizer else None,
            on_progress=on_progress,
        )
    if json:
        print_json(found.to_json())
    else:
        _show(found)
    return 0


def _show(found: "Calibrated") -> None:
    from firstsight.evaluation.promise import at_size, group_table, group_warnings, promise_lines

    for line in promise_lines(found.point):
        console.print(line, markup=False)
    if found.templates is not None:
        console.print(at_size(found.point, found.templates), markup=False)
    if found.point.groups:
        table = group_table(found.point)
        print_table(table.columns, table.rows, title=table.heading)
    console.print(f"kept in {found.where}, calibration {found.point.version}", markup=False)
    for warning in filter(None, [found.warning, *group_warnings(found.point)]):
        err.print(warning, style="yellow", markup=False)
    for path, reason in found.skipped:
        err.print(f"unreadable, left out: {path}: {reason}", markup=False)
