from contextlib import closing
from dataclasses import asdict
from typing import Annotated

from cyclopts import App, Parameter

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


@gallery.command(name="index")
def make_index(
    *,
    gallery: Annotated[str, Parameter(help="postgresql://USER@HOST/DATABASE, as of the gallery.")],
    json: Json = False,
) -> int:
    """Make an HNSW index in PostgreSQL, for ?search=hnsw, and measure how much of what is nearest it finds.

    Example: firstsight gallery index --gallery postgresql://ada@db.example/faces
    """
    from firstsight.recognition.pgvector import make_hnsw
    from firstsight.recognition.storage import open_storage

    with closing(open_storage(gallery)) as storage:
        recall = make_hnsw(storage)
    if json:
        print_json(asdict(recall))
    else:
        console.print(
            f"The HNSW index finds {recall.found:,} of {recall.of:,} ({recall.found / max(recall.of, 1):.1%}): the "
            f"{recall.nearest} nearest others of {recall.probes} enrolled pictures. The exact search finds all.\n"
            "It is used where the gallery is named with ?search=hnsw."
        )
    return 0
