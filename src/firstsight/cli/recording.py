"""What verify and identify share: a decision, written into the gallery's ledger unless that is switched off."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from firstsight.cli.console import err
from firstsight.errors import StorageError

if TYPE_CHECKING:
    from firstsight.recognition.decision import Decision
    from firstsight.recognition.embed import Picture
    from firstsight.recognition.recognizer import Recognizer


@Parameter(name="*")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Recording:
    """How a decision is recorded."""

    no_ledger: Annotated[bool, Parameter(help="Do not record the decision in the gallery's ledger.")] = False
    request_id: Annotated[
        str | None, Parameter(help="Record once under this id: who asks again gets the first decision.")
    ] = None
    direction: Annotated[Literal["in", "out"] | None, Parameter(help="A check-in: who came, or went.")] = None
    camera: Annotated[str | None, Parameter(help="Where the picture was taken, for the ledger.")] = None
    keep_probes: Annotated[
        int, Parameter(help="Days to keep the network's view of the picture; without it none is kept.")
    ] = 0


def decide(
    recognizer: "Recognizer", picture: "Picture", recording: Recording, claim: str | None = None
) -> tuple["Decision", int | None]:
    """Identify, or verify a claim; and the number of the ledger's entry, None where nothing was recorded.

    A ledger that cannot be written is said on stderr. It stops nobody who only wanted to know; a check-in, or a
    request that is to be recorded once, it does.
    """
    from firstsight.recognition.checkin import check_in

    if not recording.no_ledger:
        try:
            entry = check_in(
                recognizer,
                picture,
                claim=claim,
                request_id=recording.request_id,
                direction=recording.direction,
                camera=recording.camera,
                keep_probe_days=recording.keep_probes,
            )
        except StorageError as error:
            if recording.request_id or recording.direction:
                raise
            err.print(f"Not recorded in the ledger: {error}", style="yellow", markup=False)
        else:
            return entry.decision, entry.id
    return recognizer.identify(picture) if claim is None else recognizer.verify(claim, picture), None
