"""Files about people: read by their owner alone, whole or not there, and never in the place of another unasked."""

from collections.abc import Iterable
from pathlib import Path

from firstsight.atomic import appearing_whole
from firstsight.errors import StorageError, UserError


def write_private(path: Path, parts: Iterable[str | bytes], *, force: bool) -> None:
    """Write the parts, one after the other.

    Raises:
        UserError: the file is there already, and `force` does not insist.
        StorageError: it cannot be written.
    """
    if path.exists() and not force:
        raise UserError(f"{path} is there already.", hint="Name another file, or replace it with --force.")
    try:
        with appearing_whole(path) as fresh, fresh.open("wb") as file:
            for part in parts:
                file.write(part.encode() if isinstance(part, str) else part)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.", hint="Name another file.") from error
