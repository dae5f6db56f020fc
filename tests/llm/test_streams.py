"""However a stream ends, it is booked and its place in flight is free again."""

from __future__ import annotations

import asyncio
import gc
import json
import zlib
from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest

from dslkit.connect import async_openai_client, openai_client
from dslkit.llm.client import async_client
from dslkit.llm.gate import Gate
from dslkit.llm.limits import UNLIMITED, Limits
from dslkit.llm.offline import OfflineServer
from dslkit.llm.seam import Seam
from dslkit.llm.sharing import MemoryState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dslkit.llm.recorder import MemoryRecorder
    from tests.llm.conftest import FakeServer
    from tests.llm.test_bad_servers import Start

pytestmark = pytest.mark.anyio
ASK: Any = {"model": "offline", "messages": [{"role": "user", "content": "Go on"}], "stream": True}
ONE = Limits(unlimited=True, shared=False, concurrency=1, max_wait_s=5)


def long_answer(_: list[dict[str, Any]]) -> str:
    return "z" * 600


async def one_more(client: openai.AsyncOpenAI) -> None:
    """Only passes when the single place in flight is free."""
    await client.chat.completions.create(model="offline", messages=ASK["messages"])


async def test_left_early_by_its_reader(recorder: MemoryRecorder) -> None:
    """What had arrived is booked as an estimate, never as nothing."""
    async with async_openai_client(answer=long_answer, recorder=recorder, limits=ONE) as client:
        stream = await client.chat.completions.create(**ASK)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.close()
        await one_more(client)
    end = recorder.ends[0]
    assert end.usage is not None
    assert (end.outcome, end.usage.source) == ("cancelled", "estimated")
    assert end.usage.output_tokens is not None
    assert end.usage.output_tokens > 0


async def test_nobody_reads_and_nobody_keeps_it(recorder: MemoryRecorder) -> None:
    async with async_openai_client(answer=long_answer, recorder=recorder, limits=ONE) as client:
        await client.chat.completions.create(**ASK)
        gc.collect()
        await one_more(client)
    assert recorder.ends[0].outcome == "cancelled"
    assert recorder.ends[0].usage is not None
    assert recorder.ends[0].usage.source == "estimated"


async def test_nobody_reads_but_somebody_keeps_it(recorder: MemoryRecorder) -> None:
    gate = Gate(MemoryState((), ring=8), concurrency=1)
    seam = Seam(gate_for=lambda *_: gate, recorder=recorder, unread_s=0.01, max_wait_s=5)
    inner = OfflineServer(long_answer)
    async with async_client(seam, inner=inner, api_key="k", base_url="http://offline.invalid/v1") as client:
        kept = await client.chat.completions.create(**ASK)
        await one_more(client)
        await kept.close()
    assert [end.outcome for end in recorder.ends] == ["cancelled", "ok"]


async def test_its_task_is_cancelled(recorder: MemoryRecorder) -> None:
    started = asyncio.Event()

    async def read(client: openai.AsyncOpenAI) -> None:
        async for _ in await client.chat.completions.create(**ASK):
            started.set()
            await asyncio.sleep(60)

    async with async_openai_client(answer=long_answer, recorder=recorder, limits=ONE) as client:
        task = asyncio.ensure_future(read(client))
        await started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        gc.collect()
        await one_more(client)
    assert recorder.ends[0].outcome == "cancelled"


def test_threads_leave_early_too(recorder: MemoryRecorder) -> None:
    with openai_client(answer=long_answer, recorder=recorder, limits=ONE) as client:
        with client.chat.completions.create(**ASK) as stream:
            next(iter(stream))
        dropped = client.chat.completions.create(**ASK)
        del dropped
        gc.collect()
        assert [chunk for chunk in client.chat.completions.create(**ASK) if chunk.choices[0].finish_reason]
    assert [end.outcome for end in recorder.ends] == ["cancelled", "cancelled", "ok"]


EVENT = "data: " + json.dumps({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "12345678"}}]})


