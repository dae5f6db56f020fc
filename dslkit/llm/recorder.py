"""What the transport asks of a ledger, and small recorders that fit: in memory, doing nothing, calling a hook."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from dslkit.records import CallEnd, CallStart

logger = logging.getLogger(__name__)

AttemptHook = Callable[[CallStart, CallEnd], None]


class Recorder(Protocol):
    """Takes every attempt twice: before its bytes leave, and when it is known what became of it.

    Both methods are quick, do not block and never raise into a call.
    """

    def reserve(self, start: CallStart) -> None:
        """Note an attempt that is about to be sent."""

    def settle(self, end: CallEnd) -> None:
        """Note what became of it."""

    def flush(self) -> None:
        """Return when everything settled so far is durable."""


class NullRecorder:
    """Records nothing."""

    def reserve(self, start: CallStart) -> None:
        """Forget it."""

    def settle(self, end: CallEnd) -> None:
        """Forget it."""

    def flush(self) -> None:
        """Return at once."""


class MemoryRecorder:
    """Keeps all attempts of this process, in order; for tests and for a look without a ledger."""

    def __init__(self) -> None:
        self.starts: list[CallStart] = []
        self.ends: list[CallEnd] = []

    def reserve(self, start: CallStart) -> None:
        """Keep it."""
        self.starts.append(start)

    def settle(self, end: CallEnd) -> None:
        """Keep it."""
        self.ends.append(end)

    def flush(self) -> None:
        """Return at once: memory is as durable as it gets here."""

    @property
    def open(self) -> list[CallStart]:
        """Attempts that were reserved and never settled."""
        settled = {(end.call_id, end.attempt) for end in self.ends}
        return [start for start in self.starts if (start.call_id, start.attempt) not in settled]


class HookedRecorder:
    """Passes everything on to ``recorder`` and calls ``on_attempt`` with both halves of each settled attempt.

    A hook that raises is logged: a fault of its author must not cost an answer that was paid for.
    """

    def __init__(self, recorder: Recorder, on_attempt: AttemptHook) -> None:
        self._recorder = recorder
        self._on_attempt = on_attempt
        self._open: dict[tuple[str, int], CallStart] = {}

    def reserve(self, start: CallStart) -> None:
        """Remember the first half and pass it on."""
        self._open[start.call_id, start.attempt] = start
        self._recorder.reserve(start)

    def settle(self, end: CallEnd) -> None:
        """Pass the second half on, then show both to the hook."""
        self._recorder.settle(end)
        start = self._open.pop((end.call_id, end.attempt), None)
        if start is None:
            return
        try:
            self._on_attempt(start, end)
        except Exception:
            logger.exception("on_attempt failed; the call goes on")

    def flush(self) -> None:
        """Flush the recorder behind."""
        self._recorder.flush()
