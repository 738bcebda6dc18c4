"""A folder that fills with pictures, a folder for each identity: each picture is an arrival once it is there whole."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from firstsight.data.files import pictures_in_folder, readable
from firstsight.data.identities import natural
from firstsight.data.streams import LABEL, PAUSE, Arrival, Offset
from firstsight.errors import DataError

PICTURE = "picture"
"""In a record the path of the picture; under `LABEL` stands its identity, empty where no folder names one."""
LOOK = 0.25  # seconds between two looks at the folder, more where a look takes long
SETTLED = 1.0  # seconds for which a file must stay as it is: before, it may still be written

Stamp = tuple[int, int]


class FolderSource:
    """The pictures NAME/*.jpg below a folder, in the order of their last change, then of their paths. The names of
    nested folders are joined, as `open_pictures` does; hidden files and those of no picture's suffix are passed over.

    With `follow` it goes on as the folder fills, and a picture is taken when its file has stayed as it is for a second.
    A picture that is changed or moved later is no new arrival, except under a new path.

    The offset counts pictures. `journal` is a file that keeps the order in which they came: whoever goes on after an
    offset meets the same ones, though files may have come late with an old time.

    Raises:
        DataError: from `arrivals`: the folder cannot be read, or the journal is shorter than the offset.
        OSError: from `arrivals`: the journal cannot be written.
    """

    def __init__(self, path: str | Path, *, follow: bool = False, journal: Path | None = None) -> None:
        self.name = str(path)
        self._root, self._follow, self._journal = Path(path), follow, journal
        self._unsettled: dict[str, tuple[Stamp, float]] = {}

    def arrivals(self, after: Offset | None) -> Iterator[Arrival | None]:
        known = self._known(after or 0)
        seen = set(known)
        number = after or 0
        for name in known[number:]:
            number += 1
            yield self._arrival(number, name)
        while True:
            began = time.monotonic()
            found = self._look(seen)
            took = time.monotonic() - began
            self._note(found)
            seen.update(found)
            for name in found:
                number += 1
                yield self._arrival(number, name)
            if not self._follow:
                return
            for _ in range(max(1, round(max(LOOK, 5 * took) / PAUSE))):
                yield None
                time.sleep(PAUSE)

    def _arrival(self, number: int, name: str) -> Arrival:
        identity = readable(name.rpartition("/")[0])
        return Arrival(number, {PICTURE: str(self._root / name), LABEL: identity}, os.fsencode(name))

    def _look(self, seen: set[str]) -> list[str]:
        """The pictures that are there whole, and were not seen before."""
        found = []
        now = time.monotonic()
        unsettled = {}
        for name in pictures_in_folder(self._root):
            if name in seen:
                continue
            try:
                status = (self._root / name).stat()
            except OSError:
                continue  # gone, or a link to nowhere
            stamp = (status.st_mtime_ns, status.st_size)
            before, since = self._unsettled.get(name, (stamp, now))
            if self._follow and (before != stamp or now - since < SETTLED):
                unsettled[name] = (stamp, since if before == stamp else now)
            else:
                found.append((status.st_mtime_ns, natural(name), name))
        self._unsettled = unsettled
        return [name for *_, name in sorted(found)]

    def _known(self, after: int) -> list[str]:
        """The pictures that came before, as the journal has them; without an offset it begins anew."""
        if self._journal is None:
            return []
        if not after:
            self._journal.unlink(missing_ok=True)
            return []
        try:
            lines = self._journal.read_bytes().splitlines(keepends=True)
        except OSError:
            lines = []
        if lines and not lines[-1].endswith(b"\n"):  # a kill came while it was written, and before it was taken
            os.truncate(self._journal, sum(map(len, lines[:-1])))
            del lines[-1]
        if len(lines) < after:
            raise DataError(
                f"{self._journal} has {len(lines)} pictures, and the checkpoint {after}.",
                hint="Put it back, or begin anew.",
            )
        return [json.loads(line) for line in lines]

    def _note(self, found: list[str]) -> None:
        """On the disk before they are taken: a checkpoint never knows more than the journal."""
        if self._journal is None or not found:
            return
        with self._journal.open("ab") as file:
            file.write(b"".join(json.dumps(name).encode() + b"\n" for name in found))
            file.flush()
            os.fsync(file.fileno())
