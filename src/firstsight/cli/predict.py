from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from firstsight.cli.console import out as console
from firstsight.cli.options import Align, Device


def predict(
    *,
    model: Annotated[str, Parameter(help="A model folder or a run folder of a classification or regression.")],
    data: Annotated[str, Parameter(help="CSV rows, IDX pictures, or a folder or zip of pictures.")],
    out: Annotated[Path | None, Parameter(help="The CSV file to write; without it they are printed.")] = None,
    align: Align = None,
    device: Device = "auto",
) -> int:
    """Write what a model predicts: a CSV line for each row or picture.

    Classes come with the score of each; numbers are in the target's own unit.

    Example: firstsight predict --model runs/housing --data houses.csv --out predictions.csv
    """
    from firstsight.cli.recognizer import load_named
    from firstsight.workflows.predict import predict, to_csv

    predictions = predict(load_named(model, device=device, align=align), data)
    if out is None:
        print(to_csv(predictions), end="")
        return 0
    from firstsight.workflows.predict import write_csv

    write_csv(predictions, out)
    console.print(f"{len(predictions.names)} predictions: {out}", markup=False)
    return 0
