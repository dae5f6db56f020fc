"""Worker processes that make items for a batch: started when needed, replaced when they die, gone when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from itertools import count
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Self

from dslkit.errors import DslkitError
from dslkit.ledger import Ledger

if TYPE_CHECKING:
    from types import TracebackType

    from dslkit.batch.maker import Job
    from dslkit.records import Item, Requirement

TRIES = 3  # the last one in a process of its own: then it is known who kills it
_STARTS = 5  # in a row that fail before anything was asked of the process
_PARTING_S = 10.0
# The work is spread over processes already: threads of libraries would only stand in each other's way.
_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "RAYON_NUM_THREADS",
        "TOKIO_WORKER_THREADS",
    ),
    "1",
)


class WorkerGoneError(DslkitError):
    """A worker process ended while it was at an item."""


class Crew:
    """So many workers at one job.  Use it as an asynchronous context; its end is theirs."""

    def __init__(self, job: Job, size: int) -> None:
        self._job = job
        self._workers: list[_Worker | None] = [None] * size
        self._failed_starts = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(worker.end() for worker in self._workers if worker is not None))

    async def make(self, requirement: Requirement) -> Item:
        """As ``Maker.make``, by the worker that has least to do.

        An item whose worker dies is given to another one; one that kills every worker is failed.
        """
        tries = 0
        while True:
            alone = tries == TRIES - 1
            worker = self._start() if alone else self._least_busy()
            try:
                item = await worker.make(requirement)
            except WorkerGoneError as gone:
                tries += self._counts(worker, gone)
                if tries == TRIES:
                    return await asyncio.to_thread(self._lost, requirement, gone)
            else:
                self._failed_starts = 0
                return item
            finally:
                if alone:
                    await worker.end()

    def _counts(self, worker: _Worker, gone: WorkerGoneError) -> bool:
        """Whether a death speaks against the item.  Raises the error when no worker ever comes up."""
        if worker.came_up:
            return True
        self._failed_starts += 1
        if self._failed_starts > _STARTS * len(self._workers):
            raise gone
        return False

    def _least_busy(self) -> _Worker:
        loads = [0 if worker is None or worker.gone else len(worker.open) for worker in self._workers]
        place = loads.index(min(loads))
        worker = self._workers[place]
        if worker is None or worker.gone:
            worker = self._workers[place] = self._start()
        return worker

    def _start(self) -> _Worker:
        return _Worker(self._job)

    def _lost(self, requirement: Requirement, error: WorkerGoneError) -> Item:
        from dslkit.batch.one import failed  # noqa: PLC0415 - slow to import, and hardly ever needed here

        item = failed(requirement, self._job.order(requirement), datetime.now(UTC), error)
        recorder = Ledger(self._job.settings.home).recorder()
        recorder.item(item)
        recorder.flush()
        return item


class _Worker:
    """One process, as the batch sees it.  It ends by itself when the other end of its line is gone."""

    def __init__(self, job: Job) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-m", "dslkit.batch.worker", str(theirs.fileno())]
            environment = {**os.environ, **_ONE_THREAD}
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )
        self._line = Connection(ours.detach())
        self._numbers = count()
        self.open: dict[int, asyncio.Future[Item]] = {}
        self.gone = False
        self.came_up = False
        asyncio.get_running_loop().add_reader(self._line.fileno(), self._hear)
        self._say(job)

    async def make(self, requirement: Requirement) -> Item:
        """Raises WorkerGoneError when the process ends before it has answered."""
        number = next(self._numbers)
        answer: asyncio.Future[Item] = asyncio.get_running_loop().create_future()
        self.open[number] = answer
        self._say((number, requirement))
        try:
            return await answer
        finally:
            self.open.pop(number, None)

    async def end(self) -> None:
        """Let it close what it has open, and wait for it; not for ever."""
        if not self.gone:
            self._say(None)
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, _PARTING_S)
        self._bury()

    def _say(self, message: object) -> None:
        try:
            self._line.send(message)
        except OSError:
            self._bury()

    def _hear(self) -> None:
        try:
            message = self._line.recv()
        except (EOFError, OSError):
            self._bury()
            return
        if message is None:
            self.came_up = True
            return
        number, item, error = message
        answer = self.open.get(number)
        if answer is None or answer.done():  # nobody waits for it any more
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(item)

    def _bury(self) -> None:
        """See that the process has ended, and tell whoever waits for it."""
        if not self.gone:
            self.gone = True
            asyncio.get_running_loop().remove_reader(self._line.fileno())
            self._line.close()
            self._process.kill()
            self._process.wait()
        for answer in self.open.values():
            if not answer.done():
                answer.set_exception(WorkerGoneError(self._last_words()))

    def _last_words(self) -> str:
        code = self._process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"left with exit code {code}"
        memory = ", as the system does when memory runs out" if code == -9 else ""  # noqa: PLR2004 - SIGKILL
        return f"The worker process at this item {how}{memory}. Try fewer workers, or --workers 1 to see why."
