from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from firstsight.cli.console import err, print_json
from firstsight.cli.console import out as console
from firstsight.cli.options import Align, Device
from firstsight.errors import UserError


def predict(
    *,
    model: Annotated[str, Parameter(help="A model folder or a run folder of a classification or regression.")],
    data: Annotated[
        str, Parameter(help="CSV rows, IDX pictures, or a folder or zip of pictures.", allow_leading_hyphen=True)
    ],
    follow: Annotated[
        bool, Parameter(help="Go on as DATA grows (- for a pipe): a JSON line each, always by the newest version.")
    ] = False,
    out: Annotated[Path | None, Parameter(help="The CSV file to write; without it they are printed.")] = None,
    align: Align = None,
    device: Device = "auto",
) -> int:
    """Write what a model predicts: a CSV line for each row or picture.

    Classes come with the score of each; numbers are in the target's own unit. With --follow, a model that `firstsight
    stream` is learning is read anew whenever it was written.

    Example: firstsight predict --model runs/housing --data houses.csv --out predictions.csv
    """
    from firstsight.cli.recognizer import load_named
    from firstsight.workflows.predict import predict, to_csv

    if follow:
        return _follow(model, data, device, out)
    if out is not None and out.exists() and Path(data).exists() and out.samefile(data):
        raise UserError(f"{out} is the data, and would be replaced.", hint="Name another --out.")
    predictions = predict(load_named(model, device=device, align=align), data)
    if out is None:
        print(to_csv(predictions), end="")
        return 0
    from firstsight.workflows.predict import write_csv

    write_csv(predictions, out)
    console.print(f"{len(predictions.names)} predictions: {out}", markup=False)
    return 0


def _follow(model: str, data: str, device: str, out: Path | None) -> int:
    from firstsight.data.sources import open_source
    from firstsight.models.device import pick_device
    from firstsight.workflows.predict import NewestModel, predict_arrivals

    if out is not None:
        raise UserError("--follow prints as it goes, and writes no --out.", hint="Leave it out, and add > FILE.")
    newest = NewestModel(model, device=str(pick_device(device)))
    for said in predict_arrivals(newest, open_source(data, follow=True), on_refused=_warn):
        print_json(said)
    return 0


def _warn(where: object, reason: str) -> None:
    err.print(f"left out, at {where}: {reason}", style="yellow", markup=False)
