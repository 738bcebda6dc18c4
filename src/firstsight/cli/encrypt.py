import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from firstsight.cli.console import out as console
from firstsight.cli.console import print_json
from firstsight.cli.options import GalleryUrl, Json, Model


def encrypt(
    *,
    model: Model = None,
    gallery: GalleryUrl = None,
    key_file: Annotated[
        Path | None, Parameter(help="The file of the key, made if it is not there; without it the environment's key.")
    ] = None,
    json: Json = False,
) -> int:
    """Encrypt the templates and pictures of a gallery, and erase what was in clear.

    Example: firstsight gallery encrypt --key-file gallery.key
    """
    from firstsight.cli.recognizer import gallery_of
    from firstsight.errors import GalleryError
    from firstsight.recognition.gallery import Gallery

    where = gallery_of(model, gallery)
    if "://" not in str(where) and not Path(where).exists():
        raise GalleryError(f"There is no gallery {where}.", hint="Enroll first, or with the key: it is encrypted then.")
    with Gallery(where) as opened:
        in_clear = opened.encrypt(_key(key_file))
        if json:
            in_clear_json = [copy._asdict() for copy in in_clear]
            key = str(key_file) if key_file else None
            print_json({"encrypted": opened.where, "key_file": key, "in_clear": in_clear_json})
        else:
            console.print(f"{opened.where} is encrypted. Without its key it cannot be read: keep a copy.", markup=False)
            for copy in in_clear:
                console.print(f"Still in clear: the {copy.kind} of {copy.made_at}: {copy.path}", markup=False)
            if key_file:
                console.print(f"From now on: export FIRSTSIGHT_KEY_FILE={os.path.abspath(key_file)}", markup=False)
    return 0


def _key(key_file: Path | None) -> bytes:
    from firstsight.errors import UserError
    from firstsight.recognition.keys import environment_key, key_in_file, make_key_file

    if key_file:
        return key_in_file(key_file) if key_file.exists() else make_key_file(key_file)
    key = environment_key()
    if key is None:
        raise UserError("Which key?", hint="Add --key-file FILE, which is made if it is not there.")
    return key
