from cyclopts import App

from firstsight.cli.console import out as console
from firstsight.cli.console import print_json
from firstsight.cli.options import GalleryUrl, Json, Model

gallery = App(name="gallery", help="See who is enrolled.\n\nExample: firstsight gallery list --model runs/mine")


@gallery.command(name="list")
def list_names(
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    json: Json = False,
) -> int:
    """List the names in a gallery.

    Example: firstsight gallery list --model runs/mine
    """
    from firstsight.cli.recognizer import open_gallery

    with open_gallery(model, gallery) as opened:
        for name in opened.names():
            if json:
                print_json({"name": name})
            else:
                console.print(name, markup=False)
    return 0
