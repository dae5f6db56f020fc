"""The processes that generate: started when needed, given work, started again when they die."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dslkit.server.jobs import Job, Jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)

AT_ONCE = 16  # jobs of one process: nearly all of their time is waiting for a model
MAX_WAITING = 200
ATTEMPTS = 2  # of a job whose process died; answers already paid for are found again
LINE_BYTES = 64 * 1024 * 1024
GRACE_S = 10.0  # between asking a process to end and killing it
SOON_S = 5.0  # a process that dies within so short a time of its start is not started again at once


class BusyError(Exception):
    """More is waiting than will be taken on."""


class StoppingError(Exception):
    """The service is about to end."""


@dataclass(eq=False, slots=True)
class _Worker:
    process: asyncio.subprocess.Process
    jobs: dict[str, Job] = field(default_factory=dict)

    def send(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(ConnectionError, RuntimeError):  # it died: its reader sees to its jobs
            self.process.stdin.write(json.dumps(message).encode() + b"\n")


class Pool:
    """``size`` processes at most, started by ``command``; JSON lines to them and from them.

    Args:
        size: processes.
        timeout_s: a job that takes longer is given up.
        command: starts a process that speaks as ``dslkit.server.worker`` does.
        jobs: where jobs are remembered.
        died: told the exit code of a process that ended by itself, and how many jobs it had.
    """

    def __init__(
        self,
        size: int,
        timeout_s: float,
        jobs: Jobs,
        *,
        command: tuple[str, ...] = (sys.executable, "-m", "dslkit.server.worker"),
        died: Callable[[int | None, int], object] = lambda _code, _jobs: None,
    ) -> None:
        self.size = size
        self.jobs = jobs
        self._timeout_s = timeout_s
        self._command, self._died = command, died
        self._waiting: deque[Job] = deque()
        self._workers: list[_Worker] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._stopping = False

    def warm(self) -> None:
        """Start the processes now rather than with the first job."""
        while len(self._workers) + self._starting < self.size and not self._stopping:
            self._starting += 1
            self._keep(self._run_worker())

    def submit(self, asked: Mapping[str, Any]) -> Job:
        """Take on a job; BusyError when too many wait, StoppingError when none is taken any more."""
        if self._stopping:
            raise StoppingError
        if len(self._waiting) >= MAX_WAITING:
            raise BusyError
        job = Job(asked=asked)
        self.jobs.add(job)
        self._queue(job)
        return job

    def cancel(self, job: Job) -> None:
        """Stop a job: its request to the model is broken off, and no further one is sent."""
        if job.finished:
            return
        job.tell("cancelled")
        if job in self._waiting:
            self._waiting.remove(job)
        self._break_off(job)

    def _break_off(self, job: Job) -> None:
        for worker in self._workers:
            if worker.jobs.pop(job.id, None) is not None:
                worker.send({"do": "cancel", "id": job.id})

    async def drain(self) -> None:
        """Take on nothing more, finish what is under way, and end the processes."""
        self._stopping = True
        while unfinished := [*self._waiting, *(job for worker in self._workers for job in worker.jobs.values())]:
            for job in unfinished:
                await job.end()
            await asyncio.sleep(0)
        for worker in self._workers:
            assert worker.process.stdin is not None
            worker.process.stdin.close()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=GRACE_S)
            for worker in list(self._workers):
                worker.process.kill()
            if late:
                await asyncio.wait(late, timeout=GRACE_S)
        await self.jobs.settled()

    def _queue(self, job: Job) -> None:
        job.tell("queued")
        self._waiting.append(job)
        self.warm()
        self._assign()

    def _assign(self) -> None:
        while self._waiting:
            worker = min(self._workers, key=lambda one: len(one.jobs), default=None)
            if worker is None or len(worker.jobs) >= AT_ONCE:
                return
            job = self._waiting.popleft()
            job.attempts += 1
            worker.jobs[job.id] = job
            worker.send({"do": "generate", "id": job.id, **job.asked})
            if job.alarm is None:
                job.alarm = asyncio.get_running_loop().call_later(self._timeout_s, self._give_up, job)

    def _give_up(self, job: Job) -> None:
        if job.finished:
            return
        self._break_off(job)
        job.fail(504, f"Not done within {self._timeout_s:g} s (DSLKIT_GENERATE_TIMEOUT). Ask for less, or allow more.")

    def _keep(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_worker(self) -> None:
        """One process from its start to its end; what it leaves undone is done again."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LINE_BYTES,
                start_new_session=True,  # Ctrl-C is for the server, which lets them finish
            )
        except OSError as error:
            while self._waiting:
                self._waiting.popleft().fail(500, f"No process can be started to generate it: {error.strerror}.")
            return
        finally:
            self._starting -= 1
        worker = _Worker(process)
        self._workers.append(worker)
        self._assign()
        try:
            await self._listen(worker)
        finally:
            self._workers.remove(worker)
        code = await process.wait()
        if self._stopping and not worker.jobs and not self._waiting:
            return
        _log.error("A generating process ended with code %s; %s of its jobs were under way", code, len(worker.jobs))
        self._died(code, len(worker.jobs))
        self._redo(worker)
        if loop.time() - began > SOON_S or self._waiting:
            self.warm()

    async def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        with contextlib.suppress(ConnectionError, ValueError):  # a line beyond all measure ends it as well
            while line := await worker.process.stdout.readline():
                self._heard(worker, json.loads(line))

    def _heard(self, worker: _Worker, message: Mapping[str, Any]) -> None:
        job = worker.jobs.get(message["id"])
        if job is None:
            return
        event = message["event"]
        if event in {"done", "failed", "cancelled"}:
            del worker.jobs[job.id]
        if event == "done":
            job.result = message["result"]
        if event == "failed":
            job.fail(**message["problem"])
        else:
            job.tell(event, message.get("stage"))
        self._assign()

    def _redo(self, worker: _Worker) -> None:
        for job in worker.jobs.values():
            if job.finished:
                continue
            if job.attempts >= ATTEMPTS:
                job.fail(500, f"The process that generated it died, {ATTEMPTS} times. The server's log may say why.")
            else:
                job.tell("retry")
                self._waiting.appendleft(job)
