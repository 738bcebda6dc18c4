"""Several workers on one machine: processes of their own, which share its cores and know each other by the study."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import torch

from firstsight.errors import FirstsightError, TrainingError, UserError
from firstsight.workflows.tune_study import open_study, revive
from firstsight.workflows.tune_trial import Plan, work

LOOK = 0.3
"""Seconds between two looks at the workers."""
PATIENCE = 30.0
"""Seconds that an interrupted worker has to put its trial back."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def work_together(plan: Plan, workers: int, on_look: Callable[[], None]) -> None:
    """Have so many processes make the trials of a plan, with the threads of this one divided among them.

    A worker that dies, for want of memory say, leaves its trial to the others.

    Raises:
        FirstsightError: what made a worker give up.
        TrainingError: all of them died.
        KeyboardInterrupt: their trials are to be tried again.
    """
    threads = threads_each(workers)
    started = [_start(plan, threads) for _ in range(workers)]
    try:
        study, died, told = open_study(plan.url, plan.name, seed=0), 0, 0.0
        while any(worker.poll() is None for worker in started):
            time.sleep(LOOK)
            gone = sum(worker.poll() not in (None, 0) for worker in started)
            if gone > died:
                died = gone
                _refuse_failures(started)
                revive(study)
            if time.monotonic() - told > 1:
                told = time.monotonic()
                on_look()
        _refuse_failures(started)
        if all(worker.returncode for worker in started):
            code = started[0].returncode
            raise TrainingError(
                f"All workers died, the first by signal {-code}." if code < 0 else f"All workers ended with {code}.",
                hint="Memory may be short: try fewer --workers. The same command goes on.",
            )
    finally:
        _end(started)
    on_look()


def threads_each(workers: int) -> int:
    """Of the threads that this process would use, the share of one worker."""
    return max(1, torch.get_num_threads() // workers)


def _start(plan: Plan, threads: int) -> "subprocess.Popen[str]":
    """Begin a worker, which has torch to load before it asks for its first trial."""
    environment = os.environ | dict.fromkeys(THREADS, str(threads)) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    worker = subprocess.Popen(
        [sys.executable, "-m", "firstsight.workflows.tune_workers"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env=environment, start_new_session=True,
    )  # fmt: skip  # a Ctrl-C reaches this process alone, which tells them once
    assert worker.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps({**plan.to_plain(), "threads": threads}), file=worker.stdin, flush=True)
    return worker


def _refuse_failures(started: list["subprocess.Popen[str]"]) -> None:
    for worker in started:
        if worker.poll() == FAILED and worker.stdout is not None:
            said = json.loads(worker.stdout.readline())
            kind = UserError if said["exit_code"] == UserError.exit_code else TrainingError
            raise kind(said["message"], hint=said["hint"])


def _end(started: list["subprocess.Popen[str]"]) -> None:
    """Interrupt whoever still works, and wait until it has put its trial back."""
    for worker in started:
        if worker.poll() is None:
            worker.send_signal(signal.SIGINT)
    for worker in started:
        try:
            worker.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


FAILED, INTERRUPTED = 4, 130


def main() -> int:
    """A worker: its plan comes on the standard input, which ends when the one who started it does."""
    plain = json.loads(sys.stdin.readline())
    torch.set_num_threads(plain.pop("threads"))
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    try:
        work(Plan.from_plain(plain))
    except KeyboardInterrupt:
        return INTERRUPTED
    except FirstsightError as error:
        print(json.dumps({"message": error.message, "hint": error.hint, "exit_code": error.exit_code}), flush=True)
        return FAILED
    return 0


def _end_with_the_starter() -> None:
    """Nobody is left to work for: end at once, and the next command puts the trial back."""
    sys.stdin.read()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
