"""What the recognizing verbs share: from --model and --gallery to a Gallery, or to a Recognizer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firstsight.errors import UserError
from firstsight.models.device import pick_device
from firstsight.models.folder import find_model, load_model, read_config
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.keys import environment_key
from firstsight.recognition.recognizer import Recognizer, default_gallery_path


def gallery_of(model: str | None, gallery: str | None) -> str | Path:
    """Where the gallery lies that is named, or the default one of the model that is named.

    Raises:
        UserError: neither was named.
    """
    if gallery is not None:
        return gallery
    if model is not None:
        return default_gallery_path(read_config(find_model(model)).identity)
    raise UserError("Which model?", hint="Add --model runs/mine, or --gallery FILE of one that you enrolled into.")


@contextmanager
def open_gallery(model: str | None, gallery: str | None, *, make: bool = False) -> Iterator[Gallery]:
    """The gallery that is named, or the default one of the model that is named, with the key of the environment. No
    network is loaded.

    Only with `make` is a new one made; without it, a model's default gallery that is not there yet is an empty one.

    Raises:
        UserError: neither was named, the named gallery is not there, or the key does not fit.
    """
    where = gallery_of(model, gallery)
    if not make and not _is_there(where):
        if gallery is not None:
            raise UserError(
                f"There is no gallery {gallery}.", hint="Check the path, or make it with firstsight enroll."
            )
        where = "sqlite://"
    with Gallery(where, key=None if where == "sqlite://" else environment_key()) as opened:
        yield opened


@contextmanager
def open_recognizer(
    model: str | None, gallery: str | None, *, device: str, threshold: float | None = None, make: bool = False
) -> Iterator[Recognizer]:
    """A named gallery remembers its model; a named model has one default gallery.

    Raises:
        UserError: neither was named, or a new gallery without a model.
    """
    if model is None and gallery is not None and make and "://" not in gallery and not Path(gallery).exists():
        raise UserError(f"The gallery {gallery} is new and has no model yet.", hint="Add --model runs/mine.")
    with open_gallery(model, gallery, make=make) as opened:
        name = model or opened.model_name
        if name is None:
            raise UserError(f"Nobody is enrolled in {opened.where}, so it has no model.", hint="Add --model runs/mine.")
        yield Recognizer(load_model(name, device=str(pick_device(device))), opened, threshold=threshold)


def _is_there(where: str | Path) -> bool:
    return "://" in str(where) or Path(where).exists()
