"""Bodies passed on as they come, watched on the way: usage and time to first chunk are booked when they end.

However a stream ends (read to its end, cut short by reader or server, dropped unread), its attempt is settled and its
place in flight is free again.  What nobody saw the end of is booked by what arrived, as an estimate.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

import httpx2

from dslkit.llm.aio import what_failed
from dslkit.llm.protocol import Answer, EventStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from dslkit.llm.attempt import Attempt
    from dslkit.llm.exchange import Streamed
    from dslkit.records import Outcome, Usage

_DROPPED_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class _Watched:
    """Follows one body; the two kinds of stream differ in how they wait alone.

    It is its own iterator: the SDK reads up to the end of the answer, then iterates again to drain what follows.
    """

    def __init__(self, streamed: Streamed) -> None:
        self._attempt: Attempt = streamed.attempt
        self._events: EventStream = streamed.events
        self._response = streamed.response
        self._is_events = "event-stream" in streamed.response.headers.get("content-type", "")
        self._over = False

    def _passed(self, data: bytes | None) -> bytes:
        """Note a piece on its way, None for the end; returns what to hand on."""
        if data is None:
            return self._ended()
        self._attempt.first_chunk()
        return self._events.feed(data) if self._is_events else data

    def _ended(self) -> bytes:
        """The server has said all it had to say, or broke off without an error; returns what was held back."""
        self._over = True
        complete = self._events.finished or self._events.usage is not None or not self._is_events
        self._settle("ok" if complete and self._events.error_code is None else "error")
        return self._events.rest() if self._is_events else b""

    def _failed(self, error: BaseException) -> None:
        """The connection broke, or the reader's task was cancelled."""
        self._settle("error" if isinstance(error, Exception) else "cancelled", error)

    def _left(self) -> None:
        """The reader has gone; it may have all it wanted."""
        finished = self._events.finished and self._events.error_code is None
        self._settle("ok" if finished else "cancelled")

    def _settle(self, outcome: Outcome, error: BaseException | None = None) -> None:
        events = self._events
        answer = Answer(
            usage=self._usage(),
            response_model=events.response_model,
            response_id=events.response_id,
            finish_reason=events.finish_reason,
            error_code=events.error_code or (None if outcome == "ok" or error else "stream_ended_early"),
            error_message=events.error_message,
        )
        self._attempt.settle(outcome, answer=answer, response=self._response, error=error, content=events.content)

    def _usage(self) -> Usage | None:
        if self._events.usage is not None:
            return self._events.usage
        return self._attempt.estimated(self._events.output_chars) if self._attempt.facts.generates else None


class AsyncWatchedStream(_Watched, httpx2.AsyncByteStream):
    """A watched body for an event loop.  Unread for ``unread_s`` seconds, it is closed."""

    def __init__(self, streamed: Streamed, unread_s: float) -> None:
        super().__init__(streamed)
        self._pieces = streamed.response.aiter_bytes()
        self._loop = asyncio.get_running_loop()
        self._unread = self._loop.call_later(unread_s, _give_up, weakref.ref(self))
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._unread.cancel()
        return self

    async def __anext__(self) -> bytes:
        while not self._over:
            try:
                piece = await anext(self._pieces, None)
            except BaseException as error:  # noqa: BLE001 - raised again, by its right name
                failure = what_failed(error)
                self._failed(failure)
                raise failure from failure.__cause__
            if data := self._passed(piece):
                return data
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """The reader is done with it."""
        self._unread.cancel()
        self._left()
        if not self._closed:
            self._closed = True
            await self._response.aclose()

    def abandon(self) -> None:
        """Nobody will read it: book it, free its place, and close the connection as soon as the loop gets to it."""
        self._left()
        if not self._closed and not self._loop.is_closed():
            self._closed = True
            self._loop.call_soon_threadsafe(_close_soon, self._response)

    def __del__(self) -> None:
        self._unread.cancel()
        self.abandon()


class WatchedStream(_Watched, httpx2.SyncByteStream):
    """A watched body for a thread."""

    def __init__(self, streamed: Streamed) -> None:
        super().__init__(streamed)
        self._pieces = streamed.response.iter_bytes()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while not self._over:
            try:
                piece = next(self._pieces, None)
            except BaseException as error:
                self._failed(error)
                raise
            if data := self._passed(piece):
                return data
        raise StopIteration

    def close(self) -> None:
        """The reader is done with it."""
        self._left()
        self._response.close()

    def __del__(self) -> None:
        self.close()


def passing_on(streamed: Streamed, stream: AsyncWatchedStream | WatchedStream) -> httpx2.Response:
    """The response as the client sees it: decoded already, so without the headers that say how it was coded."""
    original = streamed.response
    headers = [(name, value) for name, value in original.headers.raw if name.decode().lower() not in _DROPPED_HEADERS]
    return httpx2.Response(original.status_code, headers=headers, stream=stream, extensions=original.extensions)


def _give_up(reference: weakref.ref[AsyncWatchedStream]) -> None:
    stream = reference()
    if stream is not None:
        stream.abandon()


_closing: set[asyncio.Task[None]] = set()  # the loop itself keeps weak references only


def _close_soon(response: httpx2.Response) -> None:
    task = asyncio.get_running_loop().create_task(response.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)
