from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from firstsight.cli.console import out as console
from firstsight.cli.console import print_json
from firstsight.cli.options import GalleryUrl, Json, Model


def forget(
    name: Annotated[str, Parameter(help="The name to erase.")],
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    json: Json = False,
) -> int:
    """Erase a name for good: its templates and its pictures, from the gallery and its log.

    Example: firstsight forget ada --model runs/mine
    """
    from firstsight.cli.recognizer import open_gallery

    with open_gallery(model, gallery) as opened:
        receipt = opened.forget(name)
    if json:
        print_json(asdict(receipt))
    else:
        console.print(f"{name} is forgotten.", markup=False)
    return 0
