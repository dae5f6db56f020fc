"""What is read now and then and shown to everybody: figures of the ledger, the state of the installation."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Value = TypeVar("_Value")


class Board(Generic[_Value]):
    """The result of ``read`` a moment ago, which is done in a thread and once for all who ask meanwhile.

    Args:
        read: may block.
        fresh_s: age from which it is read again, and shown as it was for the time that takes.
        stale_s: age from which the new reading is waited for.
        now: the clock.
    """

    def __init__(
        self, read: Callable[[], _Value], *, fresh_s: float, stale_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._read, self._fresh_s, self._stale_s, self._now = read, fresh_s, stale_s, now
        self._shown: tuple[float, _Value] | None = None
        self._reading: asyncio.Task[_Value] | None = None

    async def look(self) -> _Value:
        """The value, read less than ``stale_s`` ago."""
        age = self._now() - self._shown[0] if self._shown else self._stale_s
        if self._shown and age < self._fresh_s:
            return self._shown[1]
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._renew())
        if self._shown and age < self._stale_s:
            return self._shown[1]
        return await asyncio.shield(self._reading)

    def forget(self) -> None:
        """Something is known to have changed: what is being read may not show it."""
        self._shown = self._reading = None

    async def _renew(self) -> _Value:
        began = self._now()
        try:
            value = await asyncio.to_thread(self._read)
            if self._reading is asyncio.current_task():
                self._shown = began, value
            return value
        finally:
            if self._reading is asyncio.current_task():
                self._reading = None
