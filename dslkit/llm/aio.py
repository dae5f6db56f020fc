"""The SDK's transport over aiohttp, made to outlast an event loop, to tell when bytes leave, and what failed."""

from __future__ import annotations

import asyncio
import copy
import weakref
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx2

if TYPE_CHECKING:
    from collections.abc import Callable

leaving: ContextVar[Callable[[], None] | None] = ContextVar("dslkit_leaving", default=None)


class PerLoop(httpx2.AsyncBaseTransport):
    """The SDK's transport, once for each event loop: a session dies with its loop, a client need not."""

    def __init__(self, transport: Any) -> None:
        self._unused = transport
        self._of_loop: dict[asyncio.AbstractEventLoop, Any] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it from the loop that runs; ``leaving`` is called when its bytes leave."""
        loop = asyncio.get_running_loop()
        transport = self._of_loop.get(loop)
        if transport is None:
            self._of_loop = {other: its for other, its in self._of_loop.items() if not other.is_closed()}
            transport = self._of_loop[loop] = copy.copy(self._unused)
            transport.client = _session(transport)
        response: httpx2.Response = await transport.handle_async_request(request)
        return response

    async def aclose(self) -> None:
        """Close the session of this loop, and forget those of others."""
        transport = self._of_loop.pop(asyncio.get_running_loop(), None)
        self._of_loop.clear()
        if transport is not None:
            await transport.aclose()


def what_failed(error: BaseException) -> BaseException:
    """The SDK's transport calls every lost or refused connection a timeout; this is what aiohttp knows of it."""
    if isinstance(error, aiohttp.ClientResponseError):  # no HTTP; it passes the SDK's transport as it is
        broken = httpx2.RemoteProtocolError(str(error))
        broken.__cause__ = error
        return broken
    cause = error.__cause__
    if not isinstance(error, httpx2.ConnectTimeout) or isinstance(cause, aiohttp.ServerTimeoutError):
        return error
    kinds: tuple[tuple[type[Exception], type[httpx2.TransportError]], ...] = (
        (aiohttp.ClientConnectorError, httpx2.ConnectError),
        (aiohttp.ServerDisconnectedError, httpx2.RemoteProtocolError),
        (aiohttp.ClientConnectionError, httpx2.ReadError),
    )
    for kind, means in kinds:
        if isinstance(cause, kind):
            found = means(str(cause) or type(cause).__name__)
            found.__cause__ = cause
            return found
    return error


def _session(transport: Any) -> aiohttp.ClientSession:
    """A session as the SDK opens it that tells when bytes leave, and is closed when the transport goes."""
    transport.client = None
    made: aiohttp.ClientSession = transport.get_client()
    made.trace_configs.append(_telling_when_bytes_leave())
    weakref.finalize(transport, _let_go, made)
    return made


async def _on_chunk(*_: object) -> None:
    tell = leaving.get()
    if tell is not None:
        tell()


def _telling_when_bytes_leave() -> aiohttp.TraceConfig:
    """Aiohttp's hook for a session: it fires in the step that writes a request's body."""
    config = aiohttp.TraceConfig()
    config.on_request_chunk_sent.append(_on_chunk)
    config.freeze()
    return config


def _let_go(session: aiohttp.ClientSession) -> None:
    """Close what nobody closed, without aiohttp's complaints: the SDK's own clients need no closing either."""
    connector = session.connector
    session.detach()
    if connector is not None:
        closing = connector.close()
        with suppress(StopIteration, RuntimeError):  # its loop may be gone, then there is nothing to wait for
            closing.send(None)  # type: ignore[attr-defined]  # a coroutine, declared as an awaitable
        closing.close()  # type: ignore[attr-defined]
