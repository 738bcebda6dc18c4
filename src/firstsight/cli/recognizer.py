"""What the recognizing verbs share: from --model and --gallery to a Gallery, or to a Recognizer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firstsight.cli.options import Align, Seeing
from firstsight.errors import UserError
from firstsight.models.device import pick_device
from firstsight.models.folder import DEFAULT_MODEL, Model, find_model, load_model, read_config, set_align
from firstsight.recognition.backup import remove_unused
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.keys import environment_key
from firstsight.recognition.recognizer import Recognizer, default_gallery_path


def load_named(model: str, *, device: str, align: Align = None) -> Model:
    """The model that is named, for pictures that are aligned as `align` says, or as it was made for."""
    return set_align(load_model(model, device=str(pick_device(device))), align)


def gallery_of(model: str | None, gallery: str | None) -> str | Path:
    """Where the gallery lies that is named, or the default one of a model."""
    if gallery is not None:
        return gallery if "://" in gallery else Path(gallery).expanduser()
    return default_gallery_path(read_config(find_model(model or DEFAULT_MODEL)).identity)


def model_of(model: str | None, gallery: str | None) -> str | None:
    """The identity of the model that is named, or whose default gallery is meant; None where a gallery alone is."""
    if model is None and gallery is not None:
        return None
    return read_config(find_model(model or DEFAULT_MODEL)).identity


@contextmanager
def open_gallery(model: str | None, gallery: str | None, *, make: bool = False) -> Iterator[Gallery]:
    """The gallery that is named, or the default one of a model, with the key of the environment. No network is loaded.

    Only with `make` is a new one made, and kept if anything was written into it; without `make`, a model's default
    gallery that is not there yet is an empty one.

    Raises:
        UserError: the named gallery is not there, or the key does not fit.
    """
    where = gallery_of(model, gallery)
    absent = isinstance(where, Path) and not where.exists()
    if gallery is not None and not make and isinstance(where, Path) and where.is_file() and not where.stat().st_size:
        raise UserError(f"{gallery} is an empty file, not a gallery.", hint="Put a backup in its place, or remove it.")
    if absent and not make:
        if gallery is not None:
            raise UserError(
                f"There is no gallery {gallery}.", hint="Check the path, or make it with firstsight enroll."
            )
        with Gallery("sqlite://") as nobody:
            nobody.storage.where = str(where)
            yield nobody
        return
    try:
        with Gallery(where, key=environment_key()) as opened:
            yield opened
    finally:
        if absent and isinstance(where, Path):
            remove_unused(where)


@contextmanager
def open_recognizer(
    model: str | None,
    gallery: str | None,
    *,
    device: str,
    threshold: float | None = None,
    make: bool = False,
    seeing: Seeing | None = None,
) -> Iterator[Recognizer]:
    """A gallery remembers its model; a model that is named, or the default one, has one default gallery."""
    seeing = seeing or Seeing()
    with open_gallery(model, gallery, make=make) as opened:
        name = model or opened.model_name or DEFAULT_MODEL
        loaded = load_named(name, device=device, align=seeing.align)
        if seeing.face is not None and loaded.config.preprocessing.align != "faces":
            raise UserError(f"The model {name} looks for no faces.", hint="Leave out --face.")
        yield Recognizer(loaded, opened, threshold=threshold, which="only" if seeing.face is None else seeing.face)
