"""Real traffic recorded without secrets, and replayed: answers, tokens, errors, streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest

from dslkit.llm.cassette import CassetteMissError, Recording, Replay
from dslkit.llm.client import async_client, client
from dslkit.llm.gate import Gate
from dslkit.llm.offline import OfflineServer
from dslkit.llm.recorder import MemoryRecorder
from dslkit.llm.retry import RetryPolicy
from dslkit.llm.seam import Seam
from dslkit.llm.sharing import MemoryState

if TYPE_CHECKING:
    from pathlib import Path

    from tests.llm.conftest import FakeServer

pytestmark = pytest.mark.anyio
ASK: Any = {"model": "offline", "messages": [{"role": "user", "content": "Hello"}]}
SECRETS: Any = {"api_key": "sk-very-secret", "organization": "org-hidden", "base_url": "http://a.invalid/v1"}


def seam_for(recorder: MemoryRecorder, failures: int = 4) -> Seam:
    gate = Gate(MemoryState((), ring=8))
    retry = RetryPolicy(failures=failures, backoff_s=0.001, max_backoff_s=0.001)
    return Seam(gate_for=lambda *_: gate, recorder=recorder, retry=retry)


async def test_there_and_back_without_secrets(tmp_path: Path) -> None:
    path, there, back = tmp_path / "tape" / "one.jsonl", MemoryRecorder(), MemoryRecorder()
    recording = Recording(path, OfflineServer(lambda _: "Hi ✓"))
    async with async_client(seam_for(there), inner=recording, **SECRETS) as real:
        first = await real.chat.completions.create(**ASK)
        chunks = [chunk async for chunk in await real.chat.completions.create(**ASK, stream=True)]
        with pytest.raises(openai.NotFoundError):
            await real.chat.completions.create(**{**ASK, "model": "gpt"})
    written = path.read_text()
    assert "secret" not in written
    assert "hidden" not in written
    elsewhere: Any = {"api_key": "other", "base_url": "http://b.invalid/v1"}
    async with async_client(seam_for(back), inner=Replay(path), **elsewhere) as replayed:
        assert await replayed.chat.completions.create(**ASK) == first
        assert [chunk async for chunk in await replayed.chat.completions.create(**ASK, stream=True)] == chunks
        with pytest.raises(openai.NotFoundError):
            await replayed.chat.completions.create(**{**ASK, "model": "gpt"})
        with pytest.raises(CassetteMissError):
            await replayed.chat.completions.create(**ASK, temperature=1)
    known = [(end.usage, end.http_status, end.server_request_id) for end in there.ends]
    assert [(end.usage, end.http_status, end.server_request_id) for end in back.ends[:3]] == known


class Faulty(httpx2.BaseTransport):
    """Breaks twice, then answers."""

    def __init__(self) -> None:
        self.asked = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        if self.asked == 1:
            raise httpx2.ReadError("reset")
        if self.asked == 2:
            return httpx2.Response(503, headers={"set-cookie": "session=1"}, content=b"busy")
        return OfflineServer(lambda _: "at last").handle_request(request)


def test_errors_in_their_order(tmp_path: Path) -> None:
    path, there, back = tmp_path / "tape.jsonl", MemoryRecorder(), MemoryRecorder()
    with client(seam_for(there), inner=Recording(path, Faulty()), **SECRETS) as real:
        real.chat.completions.create(**ASK)
    assert "session" not in path.read_text()
    with client(seam_for(back), inner=Replay(path), **SECRETS) as replayed:
        for _ in range(2):
            assert replayed.chat.completions.create(**ASK).choices[0].message.content == "at last"
    assert [(end.error_type, end.http_status) for end in back.ends[:3]] == [
        ("ReadError", None),
        ("503", 503),
        (None, 200),
    ]
    assert len(back.ends) == 4, "the last answer is repeated"


def test_latency_on_request(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    with client(seam_for(MemoryRecorder()), inner=Recording(path, OfflineServer(str, 0.1)), **SECRETS) as real:
        real.chat.completions.create(**ASK)
    recorder = MemoryRecorder()
    with client(seam_for(recorder), inner=Replay(path, with_latency=True), **SECRETS) as replayed:
        replayed.chat.completions.create(**ASK)
    assert recorder.ends[0].latency_s > 0.02


@pytest.mark.shared
async def test_of_real_http(server: FakeServer, tmp_path: Path) -> None:
    path, there, back = tmp_path / "tape.jsonl", MemoryRecorder(), MemoryRecorder()
    ask: Any = {"model": "m", "messages": [{"role": "user", "content": "[rid:1] hello"}]}
    inner = Recording(path, httpx2.AsyncHTTPTransport())
    async with async_client(seam_for(there), inner=inner, api_key="k", base_url=server.url) as real:
        first = await real.chat.completions.create(**ask)
    async with async_client(seam_for(back), inner=Replay(path), api_key="k", base_url=server.url) as replayed:
        assert await replayed.chat.completions.create(**ask) == first
    assert server.stats()["received"] == 1
    assert back.ends[0].usage == there.ends[0].usage
