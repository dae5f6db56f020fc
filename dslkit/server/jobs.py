"""A piece of generation as the service sees it: asked for, under way, and done, with all it told on the way.

A job whose client was told to come back for it also lies in a file, so that it is found after a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from dslkit.server.models import EventName, JobStatus

_log = logging.getLogger(__name__)
FINISHED_KEPT = 256  # in memory
FINISHED_KEPT_S = 3600.0
FILES_KEPT = 10_000
_LOOK_EVERY = 100  # files written: looking at ten thousand takes a moment
CUT_OFF = (
    "The server ended before it was done. Sent again with the same X-Request-ID, it pays only for what is missing."
)
_END: Mapping[str, JobStatus] = {"done": "done", "failed": "failed", "cancelled": "cancelled"}
_KEPT = ("id", "status", "events", "result", "problem")


@dataclass(eq=False, slots=True, kw_only=True)
class Job:
    """``asked`` is what a worker needs; ``result`` the answer as JSON text, ``problem`` the members of an error."""

    asked: Mapping[str, Any]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: JobStatus = "queued"
    events: list[dict[str, Any]] = field(default_factory=list)
    result: str | None = None
    problem: dict[str, Any] | None = None
    attempts: int = 0
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    alarm: asyncio.TimerHandle | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen."""
        return self.ended is not None

    def tell(self, event: EventName, stage: str | None = None) -> None:
        """Something happened; whoever watches is told."""
        if self.finished:
            return
        told: dict[str, Any] = {"event": event, "seconds": round(time.monotonic() - self.began, 3)}
        self.events.append(told | ({"stage": stage} if stage else {}))
        self.status = _END.get(event, "queued" if event in {"queued", "retry"} else "running")
        if event in _END:
            self.ended = time.monotonic()
            if self.alarm is not None:
                self.alarm.cancel()
        news, self._news = self._news, asyncio.Event()
        news.set()

    def fail(self, status: int, detail: str, **more: Any) -> None:
        """It came to nothing."""
        self.problem = {"status": status, "detail": detail, **more}
        self.tell("failed")

    async def watch(self, since: int = 0) -> AsyncIterator[tuple[int, dict[str, Any]]]:
        """Its events by number, from ``since`` on, as they happen; ends with the job."""
        while True:
            news = self._news
            while since < len(self.events):
                yield since, self.events[since]
                since += 1
            if self.finished:
                return
            await news.wait()

    async def end(self) -> None:
        """Return when nothing more will happen."""
        async for _ in self.watch(len(self.events)):
            pass


class Jobs:
    """Jobs by id; of the finished ones the newest are kept for an hour, so that memory is bounded.

    Args:
        folder: for the files of jobs that somebody will come back for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jobs: dict[str, Job] = {}
        self._keeping: set[asyncio.Task[None]] = set()
        self._written = 0

    def add(self, job: Job) -> None:
        """Remember a job, and forget what is long done."""
        self._jobs[job.id] = job
        finished = [one for one in self._jobs.values() if one.finished]
        late = time.monotonic() - FINISHED_KEPT_S
        for index, one in enumerate(finished):
            if len(finished) - index > FINISHED_KEPT or (one.ended or late) < late:
                del self._jobs[one.id]

    def get(self, job_id: str) -> Job | None:
        """The job, as long as it is remembered."""
        return self._jobs.get(job_id) or self._read(job_id)

    def keep(self, job: Job) -> None:
        """See that its outcome is found for an hour, also by the next server of this home."""
        task = asyncio.ensure_future(self._keep(job))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def settled(self) -> None:
        """Return when all that has ended is in its file."""
        await asyncio.gather(*self._keeping)

    def drop_stale(self, now: float) -> None:
        """Remove files that are older than an hour, or too many."""
        with contextlib.suppress(FileNotFoundError):
            files = sorted((file.stat().st_mtime, file.path) for file in os.scandir(self._folder))
            for index, (written, path) in enumerate(files):
                if len(files) - index > FILES_KEPT or now - written > FINISHED_KEPT_S:
                    os.unlink(path)  # noqa: PTH108 - thousands of names need no Path objects

    def count(self, *statuses: JobStatus) -> int:
        """How many are in one of these states."""
        return sum(job.status in statuses for job in self._jobs.values())

    async def _keep(self, job: Job) -> None:
        await asyncio.to_thread(self._write, job)
        await job.end()
        await asyncio.to_thread(self._write, job)

    def _write(self, job: Job) -> None:
        told = {name: getattr(job, name) for name in _KEPT}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._written += 1
            if self._written % _LOOK_EVERY == 1:
                self.drop_stale(time.time())
            aside = self._folder / f".{job.id}"
            aside.touch(0o600)  # it holds what a model answered
            aside.write_text(json.dumps(told), encoding="utf-8")
            aside.replace(self._folder / job.id)
        except OSError as error:
            _log.warning("A job's outcome is kept in memory only: %s", error.strerror)

    def _read(self, job_id: str) -> Job | None:
        """A job of a file; what was under way when its server ended has come to nothing."""
        try:
            told = json.loads((self._folder / str(uuid.UUID(job_id))).read_text(encoding="utf-8"))
        except (ValueError, OSError):  # no id of ours, and so no file
            return None
        job = Job(asked={}, **told)
        if job.status not in _END.values():
            job.fail(503, CUT_OFF)
        job.ended = job.ended or time.monotonic()
        return job
