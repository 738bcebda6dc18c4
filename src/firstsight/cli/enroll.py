from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from firstsight.cli.console import err, print_json
from firstsight.cli.console import out as console
from firstsight.cli.options import Anyway, Device, GalleryUrl, Json, Model, Seeing
from firstsight.errors import PictureRefused, PictureUnfit

if TYPE_CHECKING:
    from firstsight.recognition.quality import Verdict


def enroll(
    name: Annotated[str, Parameter(help="Who or what it is.")],
    picture: Annotated[Path, Parameter(help="One picture of it.")],
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    add: Annotated[bool, Parameter(help="Add this picture to a name that is enrolled already.")] = False,
    anyway: Anyway = False,
    consent: Annotated[str | None, Parameter(help="A note on the consent to it: who gave it, when, to what.")] = None,
    no_picture: Annotated[bool, Parameter(help="Keep the template alone: no other model can take over then.")] = False,
    seeing: Seeing | None = None,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Remember a name from ONE picture. For many at once: firstsight gallery enroll people.csv

    Exit code 3 where the picture is too poor: too small, blurred, under- or over-exposed, without the one face that is
    looked for, or that of somebody else who is enrolled.

    Example: firstsight enroll ada ada.jpg --model runs/mine
    """
    from firstsight.cli.recognizer import open_recognizer

    with open_recognizer(model, gallery, device=device, make=True, seeing=seeing) as recognizer:
        try:
            verdict = recognizer.enroll(
                name, picture, add=add, anyway=anyway, keep_picture=not no_picture, consent=consent
            )
        except (PictureRefused, PictureUnfit) as refusal:
            if json:
                print_json({"enrolled": None, "name": name, "picture": str(picture), **_why(refusal)})
            raise
        size = len(recognizer.gallery)
        if json:
            where = {"gallery": recognizer.gallery.where, "gallery_size": size}
            added = {"enrolled": name, "picture": str(picture), "added": not verdict.held}
            print_json({**added, **where, **verdict.to_json()})
            return 0
        if verdict.held:
            note = ", nor was the consent noted" if consent else ""
            console.print(f"{name} has this very picture already: nothing was added{note}.", markup=False)
            return 0
        _warn(picture, verdict)
        done = "has one picture more" if add else "is enrolled"
        known = "identity" if size == 1 else "identities"
        console.print(f"{name} {done} ({size} {known} in {recognizer.gallery.where}).", markup=False)
    return 0


def _why(refusal: PictureRefused | PictureUnfit) -> dict[str, Any]:
    if isinstance(refusal, PictureRefused):
        figures: dict[str, Any] = refusal.verdict.to_json()
        return figures
    return {"decision": refusal.answer, "reason": refusal.reason, "boxes": refusal.boxes}


def _warn(picture: Path, verdict: "Verdict") -> None:
    if verdict.doubts:
        err.print(f"Enrolled all the same: {picture} {verdict}.", style="yellow", markup=False)
    elif verdict.may_be_confused:
        figures = f"distance {verdict.distance:.3f}, threshold {verdict.threshold:.3f}"
        err.print(f"{picture} may be taken for {verdict.nearest}, too ({figures}).", style="yellow", markup=False)
