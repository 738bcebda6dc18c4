from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from firstsight.cli.console import err, print_json, print_table, progress
from firstsight.cli.console import out as console
from firstsight.cli.options import Align, Device, Json

if TYPE_CHECKING:
    from firstsight.workflows.cluster import Clustered


def cluster(
    folder: Annotated[str, Parameter(help="A folder of pictures, nested or not.")],
    *,
    model: Annotated[str, Parameter(help="A model's name (faces, glyphs), a model folder or a run folder.")] = "faces",
    out: Annotated[Path | None, Parameter(help="A new folder for clusters.csv and contact sheets.")] = None,
    named: Annotated[
        bool, Parameter(help="Its folders (or zip, or CSV manifest) are identities: say how well clusters agree.")
    ] = False,
    threshold: Annotated[
        float | None,
        Parameter(help="Squared distance (0 to 4) that is still one face; without it the measured one."),
    ] = None,
    align: Align = None,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Who is on these pictures? Group every face in them, without anybody enrolled.

    Clusters are merged while the mean squared distance between their faces is at most the threshold. With --named, the
    face nearest to the center of each picture counts.

    Example: firstsight cluster holidays --model faces --out groups
    """
    from firstsight.cli.recognizer import load_named
    from firstsight.workflows.cluster import cluster_pictures, require_empty, write_clusters

    if out:
        require_empty(out)
    loaded = load_named(model, device=device, align=align)
    with progress(quiet=json) as on_progress:
        found = cluster_pictures(loaded, folder, named=named, threshold=threshold, on_progress=on_progress)
    written = write_clusters(found, out) if out else []
    if json:
        print_json({"model": loaded.name, "model_identity": loaded.identity, "data": folder, **found.to_json()})
        return 0
    _show(found)
    for path, reason in found.skipped:
        err.print(f"left out: {path}: {reason}", markup=False)
    if written:
        console.print(f"list: {written[0]}; contact sheets: {len(written) - 1}", markup=False)
    return 0


def _show(found: "Clustered") -> None:
    figures = found.to_json()
    what = "faces" if any(item.box for item in found.items) else "pictures"
    rows = [
        (what, f"{figures['faces']:,}"),
        ("clusters of several", f"{figures['clusters']:,}"),
        (f"{what} alone", f"{figures['alone']:,}"),
        ("largest cluster", f"{figures['largest']:,}"),
        ("threshold (squared distance)", f"{found.threshold:.3f}"),
    ]
    for name in ("precision", "recall") if found.agreement else ():
        share, interval = getattr(found.agreement, name), getattr(found.agreement, f"{name}_interval")
        said = "no pairs" if share is None else f"{share:.1%} ({interval.low:.1%} to {interval.high:.1%})"
        rows.append((f"pairwise {name}", said))
    print_table(("", "found"), rows)
