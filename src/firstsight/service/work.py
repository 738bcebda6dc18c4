"""Embedding in a bounded pool of threads: what waits is limited, and what waits together is embedded together."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

from starlette.concurrency import run_in_threadpool

from firstsight.errors import OtherModel
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

    A worker has one decoded picture at a time, of up to 40 megapixels. Where the gallery was moved to another model,
    the recognizer follows it while no other worker is at work, and what was refused for it is done again.
    """

    def __init__(self, recognizer: Recognizer, *, threads: int, queue: int) -> None:
        self.recognizer = recognizer
        self.queue = queue
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._turns = threading.Condition()
        self._at_work = 0  # workers that use the recognizer
        self._following = False
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

    async def quick(self, call: Callable[[], T]) -> T:
        """Run `call`, which needs no network, beside the workers; in a worker where the gallery has another model now.

        Raises:
            Problem: it has, and too many wait already.
        """
        try:
            return await run_in_threadpool(call)
        except OtherModel:
            return await self.run(call)

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
            if jobs:
                _settle(jobs, partial(self._with_its_model, partial(self._outcomes, jobs)))

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

    def _outcomes(self, jobs: list[_Job]) -> list[Any]:
        """What each job asked for, or its error."""
        if call := jobs[0].call:
            return [call()]
        looks = [_or_error(partial(self.recognizer.look, job.picture)) for job in jobs]
        decisions = self.recognizer.decide_many([look for look in looks if not isinstance(look, _Failed)])
        return [look if isinstance(look, _Failed) else next(decisions) for look in looks]

    def _with_its_model(self, call: Callable[[], T]) -> T:
        try:
            with self._using():
                return call()
        except OtherModel:
            self._follow()
        with self._using():
            return call()

    @contextmanager
    def _using(self) -> Iterator[None]:
        with self._turns:
            self._turns.wait_for(lambda: not self._following)
            self._at_work += 1
        try:
            yield
        finally:
            with self._turns:
                self._at_work -= 1
                self._turns.notify_all()

    def _follow(self) -> None:
        with self._turns:
            self._turns.wait_for(lambda: not self._following)
            self._following = True
            self._turns.wait_for(lambda: not self._at_work)
        try:
            self.recognizer.follow()
        finally:
            with self._turns:
                self._following = False
                self._turns.notify_all()


class _Failed(NamedTuple):
    error: BaseException


def _or_error(call: Callable[[], T]) -> T | _Failed:
    try:
        return call()
    except Exception as error:
        return _Failed(error)


def _settle(jobs: list[_Job], call: Callable[[], list[Any]]) -> None:
    """Give each job what `call` found for it; an error is that of one, or of all."""
    try:
        found = call()
    except BaseException as error:
        found = [_Failed(error)] * len(jobs)
    for job, outcome in zip(jobs, found, strict=True):
        if isinstance(outcome, _Failed):
            job.done.set_exception(outcome.error)
        else:
            job.done.set_result(outcome)
