from cyclopts import App

from firstsight.cli.console import out as console
from firstsight.cli.console import print_json
from firstsight.cli.options import GalleryUrl, Json, Model

gallery = App(name="gallery", help="See who is enrolled.\n\nExample: firstsight gallery list --model runs/mine")
gallery.command("firstsight.cli.encrypt:encrypt", name="encrypt")


@gallery.command(name="list")
def list_names(
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    json: Json = False,
) -> int:
    """List the names in a gallery; with --json also when each was enrolled, and with what consent note.

    Example: firstsight gallery list --model runs/mine
    """
    from firstsight.cli.recognizer import open_gallery

    with open_gallery(model, gallery) as opened:
        if json:
            for name, enrollments in opened.enrollments():
                print_json({"name": name, "enrollments": [enrollment.to_json() for enrollment in enrollments]})
        else:
            for name in opened.names():
                console.print(name, markup=False)
    return 0
