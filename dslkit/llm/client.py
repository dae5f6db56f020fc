"""Plain openai clients on the seam, and the bare httpx clients for libraries that build their own.

Asynchronous clients go over aiohttp, which costs about half the time of httpx2's own pool; synchronous ones over
httpx2.  Proxies, certificates and ``HTTP_PROXY`` are the SDK's business as ever: both what it makes for the plain way
and what it makes for proxies is wrapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

from dslkit.llm.aio import PerLoop
from dslkit.llm.door import Door
from dslkit.llm.lean import LeanAsyncOpenAI
from dslkit.llm.transport import AsyncSeamTransport, SeamTransport

if TYPE_CHECKING:
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
    "seam_of",
]


class _AioHttpClient(DefaultAioHttpClient):
    def __init__(self, seam: Seam, **options: Any) -> None:
        self.seam = seam
        self.door = Door()
        super().__init__(**options)

    def _init_transport(self, *args: Any, **options: Any) -> httpx2.AsyncBaseTransport:
        return AsyncSeamTransport(PerLoop(super()._init_transport(*args, **options)), self.seam)

    def _init_proxy_transport(self, *args: Any, **options: Any) -> httpx2.AsyncBaseTransport:
        return AsyncSeamTransport(PerLoop(super()._init_proxy_transport(*args, **options)), self.seam)


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
    made = LeanAsyncOpenAI(http_client=async_http_client(seam, inner=inner), max_retries=0, **options)
    _ = made.chat.completions  # the SDK imports these on first use; a first call should not wait for that
    return made


def client(seam: Seam, *, inner: httpx2.BaseTransport | None = None, **options: Any) -> OpenAI:
    """A plain OpenAI on the seam; ``options`` are its own."""
    return OpenAI(http_client=http_client(seam, inner=inner), max_retries=0, **options)


def seam_of(client: object) -> Seam | None:
    """The seam that a client from here goes through."""
    http = getattr(client, "_client", client)  # the SDK's clients keep theirs there
    seam: Seam | None = getattr(http, "seam", None)
    return seam
