from collections.abc import Iterator
from typing import Annotated, Any

from cyclopts import Parameter

from firstsight.cli.console import err, print_json
from firstsight.cli.console import out as console
from firstsight.cli.options import GalleryUrl, Json, Model


def forget(
    name: Annotated[str, Parameter(help="The name to erase.")],
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    json: Json = False,
) -> int:
    """Erase a name for good: its templates and its pictures, from the gallery and its log. --json prints the receipt.

    Exit code 1 where traces are left in the gallery's files, because another program is reading them: they are erased
    as it is opened again.

    Example: firstsight forget star
    """
    from firstsight.cli.recognizer import open_gallery
    from firstsight.workflows import forget as workflow

    with open_gallery(model, gallery) as opened:
        receipt = workflow.forget(opened, name)
    if json:
        print_json(receipt)
    else:
        for line in _lines(receipt):
            console.print(line, markup=False)
        if receipt["to_erase"]:
            err.print(f"Not yet erased from {', '.join(receipt['to_erase'])}: {receipt['reason']}", style="red")
    return 1 if receipt["to_erase"] else 0


def _lines(receipt: dict[str, Any]) -> Iterator[str]:
    erased = f"templates {receipt['templates']}, pictures {receipt['pictures']}"
    yield f"{receipt['name']} is forgotten: {erased}, erased from {', '.join(receipt['erased_from'])}."
    if receipt["left_in"]:
        yield f"Only the administrator of the server can erase it from {', '.join(receipt['left_in'])}."
    for copy in receipt["copies"]:
        yield f"Still in the {copy['kind']} of {copy['made_at']}: {copy['path']}"
    for trained in receipt["models"]:
        gone = "" if trained["found"] else " (no longer there)"
        yield f"A model was trained on an identity of this name: {trained['run']}{gone}"
