"""A piece of generation as the service sees it: asked for, under way, and done, with all it told on the way."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from dslkit.server.models import EventName, JobStatus

FINISHED_KEPT = 256
FINISHED_KEPT_S = 3600.0
_END: Mapping[str, JobStatus] = {"done": "done", "failed": "failed", "cancelled": "cancelled"}


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
    """Jobs by id; of the finished ones the newest are kept for an hour, so that memory is bounded."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

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
        return self._jobs.get(job_id)

    def count(self, *statuses: JobStatus) -> int:
        """How many are in one of these states."""
        return sum(job.status in statuses for job in self._jobs.values())
