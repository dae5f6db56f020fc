"""Plain openai clients on the seam, and the bare httpx clients for libraries that build their own.

Asynchronous clients go over aiohttp, which costs about half the time of httpx2's own pool; synchronous ones over
httpx2.  Proxies, certificates and ``HTTP_PROXY`` are the SDK's business as ever: both what it makes for the plain way
and what it makes for proxies is wrapped.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import json
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx2
from openai import (
    APIConnectionError,
    APITimeoutError,
    AsyncOpenAI,
    DefaultAioHttpClient,
    DefaultAsyncHttpxClient,
    DefaultHttpxClient,
    OpenAI,
)
from openai._models import FinalRequestOptions

from dslkit.llm.door import Door, is_inside
from dslkit.llm.transport import AsyncSeamTransport, SeamTransport, telling_when_bytes_leave

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

    from dslkit.llm.seam import Seam

AsyncHttpClient: TypeAlias = httpx2.AsyncClient
HttpClient: TypeAlias = httpx2.Client

__all__ = [
    "AsyncHttpClient",
    "AsyncOpenAI",
    "HttpClient",
    "OpenAI",
    "async_client",
    "async_http_client",
    "client",
    "http_client",
    "post",
    "seam_of",
]


class _AioHttpClient(DefaultAioHttpClient):
    def __init__(self, seam: Seam, **options: Any) -> None:
        self.seam = seam
        self.door = Door()
        super().__init__(**options)

    def _init_transport(self, *args: Any, **options: Any) -> httpx2.AsyncBaseTransport:
        return AsyncSeamTransport(_PerLoop(super()._init_transport(*args, **options)), self.seam)

    def _init_proxy_transport(self, *args: Any, **options: Any) -> httpx2.AsyncBaseTransport:
        return AsyncSeamTransport(_PerLoop(super()._init_proxy_transport(*args, **options)), self.seam)


class _AsyncHttpxClient(DefaultAsyncHttpxClient):
    def __init__(self, seam: Seam, **options: Any) -> None:
        self.seam = seam
        self.door = Door()
        super().__init__(**options)

    def _init_transport(self, *args: Any, **options: Any) -> httpx2.AsyncBaseTransport:
        return AsyncSeamTransport(super()._init_transport(*args, **options), self.seam)

    def _init_proxy_transport(self, *args: Any, **options: Any) -> httpx2.AsyncBaseTransport:
        return AsyncSeamTransport(super()._init_proxy_transport(*args, **options), self.seam)


class _HttpxClient(DefaultHttpxClient):
    def __init__(self, seam: Seam, **options: Any) -> None:
        self.seam = seam
        super().__init__(**options)

    def _init_transport(self, *args: Any, **options: Any) -> httpx2.BaseTransport:
        return SeamTransport(super()._init_transport(*args, **options), self.seam)

    def _init_proxy_transport(self, *args: Any, **options: Any) -> httpx2.BaseTransport:
        return SeamTransport(super()._init_proxy_transport(*args, **options), self.seam)


class _AsyncOpenAI(AsyncOpenAI):
    """The SDK's client with a door before its work on each request."""

    _model: httpx2.Request | None = None

    @property
    def user_agent(self) -> str:
        return super().user_agent.removeprefix("_")

    @property
    def door(self) -> Door:
        """Of the http client; of one's own when that came from elsewhere."""
        door: Door | None = getattr(self._client, "door", None)
        return door or Door()

    async def request(self, *args: Any, **options: Any) -> Any:
        if is_inside():
            return await super().request(*args, **options)
        async with self.door.visit():
            return await super().request(*args, **options)

    async def post_lean(self, path: str, body: Mapping[str, Any]) -> httpx2.Response:
        """As ``post``, but what the SDK does alike for every request (url, headers, timeout) is done for the first."""
        if self._api_key_provider is not None or self.workload_identity is not None:
            return await self.post(path, body=body, cast_to=httpx2.Response)
        if self._model is None:
            options = await self._prepare_options(FinalRequestOptions.construct(method="post", url=path, json_data={}))
            self._model = self._build_request(options)
            del self._model.headers["content-length"]
        model = self._model
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        request = httpx2.Request("POST", model.url, headers=model.headers, content=content, extensions=model.extensions)
        try:
            response = await self._client.send(request)
        except httpx2.TimeoutException as error:
            raise APITimeoutError(request=request) from error
        except httpx2.RequestError as error:
            raise APIConnectionError(request=request) from error
        if response.is_success:
            return response
        raise self._make_status_error_from_response(response)


