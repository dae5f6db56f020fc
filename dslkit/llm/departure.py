"""When the bytes of a request leave: a transport tells whoever sends, in httpcore's words.

A permit is stamped then, and latency runs from then; who never tells is taken to have sent when the answer is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx2

_BODY_WRITTEN = ("http11.send_request_body.complete", "http2.send_request_body.complete")
_TRACE = "trace"  # httpcore's extension of a request


def listen(request: httpx2.Request, sent: Callable[[], None]) -> None:
    """Have ``sent`` called when the body has been written."""

    def trace(event: str, _: object) -> None:
        if event in _BODY_WRITTEN:
            sent()

    request.extensions = {**request.extensions, _TRACE: trace}


def alisten(request: httpx2.Request, sent: Callable[[], None]) -> None:
    """The same for a transport that awaits."""

    async def trace(event: str, _: object) -> None:
        if event in _BODY_WRITTEN:
            sent()

    request.extensions = {**request.extensions, _TRACE: trace}


def tell(request: httpx2.Request) -> None:
    """Say that the body has been written: for a transport that has no wire."""
    trace: Callable[[str, object], None] | None = request.extensions.get(_TRACE)
    if trace is not None:
        trace(_BODY_WRITTEN[0], {})


async def atell(request: httpx2.Request) -> None:
    """The same for a transport that awaits."""
    trace: Callable[[str, object], Awaitable[None]] | None = request.extensions.get(_TRACE)
    if trace is not None:
        await trace(_BODY_WRITTEN[0], {})
