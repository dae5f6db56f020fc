"""Answers kept: equal requests cost once, in a row or at once; damage and a full disk cost an answer nothing."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any

import pytest

from dslkit.connect import async_openai_client, openai_client
from dslkit.llm.cache import AnswerStore

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.llm.recorder import MemoryRecorder

pytestmark = pytest.mark.anyio
ASK: Any = {"model": "offline", "messages": [{"role": "user", "content": "Hello"}]}


class Counting:
    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, messages: list[dict[str, Any]]) -> str:
        self.asked += 1
        return f"Answer {self.asked} ✓"


async def test_equal_requests_cost_once(recorder: MemoryRecorder) -> None:
    answer = Counting()
    async with async_openai_client(answer=answer, recorder=recorder, cache=True) as client:
        first = await client.chat.completions.create(**ASK)
        second = await client.chat.completions.create(**ASK, user="somebody else")
        third = await client.chat.completions.create(**ASK, temperature=0.5)
    assert first == second
    assert answer.asked == 2
    assert third.choices[0].message.content == "Answer 2 ✓"
    assert [end.cache_hit for end in recorder.ends] == [False, True, False]
    hit = recorder.ends[1]
    assert hit.usage is not None
    assert (hit.usage.input_tokens, hit.usage.output_tokens, hit.response_id) == (0, 0, first.id)
    assert hit.server_request_id == recorder.ends[0].server_request_id


async def test_equal_requests_at_once_cost_one(recorder: MemoryRecorder) -> None:
    answer = Counting()
    async with async_openai_client(answer=answer, recorder=recorder, cache=True, latency_s=0.05) as client:
        answers = await asyncio.gather(*[client.chat.completions.create(**ASK) for _ in range(10)])
    assert answer.asked == 1
    assert len({found.id for found in answers}) == 1
    assert sum(end.cache_hit for end in recorder.ends) == 9


def test_another_client_finds_it(recorder: MemoryRecorder) -> None:
    answer = Counting()
    for _ in range(2):
        with openai_client(answer=answer, recorder=recorder, cache=True) as client:
            client.chat.completions.create(**ASK)
    assert answer.asked == 1


async def test_only_answers_are_kept(recorder: MemoryRecorder) -> None:
    """An error is not an answer, and a stream is passed on as it comes."""
    answer = Counting()
    async with async_openai_client(answer=answer, recorder=recorder, cache=True) as client:
        for _ in range(2):
            with pytest.raises(Exception, match="does not exist"):
                await client.chat.completions.create(**{**ASK, "model": "gpt"})
            async for _chunk in await client.chat.completions.create(**ASK, stream=True):
                pass
    assert answer.asked == 2
    assert not any(end.cache_hit for end in recorder.ends)


async def test_it_is_durable_before_it_counts_as_settled(
    recorder: MemoryRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled_when_kept = []
    put = AnswerStore.put

    def watched(self: AnswerStore, *args: Any) -> None:
        settled_when_kept.append(len(recorder.ends))
        put(self, *args)

    monkeypatch.setattr(AnswerStore, "put", watched)
    async with async_openai_client(answer=Counting(), recorder=recorder, cache=True) as client:
        await client.chat.completions.create(**ASK)
    assert settled_when_kept == [0]


async def test_a_full_disk_costs_no_answer(
    recorder: MemoryRecorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(AnswerStore, "put", full)
    async with async_openai_client(answer=Counting(), recorder=recorder, cache=True) as client:
        assert (await client.chat.completions.create(**ASK)).choices
    assert "No space left" in caplog.text
    assert recorder.ends[0].outcome == "ok"


@pytest.mark.parametrize("damage", [b"", b"{", b'{"format": 99}', b"\xff\xfe"])
def test_a_damaged_answer_is_none(tmp_path: Path, damage: bytes) -> None:
    store = AnswerStore(tmp_path)
    key = store.key("http://x/v1", b'{"a": 1}')
    store.put(key, {"content-type": "application/json"}, b'{"b": 2}')
    assert store.get(key) is not None
    (path,) = tmp_path.rglob("*.json")
    path.write_bytes(damage)
    assert store.get(key) is None


def test_names_of_requests(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    name = store.key("http://x/v1", b'{"model": "m", "messages": []}')
    assert name == store.key("http://x/v1", b'{"messages":[],"model":"m","user":"u"}')
    assert name != store.key("http://y/v1", b'{"messages":[],"model":"m"}')
    assert name != store.key("http://x/v1", b'{"messages":[],"model":"n"}')


def test_one_asks_at_a_time(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    lock = store.lock("ab12")
    assert lock is not None
    assert store.lock("ab12") is None
    store.unlock("ab12", lock)
    again = store.lock("ab12")
    assert again is not None
    store.unlock("ab12", again)
    assert not list(tmp_path.rglob("*.asking"))
