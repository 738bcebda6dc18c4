"""Embedding in a bounded pool of threads: what waits is limited, and what waits together is embedded together."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from firstsight.recognition.decision import Decision
from firstsight.recognition.recognizer import Recognizer
from firstsight.service.problems import Problem

T = TypeVar("T")
AT_ONCE = 16
"""Pictures identified in one batch: of glyphs, one by one takes 3 times as long a picture, and more gains no more."""


class _Job(NamedTuple):
    done: "Future[Any]"
    call: Callable[[], Any] | None
    picture: bytes = b""


class Workers:
    """Runs what needs the network. At most `queue` wait; more are refused at once, so memory does not grow.

    A worker has one decoded picture at a time, of up to 40 megapixels.
    """

    def __init__(self, recognizer: Recognizer, *, threads: int, queue: int) -> None:
        self.recognizer = recognizer
        self.queue = queue
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"embed-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def identify(self, picture: bytes) -> Decision:
        """As `Recognizer.identify`, together with others that wait.

        Raises:
            Problem: too many wait already.
            PictureError: the picture cannot be read.
        """
        decision: Decision = await self._done(None, picture)
        return decision

    async def run(self, call: Callable[[], T]) -> T:
        """Run `call` in a worker.

        Raises:
            Problem: too many wait already.
        """
        found: T = await self._done(call)
        return found

    def close(self) -> None:
        """Finish what was accepted, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    async def _done(self, call: Callable[[], Any] | None, picture: bytes = b"") -> Any:
        job = _Job(Future(), call, picture)
        with self._changed:
            if self._closed or len(self._waiting) >= self.queue:
                raise Problem(503, "busy", "The service is busy.", hint="Try again in a second.")
            self._waiting.append(job)
            self._changed.notify()
        return await asyncio.wrap_future(job.done)

    def _work(self) -> None:
        while jobs := self._taken():
            jobs = [job for job in jobs if job.done.set_running_or_notify_cancel()]
            if len(jobs) == 1 and (call := jobs[0].call):
                _settle(jobs[0], call)
            elif jobs:
                self._identify(jobs)

    def _taken(self) -> list[_Job]:
        """The next job; of those to identify, this worker's share of what waits in a row. None: it is closing."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return []
                self._changed.wait()
            jobs = [self._waiting.popleft()]
            share = min(AT_ONCE, -(-(len(self._waiting) + 1) // len(self._threads)))
            while jobs[0].call is None and len(jobs) < share and self._waiting and self._waiting[0].call is None:
                jobs.append(self._waiting.popleft())
            return jobs

    def _identify(self, jobs: list[_Job]) -> None:
        ready = []
        for job in jobs:
            try:
                ready.append((job, self.recognizer.look(job.picture)))
            except BaseException as error:
                job.done.set_exception(error)
        try:
            decisions = list(self.recognizer.decide_many([look for _, look in ready]))
        except BaseException as error:
            for job, _ in ready:
                job.done.set_exception(error)
        else:
            for (job, _), decision in zip(ready, decisions, strict=True):
                job.done.set_result(decision)


def _settle(job: _Job, call: Callable[[], Any]) -> None:
    try:
        found = call()
    except BaseException as error:
        job.done.set_exception(error)
    else:
        job.done.set_result(found)
