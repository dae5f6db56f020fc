"""The seam: httpx transports that carry out the steps of a call around an inner transport, awaiting or blocking.

Whatever is built on the openai SDK passes here, request by request: plain or streamed, any endpoint, any library.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import httpx2

from dslkit.llm import door
from dslkit.llm.aio import leaving, what_failed
from dslkit.llm.departure import alisten, listen
from dslkit.llm.exchange import Admit, Course, Pause, Read, Send, Step, Streamed, Work, steps_of
from dslkit.llm.streams import AsyncWatchedStream, WatchedStream, passing_on

if TYPE_CHECKING:
    from dslkit.llm.gate import Permit
    from dslkit.llm.seam import Seam


class AsyncSeamTransport(httpx2.AsyncBaseTransport):
    """Throttles, retries and records what goes through ``inner``."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, seam: Seam) -> None:
        self._inner = inner
        self._seam = seam

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Carry out the steps of one call."""
        course = Course(steps_of(self._seam, request))
        while course.step is not None:
            try:
                result = await self._take(course.step)
            except BaseException as error:  # noqa: BLE001 - the course of the call decides
                course.throw(what_failed(error))
            else:
                course.send(result)
        if isinstance(course.reply, Streamed):
            return passing_on(course.reply, AsyncWatchedStream(course.reply, self._seam.unread_s))
        return course.reply

    async def _take(self, step: Step) -> object:
        match step:
            case Admit(gate, tokens, again, attribution, max_wait_s):
                waited_s = door.waited_s()
                permit = await gate.admit(
                    tokens, priority=attribution.priority, again=again, max_wait_s=max_wait_s, waited_s=waited_s
                )
                door.through()
                return permit
            case Send(request, permit):
                return await self._send(request, permit)
            case Read(response):
                return await _read(response)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Work(act):
                await asyncio.to_thread(act)
        return None

    async def _send(self, request: httpx2.Request, permit: Permit | None) -> httpx2.Response:
        if permit is None:
            return await self._inner.handle_async_request(request)
        alisten(request, permit.sent)
        token = leaving.set(permit.sent)
        try:
            response = await self._inner.handle_async_request(request)
        finally:
            leaving.reset(token)
        response.request = request
        return response

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


class SeamTransport(httpx2.BaseTransport):
    """The same for threads."""

    def __init__(self, inner: httpx2.BaseTransport, seam: Seam) -> None:
        self._inner = inner
        self._seam = seam

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Carry out the steps of one call."""
        course = Course(steps_of(self._seam, request))
        while course.step is not None:
            try:
                result = self._take(course.step)
            except BaseException as error:  # noqa: BLE001 - the course of the call decides
                course.throw(error)
            else:
                course.send(result)
        if isinstance(course.reply, Streamed):
            return passing_on(course.reply, WatchedStream(course.reply))
        return course.reply

    def _take(self, step: Step) -> object:
        match step:
            case Admit(gate, tokens, again, attribution, max_wait_s):
                return gate.admit_blocking(tokens, priority=attribution.priority, again=again, max_wait_s=max_wait_s)
            case Send(request, permit):
                return self._send(request, permit)
            case Read(response):
                try:
                    return response.read()
                finally:
                    response.close()
            case Pause(seconds):
                time.sleep(seconds)
            case Work(act):
                act()
        return None

    def _send(self, request: httpx2.Request, permit: Permit | None) -> httpx2.Response:
        if permit is not None:
            listen(request, permit.sent)
        response = self._inner.handle_request(request)
        response.request = request
        return response

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()


async def _read(response: httpx2.Response) -> bytes:
    """Read the body; whatever stops that, the connection is given back."""
    try:
        return await response.aread()
    finally:
        await response.aclose()
