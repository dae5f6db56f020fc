"""Usage as the ledger has it: read some three times a second at most, in a thread, however often it is asked for."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from dslkit.ledger import Ledger

FRESH_S = 0.3  # then they are read again, and shown as they were for the time that takes
STALE_S = 0.8  # older ones are waited for, so that nobody sees what is older than a second


class UsageBoard:
    """The totals of a moment ago; who asks when these are too old waits for the next reading, with all who ask then."""

    def __init__(self, ledger: Ledger, *, now: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._now = now
        self._shown: dict[str, Any] | None = None
        self._read_at = 0.0
        self._reading: asyncio.Task[dict[str, Any]] | None = None

    async def totals(self) -> dict[str, Any]:
        """In the form of ``UsageStats``."""
        age = self._now() - self._read_at
        if self._shown is not None and age < FRESH_S:
            return self._shown
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read())
        if self._shown is not None and age < STALE_S:
            return self._shown
        return await asyncio.shield(self._reading)

    def forget(self) -> None:
        """Something is known to have changed: what is being read may not show it."""
        self._shown = self._reading = None

    async def _read(self) -> dict[str, Any]:
        began = self._now()
        try:
            shown = await asyncio.to_thread(lambda: as_stats(self._ledger.usage().as_dict()))
            if self._reading is asyncio.current_task():
                self._shown, self._read_at = shown, began
            return shown
        finally:
            if self._reading is asyncio.current_task():
                self._reading = None


def as_stats(totals: dict[str, Any]) -> dict[str, Any]:
    """With the names that the predecessor's clients read, besides ours."""
    return {
        **totals,
        "total_prompt_tokens": totals["prompt_tokens"],
        "total_completion_tokens": totals["completion_tokens"],
        "requests_by_model": {name: one["total_requests"] for name, one in totals["models"].items()},
    }
