"""Where in a stream: the offset and all that was learned up to there, in one file that is whole or not there.

Files that only grow (metrics, dead letters) are cut back to the length they had at the checkpoint: what came after it
will come again. So no arrival is skipped, and none counts twice.
"""

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from firstsight.atomic import in_utf8, remove_leftovers, write_atomically
from firstsight.errors import ModelError, StorageError
from firstsight.training.context import Arrays

FILE = "stream.safetensors"


def save_place(folder: Path, header: dict[str, Any], arrays: Arrays) -> None:
    """Write the checkpoint; the one before it stays until this one is on the disk.

    Raises:
        StorageError: it cannot be written; the one before it is whole.
    """
    # a copy: safetensors writes the memory as it lies, whatever the strides say
    content = save({name: array.copy(order="C") for name, array in arrays.items()}, {"stream": json.dumps(header)})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder / FILE)
        write_atomically(folder / FILE, content)
    except OSError as error:
        raise StorageError(
            f"The checkpoint {folder} cannot be written: {error.strerror}.",
            hint="The one before it is whole: free space, and go on with --resume.",
        ) from error


def load_place(folder: Path) -> tuple[dict[str, Any], Arrays]:
    """The header and the arrays of a checkpoint.

    Raises:
        ModelError: it is missing or damaged.
    """
    path = folder / FILE
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})["stream"])
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"The checkpoint {path} is missing or damaged ({error}).", hint="Begin anew with another --out."
        ) from error


class GrowingFile:
    """A file of JSON lines that is cut back to where a checkpoint knew it, and grows from there.

    Raises:
        ModelError: it is shorter than the checkpoint says.
    """

    def __init__(self, path: Path, length: int) -> None:
        self._file: BinaryIO = path.open("ab")
        if self._file.tell() < length:
            self._file.close()
            raise ModelError(f"{path} has lost lines that the checkpoint has.", hint="Put it back, or begin anew.")
        self._file.truncate(length)
        self._file.seek(length)  # or `settle` would tell the old length until something is written

    def add(self, line: dict[str, Any]) -> None:
        self._file.write(in_utf8(json.dumps(line, ensure_ascii=False)) + b"\n")

    def show(self) -> None:
        """Let others see what was added."""
        self._file.flush()

    def settle(self) -> int:
        """Bring it to the disk, and give its length."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
