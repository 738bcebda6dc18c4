from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from firstsight.cli.console import out as console
from firstsight.cli.console import print_json
from firstsight.cli.options import Device, GalleryUrl, Json, Model


def enroll(
    name: Annotated[str, Parameter(help="Who or what it is.")],
    picture: Annotated[Path, Parameter(help="One picture of it.")],
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    add: Annotated[bool, Parameter(help="Add this picture to a name that is enrolled already.")] = False,
    consent: Annotated[str | None, Parameter(help="A note on the consent to it: who gave it, when, to what.")] = None,
    no_picture: Annotated[bool, Parameter(help="Keep the template alone: no other model can take over then.")] = False,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Remember a name from ONE picture.

    Example: firstsight enroll ada ada.jpg --model runs/mine
    """
    from firstsight.cli.recognizer import open_recognizer

    with open_recognizer(model, gallery, device=device, make=True) as recognizer:
        recognizer.enroll(name, picture, add=add, keep_picture=not no_picture, consent=consent)
        size = len(recognizer.gallery)
        if json:
            print_json({"enrolled": name, "gallery": recognizer.gallery.where, "gallery_size": size})
        else:
            console.print(f"{name} is enrolled ({size} in {recognizer.gallery.where}).", markup=False)
    return 0
