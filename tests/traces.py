"""What is left of a secret in files, and processes that are killed at a known point."""

import signal
import subprocess
import sys
from pathlib import Path


def pieces_found(folder: Path, secret: bytes, length: int = 32) -> int:
    """How many pieces of a secret are in the files of a folder, at any depth: a page may end within it."""
    held = b"\0".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return sum(secret[start : start + length] in held for start in range(0, len(secret) - length + 1, length))


# argv: the gallery, where to stop, what to do. It says so there, and waits.
_STOPS_MIDWAY = """
import sys
import sqlalchemy as sa
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.sqlite import SqliteStorage

where = sys.argv[2]
outside = SqliteStorage._outside_transaction

def stop():
    print("midway", flush=True)
    sys.stdin.readline()

def executed(connection, cursor, statement, *rest):
    if statement.startswith(where):
        stop()

def watched(storage, statement, **how):
    if statement.startswith(where):
        stop()
    return outside(storage, statement, **how)

with Gallery(sys.argv[1]) as gallery:
    sa.event.listen(sa.Engine, "after_cursor_execute", executed)
    SqliteStorage._outside_transaction = watched
    exec(sys.argv[3])
"""


def killed_midway(gallery: Path, work: str, where: str) -> None:
    """Have another process do some work on a gallery, and kill it right after an SQL statement that begins like
    `where`, or before one that runs outside transactions."""
    command = [sys.executable, "-c", _STOPS_MIDWAY, str(gallery), where, work]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert said == "midway\n", "the work was done, or failed, before that point"
    assert process.returncode == -signal.SIGKILL
