from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from firstsight.cli.console import err, print_json, print_table
from firstsight.cli.console import out as console
from firstsight.cli.options import Json


def models(
    folder: Annotated[Path, Parameter(help="Where to look for run folders and model folders.")] = Path("runs"),
    *,
    json: Json = False,
) -> int:
    """List the models at hand: what each learned from, its threshold, and how many are enrolled with it.

    Example: firstsight models runs
    """
    from firstsight.models.folder import shipped_models
    from firstsight.workflows.models import list_models

    everything = list(list_models(folder))
    found = [entry for entry in everything if "error" not in entry]
    for entry in everything:
        if json:
            print_json(entry)
        elif "error" in entry:
            err.print(entry["error"], style="red", markup=False)
    if json:
        return 0
    rows = [
        (
            entry["name"], entry["model_identity"][:12], entry["network"], entry["input"], entry["data"],
            "none" if entry["threshold"] is None else f"{entry['threshold']:.3f}",
            "not opened" if entry["enrolled"] is None else str(entry["enrolled"]),
        )
        for entry in found
    ]  # fmt: skip
    print_table(("model", "identity", "network", "input", "learned from", "one-to-one threshold", "enrolled"), rows)
    if len(everything) == len(shipped_models()):
        console.print(f"None in {folder}. Train one: firstsight train --data PICTURES --out runs/mine")
    return 0
