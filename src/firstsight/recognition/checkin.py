"""Decide on a picture and write the decision down: what the command line and the service do alike."""

from datetime import datetime

from torch import Tensor

from firstsight.recognition.embed import Picture, to_png
from firstsight.recognition.ledger import Ledger
from firstsight.recognition.ledger_rows import Direction, Entry
from firstsight.recognition.recognizer import Recognizer


def check_in(
    recognizer: Recognizer,
    picture: Picture,
    *,
    claim: str | None = None,
    request_id: str | None = None,
    direction: Direction | None = None,
    camera: str | None = None,
    keep_probe_days: int = 0,
    debounce: float = 0,
    at: datetime | None = None,
) -> Entry:
    """Identify a picture, or verify that it is `claim`, and record the decision as `Ledger.record` does.

    `at` is when the picture was taken: now, if it is not given.

    Raises:
        PictureError: the picture cannot be read; nothing is recorded.
        NotEnrolled: nobody has the claimed name.
        GalleryError: the request id was used for something else.
        StorageError: the decision could not be recorded.
    """
    look = recognizer.look(picture)
    decision = recognizer.decide(look, claim=claim)
    return Ledger(recognizer.gallery).record(
        "identify" if claim is None else "verify",
        decision,
        request_id=request_id,
        direction=direction,
        camera=camera,
        probe=to_png(look) if keep_probe_days and isinstance(look, Tensor) else None,
        keep_probe_days=keep_probe_days,
        debounce=debounce,
        at=at,
    )