async def post(client: AsyncOpenAI, path: str, body: Mapping[str, Any]) -> httpx2.Response:
    """Send one request and return the answer as it came; raises the SDK's errors.  Quicker with a client from here."""
    if isinstance(client, _AsyncOpenAI):
        return await client.post_lean(path, body)
    return await client.post(path, body=body, cast_to=httpx2.Response)


def async_http_client(
    seam: Seam, *, inner: httpx2.AsyncBaseTransport | None = None, **options: Any
) -> httpx2.AsyncClient:
    """The bare asynchronous httpx client on the seam.

    ``inner`` replaces the network; an httpx2 transport of one's own goes there too.  ``options`` are httpx's.
    """
    if inner is not None:
        return _AsyncHttpxClient(seam, transport=inner, **options)
    return _AioHttpClient(seam, **options)


def http_client(seam: Seam, *, inner: httpx2.BaseTransport | None = None, **options: Any) -> httpx2.Client:
    """The bare synchronous httpx client on the seam."""
    return _HttpxClient(seam, transport=inner, **options)


def async_client(seam: Seam, *, inner: httpx2.AsyncBaseTransport | None = None, **options: Any) -> AsyncOpenAI:
    """A plain AsyncOpenAI on the seam; ``options`` are its own (api_key, base_url, timeout, …)."""
    made = _AsyncOpenAI(http_client=async_http_client(seam, inner=inner), max_retries=0, **options)
    completions = made.chat.completions  # the SDK imports these on first use; a first call should not wait for that
    completions.create = _through_the_door(completions.create, made.door)  # type: ignore[method-assign]
    return made


def client(seam: Seam, *, inner: httpx2.BaseTransport | None = None, **options: Any) -> OpenAI:
    """A plain OpenAI on the seam; ``options`` are its own."""
    return OpenAI(http_client=http_client(seam, inner=inner), max_retries=0, **options)


def _through_the_door(create: Any, door: Door) -> Any:
    """The SDK checks and copies a request before it calls ``request``: gathered by thousands, that must wait, too."""

    @functools.wraps(create)
    async def create_in_turn(*args: Any, **options: Any) -> Any:
        async with door.visit():
            return await create(*args, **options)

    return create_in_turn


def seam_of(client: object) -> Seam | None:
    """The seam that a client from here goes through."""
    http = getattr(client, "_client", client)  # the SDK's clients keep theirs there
    seam: Seam | None = getattr(http, "seam", None)
    return seam


class _PerLoop(httpx2.AsyncBaseTransport):
    """The SDK's aiohttp transport, once for each event loop: a session dies with its loop, a client need not."""

    def __init__(self, transport: Any) -> None:
        self._unused = transport
        self._of_loop: dict[asyncio.AbstractEventLoop, Any] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        loop = asyncio.get_running_loop()
        transport = self._of_loop.get(loop)
        if transport is None:
            self._of_loop = {other: its for other, its in self._of_loop.items() if not other.is_closed()}
            transport = self._of_loop[loop] = copy.copy(self._unused)
            transport.client = _session(transport)
        response: httpx2.Response = await transport.handle_async_request(request)
        return response

    async def aclose(self) -> None:
        transport = self._of_loop.pop(asyncio.get_running_loop(), None)
        self._of_loop.clear()
        if transport is not None:
            await transport.aclose()


def _session(transport: Any) -> aiohttp.ClientSession:
    """A session as the SDK opens it that tells when bytes leave, and is closed when the transport goes."""
    transport.client = None
    made: aiohttp.ClientSession = transport.get_client()
    made.trace_configs.append(telling_when_bytes_leave())
    weakref.finalize(transport, _let_go, made)
    return made


def _let_go(session: aiohttp.ClientSession) -> None:
    """Close what nobody closed, without aiohttp's complaints: the SDK's own clients need no closing either."""
    connector = session.connector
    session.detach()
    if connector is not None:
        closing = connector.close()
        with suppress(StopIteration, RuntimeError):  # its loop may be gone, then there is nothing to wait for
            closing.send(None)  # type: ignore[attr-defined]  # a coroutine, declared as an awaitable
        closing.close()  # type: ignore[attr-defined]
