from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from firstsight.cli.console import out as console
from firstsight.cli.console import print_json
from firstsight.cli.options import Device, GalleryUrl, Json, Model, Seeing, Threshold
from firstsight.cli.recording import Recording, decide


def verify(
    name: Annotated[str, Parameter(help="Who or what it claims to be.")],
    picture: Path,
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    threshold: Threshold = None,
    recording: Recording | None = None,
    seeing: Seeing | None = None,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Is this picture that name? Exit code 0 for yes, 3 for no.

    The decision is recorded in the gallery's ledger.

    Example: firstsight verify ada visitor.jpg --model runs/mine
    """
    from firstsight.cli.recognizer import open_recognizer

    with open_recognizer(model, gallery, device=device, threshold=threshold, seeing=seeing) as recognizer:
        decision, number = decide(recognizer, picture, recording or Recording(), claim=name)
    if json:
        print_json({"picture": str(picture), **decision.to_json(), "ledger": number})
    elif decision.reason:
        console.print(f"{decision.decision}: {picture} {decision.reason}", markup=False)
    else:
        verdict = f"yes, {name}" if decision.accepted else f"no, not {name}"
        console.print(
            f"{verdict}  (distance {decision.distance:.3f}, threshold {decision.threshold:.3f})", markup=False
        )
    return 0 if decision.accepted else 3
