"""Decide on a picture and write the decision down: what the command line and the service do alike."""

from datetime import UTC, datetime, timedelta

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

    Who was recognized in the same direction within `debounce` minutes gets that entry again, and nothing is recorded.
    `at` is when the picture was taken: now, if it is not given.

    Raises:
        PictureError: the picture cannot be read; nothing is recorded.
        NotEnrolled: nobody has the claimed name.
        GalleryError: the request id was used for something else.
        StorageError: the decision could not be recorded.
    """
    ledger = Ledger(recognizer.gallery)
    look = recognizer.look(picture)
    decision = recognizer.decide(look, claim=claim)
    if debounce and decision.accepted and decision.name:
        moment, wait = at or datetime.now(UTC), timedelta(minutes=debounce)
        # after it too: a picture that waited for the network may come behind a later one
        near = ledger.entries(since=moment - wait, until=moment + wait, name=decision.name, newest_first=True)
        if known := next((entry for entry in near if entry.direction == direction), None):
            return known
    return ledger.record(
        "identify" if claim is None else "verify",
        decision,
        request_id=request_id,
        direction=direction,
        camera=camera,
        probe=to_png(look) if keep_probe_days and isinstance(look, Tensor) else None,
        keep_probe_days=keep_probe_days,
        at=at,
    )
