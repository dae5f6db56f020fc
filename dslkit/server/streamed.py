"""Bodies of unknown size, or of one that nobody wants: read as they come, so that no more is held than will be used.

All other requests reach their handler with the body read, which is quicker and lets a refusal keep the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tornado import web
from tornado.routing import PathMatches, Rule

from dslkit.server.handlers import ServiceHandler
from dslkit.server.problems import ProblemError

if TYPE_CHECKING:
    from tornado.httputil import HTTPServerRequest

BODY_S = 30.0  # for a body to arrive


class Unmeasured(PathMatches):
    """Matches requests for a path whose body is larger than ``most`` bytes, or of a size that is not told."""

    def __init__(self, pattern: str, most: int) -> None:
        super().__init__(pattern)
        self._most = most

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Tornado's parameters of the path, or None; the first look at a request also limits its time."""
        request.connection.set_body_timeout(BODY_S)  # type: ignore[union-attr]  # HTTP/1, as Tornado's server speaks
        length = request.headers.get("Content-Length", "0")
        measured = length.isdecimal() and int(length) <= self._most and "Transfer-Encoding" not in request.headers
        return None if measured else super().match(request)


class _Streamed(ServiceHandler):
    """A refusal waits until the body is there: who is cut off while sending never reads the answer."""

    def initialize(self, **options: Any) -> None:
        """As the handler that this is mixed into."""
        super().initialize(**options)
        self._refusal: web.HTTPError | None = None
        self._chunks: list[bytes] = []
        self._size = 0

    async def prepare(self) -> None:  # type: ignore[override]  # as Jupyter's own handlers do
        """Refuse at once what is announced to be too large, else hear it out."""
        announced = self.request.headers.get("Content-Length", "0")
        try:
            await super().prepare()
        except web.HTTPError as refusal:
            self._refusal = refusal
        if not announced.isdecimal() or int(announced) > self._most:
            raise self._refusal or self._too_large()

    def data_received(self, chunk: bytes) -> None:
        """Keep the body as long as anybody will want it."""
        self._size += len(chunk)
        if self._size > self._most:
            self._refusal = self._refusal or self._too_large()
        if self._refusal is None:
            self._chunks.append(chunk)

    def heard(self) -> bytes:
        """The body, or the refusal that waited for it."""
        if self._refusal is not None:
            raise self._refusal
        return b"".join(self._chunks)

    @property
    def _most(self) -> int:
        return self.service.settings.max_request_bytes

    def _too_large(self) -> ProblemError:
        return ProblemError(413, f"A body may have {self._most:,} bytes (DSLKIT_MAX_REQUEST_BYTES).")


def rules(path: str, handler: type[ServiceHandler], options: dict[str, Any], most: int) -> list[Rule]:
    """Two rules for one path: bodies of unwelcome or unknown size, and all others."""
    reading: type[ServiceHandler] = web.stream_request_body(
        type(f"Streamed{handler.__name__}", (_Streamed, handler), {})
    )
    return [Rule(Unmeasured(path, most), reading, options), Rule(PathMatches(path), handler, options)]
