from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from firstsight.cli.console import out as console
from firstsight.cli.console import print_figures, print_json, progress
from firstsight.cli.options import Device, Json, Seed


def evaluate(
    *,
    model: Annotated[str, Parameter(help="A model folder, a run folder, or the name of a model.")],
    data: Annotated[str, Parameter(help="Folder, zip or CSV manifest of identities that it was not trained on.")],
    trials: Annotated[int, Parameter(help="Random choices of the one enrolled picture.")] = 200,
    out: Annotated[Path | None, Parameter(help="Folder for report.html and report.json.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Measure a model on identities that it has not seen: recognition from one picture, and verification of pairs.

    Example: firstsight evaluate --model runs/mine --data more-photos --out runs/mine/again
    """
    from firstsight.data.identities import open_pictures
    from firstsight.evaluation.pages import write_evaluation
    from firstsight.evaluation.protocols import evaluate
    from firstsight.models.folder import load_model
    from firstsight.training.device import pick_device
    from firstsight.workflows.progress import stage

    with progress(quiet=json) as on_progress:
        evaluation = evaluate(
            load_model(model, device=str(pick_device(device))),
            open_pictures(data),
            trials=trials,
            seed=seed,
            on_progress=stage(on_progress, "Reading pictures"),
        )
    report = None
    if out:
        title, summary = f"firstsight evaluate: {model}", f"Measured on {data}."
        report = write_evaluation(out, evaluation, title=title, summary=summary)
    if json:
        print_json(evaluation.to_json())
        return 0
    print_figures(evaluation)
    if report:
        console.print(f"report: {report}", markup=False)
    return 0
