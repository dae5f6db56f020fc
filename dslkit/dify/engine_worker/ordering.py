"""The order in which nodes run: one at a time, always the same, the worst for who counts on a parallel branch."""

# ruff: noqa: D102 -- graphon's ReadyQueue says what each method is for
from __future__ import annotations

import queue
import threading
import time
from typing import Any


class LastFirst:
    """A ready queue for an engine with one worker that gives the newest task first.

    So of two parallel branches one is finished before the other begins, and a node that reads what it does not wait
    for finds nothing there in one of the two orders; in Dify it would be a matter of luck.  A task is given only when
    all that its predecessors did has been taken in.
    """

    def __init__(self, *, forward: bool) -> None:
        """Of the tasks that one node set free, begin with the first (``forward``) or the last."""
        self._forward = forward
        self._known = 0
        self._tasks: list[Any] = []
        self._change = threading.Condition()
        self._closed = False
        self._events: queue.Queue[Any] | None = None

    def follow(self, events: queue.Queue[Any]) -> None:
        """Take the engine's queue of events; a task waits until it is settled."""
        self._events = events

    def close(self) -> None:
        """The run is over: let the worker thread end by itself rather than at its next look at the clock."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def put(self, item: Any) -> None:
        with self._change:
            self._tasks.append(item)
            self._change.notify()

    def get(self, timeout: float | None = None) -> Any:
        """The newest task; ``queue.Empty`` after ``timeout`` seconds, SystemExit (which ends a thread) once closed."""
        end = time.monotonic() + (timeout or 0.0)
        while True:
            settled = self._wait_for_events(end)
            with self._change:
                if self._closed:
                    raise SystemExit
                if self._tasks and settled:
                    return self._pop()
                left = end - time.monotonic()
                if left <= 0:
                    raise queue.Empty
                if not self._tasks:
                    self._change.wait(left)

    def _pop(self) -> Any:
        if self._forward:
            self._tasks[self._known :] = reversed(self._tasks[self._known :])
        task = self._tasks.pop()
        self._known = len(self._tasks)
        return task

    def _wait_for_events(self, end: float) -> bool:
        events = self._events
        if events is None:
            return True
        with events.all_tasks_done:
            return events.all_tasks_done.wait_for(lambda: not events.unfinished_tasks, max(0.0, end - time.monotonic()))

    def task_done(self) -> None:
        """Nobody joins this queue."""

    def qsize(self) -> int:
        return len(self._tasks)

    def take_all(self) -> list[Any]:
        with self._change:
            tasks, self._tasks = self._tasks, []
        return tasks

    def dumps(self) -> str:
        """A dry run is never suspended."""
        return "[]"

    def loads(self, data: str) -> None:
        """A dry run is never resumed."""
