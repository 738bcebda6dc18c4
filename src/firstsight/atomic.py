"""Files that are whole or not there, whatever happens while they are written."""

import os
import shutil
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path` first, then into its place: a reader sees the old file or the new one, never half of it.

    The content is on the disk before the name is, so a power cut leaves one of the two as well.
    """
    descriptor, fresh = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(fresh, 0o644)
        os.replace(fresh, path)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise


def remove_leftovers(path: Path) -> None:
    """Remove what a process that was killed left beside `path` while it wrote it. Nobody else may be writing it now."""
    for leftover in path.parent.glob(f".{path.name}-*"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()
