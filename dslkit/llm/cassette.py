"""Real traffic recorded and replayed, where the network is: answers, tokens, errors and, on request, latencies.

A cassette is a JSON-lines file, one exchange a line: what was asked (address and body), what came (status, headers that
matter, body), how long it took.  Keys, cookies and account names never get in: only headers on a short list are kept.
Equal requests are replayed in the order in which they were recorded; the last answer is repeated.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2

from dslkit.llm.departure import atell, tell

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_KEPT = frozenset({"content-type", "retry-after", "retry-after-ms", "x-request-id", "openai-version"})
_KEPT_PREFIX = "x-ratelimit-"
_TEXT = ("application/json", "text/")


@dataclass(frozen=True, slots=True)
class _Take:
    """One recorded answer, or the name of the error instead of it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    error: str | None = None


class CassetteMissError(LookupError):
    """A request that the cassette has no answer for."""


class Recording(httpx2.AsyncBaseTransport, httpx2.BaseTransport):
    """Records what passes through ``inner``, errors too; bodies are read whole, so streams arrive in one piece."""

    def __init__(self, path: Path, inner: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass on and record."""
        began = time.monotonic()
        try:
            response = await self._inner.handle_async_request(request)
            body = await response.aread()
            await response.aclose()
        except httpx2.TransportError as error:
            self._write(request, _Take(0, {}, b"", time.monotonic() - began, type(error).__name__))
            raise
        return self._record(request, response, body, began)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass on and record."""
        began = time.monotonic()
        try:
            response = self._inner.handle_request(request)
            body = response.read()
            response.close()
        except httpx2.TransportError as error:
            self._write(request, _Take(0, {}, b"", time.monotonic() - began, type(error).__name__))
            raise
        return self._record(request, response, body, began)

    async def aclose(self) -> None:
        """Close the cassette and the inner transport."""
        self._close()
        await self._inner.aclose()

    def close(self) -> None:
        """Close the cassette and the inner transport."""
        self._close()
        self._inner.close()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _record(self, request: httpx2.Request, response: httpx2.Response, body: bytes, began: float) -> httpx2.Response:
        kept = {name: value for name, value in response.headers.items() if _is_kept(name)}
        take = _Take(response.status_code, kept, body, time.monotonic() - began)
        self._write(request, take)
        return _response(take)

    def _write(self, request: httpx2.Request, take: _Take) -> None:
        entry = {
            "request": _name(request),
            "path": request.url.path,
            "asked": _as_json(request.content),
            "status": take.status,
            "headers": dict(take.headers),
            "seconds": round(take.seconds, 6),
            "error": take.error,
            **_packed(take.body, take.headers.get("content-type", "")),
        }
        os.write(self._file, json.dumps(entry, ensure_ascii=False).encode() + b"\n")


class Replay(httpx2.AsyncBaseTransport, httpx2.BaseTransport):
    """Answers from a cassette; ``with_latency`` takes as long as it took.  CassetteMissError for anything else."""

    def __init__(self, path: Path, *, with_latency: bool = False) -> None:
        self._takes: dict[str, deque[_Take]] = defaultdict(deque)
        self._with_latency = with_latency
        self._lock = threading.Lock()
        self._path = path
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            take = _Take(entry["status"], entry["headers"], _unpacked(entry), entry["seconds"], entry["error"])
            self._takes[entry["request"]].append(take)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer as recorded."""
        await request.aread()
        take = self._next(request)
        await atell(request)
        if self._with_latency:
            await asyncio.sleep(take.seconds)
        return _response(take, request)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer as recorded."""
        request.read()
        take = self._next(request)
        tell(request)
        if self._with_latency:
            time.sleep(take.seconds)
        return _response(take, request)

    def _next(self, request: httpx2.Request) -> _Take:
        with self._lock:
            takes = self._takes.get(_name(request))
            if not takes:
                raise CassetteMissError(f"{self._path} has no answer to this {request.method} {request.url.path}")
            return takes.popleft() if len(takes) > 1 else takes[0]


def _name(request: httpx2.Request) -> str:
    """A hash of what is asked, without the host: a cassette serves whatever the base URL."""
    asked = json.dumps(_as_json(request.content), sort_keys=True, ensure_ascii=False)
    text = f"{request.method} {request.url.path}?{request.url.query.decode()}\n{asked}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _as_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return hashlib.blake2b(body, digest_size=16).hexdigest() if body else None


def _is_kept(name: str) -> bool:
    return name.lower() in _KEPT or name.lower().startswith(_KEPT_PREFIX)


def _packed(body: bytes, kind: str) -> dict[str, str]:
    if kind.startswith(_TEXT):
        return {"body": body.decode(errors="replace")}
    return {"base64": base64.b64encode(body).decode()}


def _unpacked(entry: Mapping[str, Any]) -> bytes:
    return entry["body"].encode() if "body" in entry else base64.b64decode(entry["base64"])


def _response(take: _Take, request: httpx2.Request | None = None) -> httpx2.Response:
    if take.error is not None:
        kind: type[httpx2.TransportError] = getattr(httpx2, take.error, httpx2.TransportError)
        raise kind(f"{take.error}, as recorded", request=request)
    return httpx2.Response(take.status, headers=dict(take.headers), content=take.body)
