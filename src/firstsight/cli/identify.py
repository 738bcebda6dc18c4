from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from firstsight.cli.console import err, print_json
from firstsight.cli.console import out as console
from firstsight.cli.options import Device, GalleryUrl, Json, Model, Seeing, Threshold
from firstsight.cli.recording import Recording, decide
from firstsight.errors import DataError, FirstsightError, PictureError, UserError

if TYPE_CHECKING:
    from firstsight.recognition.decision import Decision

FORGOTTEN = "(forgotten)"  # a retry of a request whose answer was forgotten since


def identify(
    *pictures: Annotated[Path, Parameter(help="Pictures, or folders of them.")],
    model: Model = None,
    gallery: GalleryUrl = None,
    threshold: Threshold = None,
    recording: Recording | None = None,
    seeing: Seeing | None = None,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Who or what is this, of all that are enrolled? Each decision is recorded in the gallery's ledger.

    Exit code 0 where every picture was recognized, 3 where one is unknown, ambiguous or shows no one face, 2 where one
    cannot be read.

    Example: firstsight identify visitor.jpg --model runs/mine --json
    """
    from firstsight.cli.recognizer import open_recognizer
    from firstsight.data.identities import find_pictures

    code = 0
    found = []
    for given in pictures:
        try:
            found += find_pictures(given)
        except DataError as error:
            if len(pictures) == 1:
                raise
            code = 2
            _say_unreadable(given, error, json)
    if code and not found:
        return code
    if not found:
        raise UserError("Which picture?", hint="Give a picture or a folder: firstsight identify visitor.jpg")
    recording = recording or Recording()
    if recording.request_id and len(found) > 1:
        raise UserError("--request-id is of one decision.", hint="Give one picture.")
    with open_recognizer(model, gallery, device=device, threshold=threshold, seeing=seeing) as recognizer:
        for picture in found:
            try:
                decision, number = decide(recognizer, picture, recording)
            except PictureError as error:
                code = 2
                _say_unreadable(picture, error, json)
                continue
            if number is None:  # it was said once; the next would wait for the same lock
                recording = replace(recording, no_ledger=True)
            code = code if decision.accepted else code or 3
            if json:
                print_json({"picture": str(picture), **decision.to_json(), "ledger": number})
                continue
            console.print(f"{picture}: {_in_words(decision)}", markup=False)
    return code


def _in_words(decision: "Decision") -> str:
    if decision.reason:
        return f"{decision.decision}  ({decision.reason})"
    distance = "nobody is enrolled" if decision.distance is None else f"distance {decision.distance:.3f}"
    if decision.decision == "ambiguous":
        one, other = decision.nearest or FORGOTTEN, decision.runner_up or FORGOTTEN
        return f"ambiguous: {one} or {other}  ({distance}, only {decision.margin:.3f} apart)"
    name = (decision.name or FORGOTTEN) if decision.accepted else "unknown"
    return f"{name}  ({distance}, threshold {decision.threshold:.3f})"


def _say_unreadable(picture: Path, error: FirstsightError, json: bool) -> None:
    if not json:
        err.print(f"{error}", style="red", markup=False)
        return
    print_json({
        "picture": str(picture), "decision": "unreadable", "name": None, "distance": None, "threshold": None,
        "error": str(error),
    })  # fmt: skip
