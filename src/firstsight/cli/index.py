from contextlib import closing
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from firstsight.cli.console import out as console
from firstsight.cli.console import print_json
from firstsight.cli.options import Json


def index(
    *,
    gallery: Annotated[str, Parameter(help="postgresql://USER@HOST/DATABASE, as of the gallery.")],
    json: Json = False,
) -> int:
    """Make an HNSW index in PostgreSQL, and measure how much of what is nearest it finds.

    It is used where the gallery is named with ?search=hnsw.

    Example: firstsight gallery index --gallery postgresql://ada@db.example/faces
    """
    from firstsight.recognition.opening import open_storage
    from firstsight.recognition.pgvector import make_hnsw

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
