"""Processes that a test may kill: each is forked, ready to train, from one that has torch loaded.

A job is a function of small_jobs.py with plain arguments. Run as a script, this file is the process that forks.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Nursery:
    """Runs jobs and says how each ended: its exit code, or minus the signal that killed it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, job: str, *, processes: int = 1, **arguments: Any) -> list[int]:
        """Run a job in one process or in several that know their rank, and wait for all."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([job, processes, arguments]), file=self._process.stdin, flush=True)
        codes: list[int] = json.loads(self._process.stdout.readline())
        return codes


@contextlib.contextmanager
def nursery() -> Iterator[Nursery]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield Nursery(process)
    finally:
        process.communicate()  # its standard input ends, and so does it


def _fork(job: str, rank: int, processes: int, arguments: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_RANK": str(rank)}
        import small_jobs

        getattr(small_jobs, job)(**arguments)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _serve() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import small_jobs

    small_jobs.warm_up()
    for line in sys.stdin:
        job, processes, arguments = json.loads(line)
        children = [_fork(job, rank, processes, arguments) for rank in range(processes)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(codes), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    _serve()