async def test_the_server_breaks_off(canned: Start, recorder: MemoryRecorder) -> None:
    """Half a stream is an error, booked with what arrived."""
    reply = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + EVENT + "\n\n"
    server = await canned(reply.encode())
    client = async_openai_client(api_key="k", base_url=server.url, recorder=recorder, limits=UNLIMITED)
    async with client:
        chunks = [chunk async for chunk in await client.chat.completions.create(**ASK)]
    assert len(chunks) == 1
    end = recorder.ends[0]
    assert end.usage is not None
    assert (end.outcome, end.error_type) == ("error", "stream_ended_early")
    assert (end.usage.source, end.usage.output_tokens) == ("estimated", 2)


async def test_the_connection_breaks(canned: Start, recorder: MemoryRecorder) -> None:
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n"
    server = await canned((head + EVENT + "\n\n").encode())
    client = async_openai_client(api_key="k", base_url=server.url, recorder=recorder, limits=UNLIMITED)
    async with client:
        with pytest.raises(openai.APIConnectionError):
            _ = [chunk async for chunk in await client.chat.completions.create(**ASK)]
    end = recorder.ends[0]
    assert end.usage is not None
    assert (end.outcome, end.usage.output_tokens) == ("error", 2)


async def test_an_error_inside_the_stream(canned: Start, recorder: MemoryRecorder) -> None:
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    error = 'data: {"error": {"message": "overloaded", "code": "overloaded"}}\n\n'
    server = await canned((head + EVENT + "\n\n" + error).encode())
    client = async_openai_client(api_key="k", base_url=server.url, recorder=recorder, limits=UNLIMITED)
    async with client:
        with pytest.raises(openai.APIError, match="overloaded"):
            _ = [chunk async for chunk in await client.chat.completions.create(**ASK)]
    assert recorder.ends[0].error_type == "overloaded"


@pytest.mark.shared
async def test_over_real_http(server: FakeServer, recorder: MemoryRecorder) -> None:
    """Eight streams at once: usage as the server counts it, and the first chunk before the last."""
    server.reset(lat_median=0.1, lat_sigma=0.01)
    client = async_openai_client(api_key="k", base_url=server.url, recorder=recorder, limits=UNLIMITED)

    async def read(number: int) -> int:
        ask = {**ASK, "messages": [{"role": "user", "content": f"[rid:{number}] hello"}]}
        return len([chunk async for chunk in await client.chat.completions.create(**ask)])

    async with client:
        assert await asyncio.gather(*[read(number) for number in range(8)]) == [16] * 8
    stats = server.stats()
    usages = [end.usage for end in recorder.ends if end.usage is not None]
    assert sum(usage.output_tokens or 0 for usage in usages) == stats["tokens_out"]
    assert all(usage.source == "reported" for usage in usages)
    assert all(0 < (end.time_to_first_chunk_s or 0) < end.latency_s * 0.8 for end in recorder.ends)


class Zipped(httpx2.AsyncBaseTransport):
    """A server that compresses its events."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        packed = zlib.compressobj(wbits=31)
        body = packed.compress((EVENT + "\n\ndata: [DONE]\n\n").encode()) + packed.flush()
        headers = {"content-type": "text/event-stream", "content-encoding": "gzip", "content-length": str(len(body))}
        return httpx2.Response(200, headers=headers, stream=Pieces(body))


class Pieces(httpx2.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), 7):
            yield self._body[at : at + 7]


async def test_compressed_events(recorder: MemoryRecorder) -> None:
    gate = Gate(MemoryState((), ring=8))
    seam = Seam(gate_for=lambda *_: gate, recorder=recorder)
    async with async_client(seam, inner=Zipped(), api_key="k", base_url="http://zipped.invalid/v1") as client:
        chunks = [chunk async for chunk in await client.chat.completions.create(**ASK)]
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["12345678"]
    assert (recorder.ends[0].outcome, recorder.ends[0].error_message) == ("ok", None)
