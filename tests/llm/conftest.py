"""A server on loopback that keeps OpenAI's rules: real HTTP, true sliding windows, faults on request."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from dslkit.llm.recorder import MemoryRecorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path


@dataclass
class FakeServer:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def reset(self, **config: Any) -> None:
        self._call("/reset", config)

    def stats(self) -> dict[str, Any]:
        return self._call("/stats")

    def _call(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


@pytest.fixture(scope="session")
def server_process(shared: Path) -> Iterator[FakeServer]:
    command = [sys.executable, str(shared / "bench" / "fake_openai.py"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield FakeServer(int(process.stdout.readline().split()[1]))
        process.terminate()
        process.stdout.read()


@pytest.fixture
def server(server_process: FakeServer) -> FakeServer:
    server_process.reset()
    return server_process


@pytest.fixture
def recorder() -> MemoryRecorder:
    return MemoryRecorder()


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as the package does."""
    return "asyncio"


@dataclass
class CannedServer:
    """Says the same bytes to every request and closes, if told to; ``heard`` counts the requests."""

    url: str
    heard: int = 0


@pytest.fixture
async def canned() -> AsyncIterator[Callable[..., Awaitable[CannedServer]]]:
    servers = []
    kept = []

    async def start(reply: bytes, *, close: bool = True) -> CannedServer:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            await reader.readexactly(int(length[1]) if length else 0)
            found.heard += 1
            writer.write(reply)
            await writer.drain()
            if not close:
                kept.append(writer)
                return
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        found = CannedServer(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        return found

    yield start
    for writer in kept:
        writer.close()
    for server in servers:
        server.close()
        await server.wait_closed()
