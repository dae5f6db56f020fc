"""Which handler a request goes to, by its path and by its body.

Bodies of unknown size, or of one that nobody wants, are read as they come, so that no more is held than is used.  All
other requests reach their handler with the body read, which is quicker and lets a refusal keep the connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tornado import web
from tornado.escape import url_unescape
from tornado.routing import Router

from dslkit.server.handlers import ServiceHandler
from dslkit.server.problems import ProblemError

if TYPE_CHECKING:
    from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest

BODY_S = 30.0  # for a body to arrive


class _Streamed(ServiceHandler):
    """A refusal waits until the body is there: who is cut off while sending never reads the answer."""

    def initialize(self, **options: Any) -> None:
        """As the handler that this is mixed into."""
        super().initialize(**options)
        self._refusal: web.HTTPError | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._unheard = False

    async def prepare(self) -> None:  # type: ignore[override]  # as Jupyter's own handlers do
        """Refuse at once what is announced to be too large, else hear it out."""
        announced = self.request.headers.get("Content-Length", "0")
        try:
            await super().prepare()
        except web.HTTPError as refusal:
            self._refusal = refusal
        if not announced.isdecimal() or int(announced) > self._most:
            self._unheard = True
            raise self._refusal or self._too_large()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """As everywhere; where a body was not heard out the connection ends, and the client must know."""
        if self._unheard:
            self.set_header("Connection", "close")
        super().write_error(status_code, **kwargs)

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


@dataclass(frozen=True, slots=True)
class _Place:
    """What answers at a path, for bodies of a known size and for all others."""

    handler: type[ServiceHandler]
    streamed: type[ServiceHandler]
    options: dict[str, Any]


class Paths(Router):
    """Our paths, found by name; only those with a parameter are compared one by one."""

    def __init__(self, application: web.Application, base: str, most: int, nowhere: type[ServiceHandler]) -> None:
        self._application = application
        self._base = base.rstrip("/")
        self._most = most
        self._named: dict[str, _Place] = {}
        self._patterns: list[tuple[re.Pattern[str], _Place]] = []
        self._nowhere = _place(nowhere, {})

    def add(self, path: str, handler: type[ServiceHandler], options: dict[str, Any]) -> None:
        """Let a handler answer at ``/a/path`` or ``/a/{parameter}``, with or without a slash at the end."""
        place = _place(handler, options)
        if "{" in path:
            pattern = re.escape(self._base) + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "/?"
            self._patterns.append((re.compile(pattern), place))
        else:
            self._named[self._base + path.rstrip("/")] = place

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> HTTPMessageDelegate:
        """Who answers; a body gets its time limit here, before anything of it is read."""
        request.connection.set_body_timeout(BODY_S)  # type: ignore[union-attr]  # HTTP/1, as Tornado's server speaks
        length = request.headers.get("Content-Length", "0")
        measured = length.isdecimal() and int(length) <= self._most and "Transfer-Encoding" not in request.headers
        place, given = self._at(request.path)
        handler = place.handler if measured else place.streamed
        return self._application.get_handler_delegate(request, handler, place.options, path_kwargs=given)

    def _at(self, path: str) -> tuple[_Place, dict[str, bytes]]:
        named = self._named.get(path) or self._named.get(path.removesuffix("/"))
        if named is not None:
            return named, {}
        for pattern, place in self._patterns:
            found = pattern.fullmatch(path)
            if found is not None:
                texts = found.groupdict()
                return place, {name: url_unescape(text, encoding=None, plus=False) for name, text in texts.items()}
        return self._nowhere, {}


def _place(handler: type[ServiceHandler], options: dict[str, Any]) -> _Place:
    streamed: type[ServiceHandler] = type(f"Streamed{handler.__name__}", (_Streamed, handler), {})
    return _Place(handler, web.stream_request_body(streamed), options)
