"""What the recognizing verbs share: from --model and --gallery to a Recognizer."""

from collections.abc import Iterator
from contextlib import contextmanager

from firstsight.errors import UserError
from firstsight.models.folder import load_model
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import Recognizer, default_gallery_path
from firstsight.training.device import pick_device


@contextmanager
def open_recognizer(
    model: str | None, gallery: str | None, *, device: str, threshold: float | None = None
) -> Iterator[Recognizer]:
    """A named gallery remembers its model; a named model has one default gallery.

    Raises:
        UserError: neither was named, or a new gallery without a model.
    """
    if model is None and gallery is None:
        raise UserError("Which model?", hint="Add --model runs/mine, or --gallery FILE of one that you enrolled into.")
    if gallery is not None:
        with Gallery(gallery) as opened:
            name = model or opened.model_name
            if name is None:
                raise UserError(f"The gallery {gallery} is new and has no model yet.", hint="Add --model runs/mine.")
            yield Recognizer(load_model(name, device=str(pick_device(device))), opened, threshold=threshold)
    elif model is not None:
        loaded = load_model(model, device=str(pick_device(device)))
        with Gallery(default_gallery_path(loaded.identity)) as opened:
            yield Recognizer(loaded, opened, threshold=threshold)
