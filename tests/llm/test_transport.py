"""The seam over real HTTP, against a server with limits and faults: what callers get and what is recorded."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from openai import BadRequestError, InternalServerError

from dslkit.connect import async_openai_client, openai_client
from dslkit.llm.gate import Permit
from dslkit.llm.limits import UNLIMITED, Limits
from dslkit.llm.retry import RetryPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from openai import AsyncOpenAI

    from dslkit.llm.recorder import MemoryRecorder
    from tests.llm.conftest import FakeServer

pytestmark = [pytest.mark.shared, pytest.mark.anyio]
A_HICCUP = 3  # refusals of 30 requests that a busy machine may cause, by delivering one late and the next in time
QUICK = RetryPolicy(backoff_s=0.01, max_backoff_s=0.05, failures=8)


def question(number: int, **more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": f"[rid:{number}] the the the"}
    return {"model": "gpt-4o-mini", "messages": [message], "max_tokens": 50, **more}


async def ask_many(client: AsyncOpenAI, count: int) -> list[str]:
    async with client:
        answers = await asyncio.gather(*[client.chat.completions.create(**question(i)) for i in range(count)])
    return [answer.choices[0].message.content for answer in answers]


async def test_a_limit_that_bites_is_kept_without_a_refusal(server: FakeServer, recorder: MemoryRecorder) -> None:
    """30 requests at 10 a 0.5 s take at least two whole windows; the server refuses none."""
    server.reset(window=0.5, requests=10, lat_median=0.02)
    client = async_openai_client(
        api_key="sk-x", base_url=server.url, recorder=recorder, limits=Limits(requests=10, window_s=0.5)
    )
    began = asyncio.get_running_loop().time()
    answers = await ask_many(client, 30)
    took = asyncio.get_running_loop().time() - began
    stats = server.stats()
    assert [int(answer.split()[1]) for answer in answers] == list(range(30))
    assert (stats["ok"], stats["dup_ok"]) == (30, 0)
    assert stats.get("refused", 0) <= A_HICCUP
    assert took >= 1.0
    assert max(start.throttle_wait_s for start in recorder.starts) > 0.9
    assert len(recorder.starts) == len(recorder.ends) == stats["received"]
    assert sum(end.outcome == "ok" and end.usage.source == "reported" for end in recorder.ends) == 30


async def test_a_limit_nobody_stated_is_learned(server: FakeServer, recorder: MemoryRecorder) -> None:
    """Without a stated limit the server's own is followed from its first response on; nobody loses an answer."""
    server.reset(window=0.5, requests=10, lat_median=0.02)
    limits = Limits(window_s=0.5, concurrency=4)
    client = async_openai_client(api_key="sk-x", base_url=server.url, recorder=recorder, limits=limits)
    assert len(await ask_many(client, 30)) == 30
    assert server.stats().get("refused", 0) <= 4


@pytest.mark.parametrize("stated", [None, 500], ids=["nothing stated", "far more stated"])
async def test_a_window_far_shorter_than_a_minute_is_learned(
    server: FakeServer, recorder: MemoryRecorder, stated: int | None
) -> None:
    """20 a second, told by resets alone: 60 requests take two seconds, not two minutes, and few are refused."""
    server.reset(window=1.0, requests=20, lat_median=0.05)
    limits = Limits(requests=stated, concurrency=16)
    client = async_openai_client(api_key="sk-x", base_url=server.url, recorder=recorder, limits=limits)
    async with asyncio.timeout(30):
        assert len(await ask_many(client, 60)) == 60
    assert server.stats().get("refused", 0) <= 16 + A_HICCUP, "those under way before the first answer"


async def test_refusals_use_up_no_attempt_and_hold_everybody(server: FakeServer, recorder: MemoryRecorder) -> None:
    """A client that believes in a limit four times too high gets every answer, though allowed a single failure."""
    server.reset(window=0.5, requests=10, lat_median=0.02)
    once = RetryPolicy(failures=1)
    limits = Limits(requests=40, window_s=0.5)
    client = async_openai_client(api_key="sk-x", base_url=server.url, recorder=recorder, limits=limits, retry=once)
    assert len(await ask_many(client, 30)) == 30
    stats = server.stats()
    refused = [end for end in recorder.ends if end.http_status == 429]
    assert 0 < stats["refused"] == len(refused) <= 30
    assert {end.error_type for end in refused} == {"rate_limit_exceeded"}
    assert {end.outcome for end in refused} == {"error"}


async def test_faults_are_retried_and_every_attempt_is_recorded(server: FakeServer, recorder: MemoryRecorder) -> None:
    """Of 80 calls a third meet 500s, 503s and resets: nothing is lost or answered twice, each attempt is recorded."""
    server.reset(p500=0.15, p503=0.1, preset=0.1, lat_median=0.005, seed=3)
    client = async_openai_client(api_key="sk-x", base_url=server.url, recorder=recorder, limits=UNLIMITED, retry=QUICK)
    assert len(await ask_many(client, 80)) == 80
    stats = server.stats()
    outcomes = Counter(end.http_status for end in recorder.ends)
    assert stats["received"] == len(recorder.starts) == len(recorder.ends)
    assert (outcomes[200], outcomes[500], outcomes[503]) == (80, stats["f500"], stats["f503"])
    assert outcomes[None] == stats["reset"] > 0
    assert stats["dup_ok"] == 0
    attempts = Counter(start.call_id for start in recorder.starts)
    assert len(attempts) == 80
    assert {start.attempt for start in recorder.starts} == set(range(1, max(attempts.values()) + 1))


async def test_the_caller_hears_of_a_failure_that_stays(server: FakeServer, recorder: MemoryRecorder) -> None:
    server.reset(p500=1.0)
    retry = RetryPolicy(failures=3, backoff_s=0.01, max_backoff_s=0.01)
    client = async_openai_client(api_key="sk-x", base_url=server.url, recorder=recorder, limits=UNLIMITED, retry=retry)
    async with client:
        with pytest.raises(InternalServerError):
            await client.chat.completions.create(**question(1))
    assert [end.attempt for end in recorder.ends] == [1, 2, 3]


async def test_a_bad_request_is_not_retried(server: FakeServer, recorder: MemoryRecorder) -> None:
    client = async_openai_client(api_key="sk-x", base_url=server.url, recorder=recorder, limits=UNLIMITED)
    async with client:
        with pytest.raises(BadRequestError):
            await client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": [1]}])
    assert [(end.attempt, end.http_status, end.usage) for end in recorder.ends] == [(1, 400, None)]


def test_threads_share_the_window_too(
    server: FakeServer, recorder: MemoryRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the stamps of the requests that count, no span of 0.5 s holds more than 10, however late they arrive."""
    permits: set[Permit] = set()
    refused: set[Permit] = set()
    sent, refuse = Permit.sent, Permit.refused
    monkeypatch.setattr(Permit, "sent", lambda permit: (permits.add(permit), sent(permit)))
    monkeypatch.setattr(Permit, "refused", lambda permit, wait: (refused.add(permit), refuse(permit, wait)))
    server.reset(window=0.5, requests=10, lat_median=0.02, p500=0.1)
    limits = Limits(requests=10, window_s=0.5)
    with (
        openai_client(api_key="sk-x", base_url=server.url, recorder=recorder, limits=limits, retry=QUICK) as client,
        ThreadPoolExecutor(12) as pool,
    ):
        answers = list(pool.map(lambda number: client.chat.completions.create(**question(number)), range(30)))
    stats = server.stats()
    assert len(answers) == stats["unique_ok"] == 30
    assert stats["received"] == len(recorder.ends) == len(permits)
    stamps = sorted(permit.sent_at or 0.0 for permit in permits - refused)
    assert min(later - earlier for earlier, later in zip(stamps, stamps[10:], strict=False)) >= 0.5


async def test_usage_and_identity_are_recorded(server: FakeServer, recorder: MemoryRecorder) -> None:
    client = async_openai_client(api_key="sk-x", base_url=server.url, recorder=recorder, limits=UNLIMITED)
    async with client:
        answer = await client.chat.completions.create(**question(3))
    start, end = recorder.starts[0], recorder.ends[0]
    assert (start.provider_name, start.operation_name, start.request_model) == ("127.0.0.1", "chat", "gpt-4o-mini")
    assert (end.response_model, end.response_id) == (answer.model, answer.id)
    assert (end.server_request_id, end.finish_reason, end.http_status) == ("req_3", "stop", 200)
    assert end.usage.input_tokens == answer.usage.prompt_tokens
    assert end.usage.cache_read_input_tokens == answer.usage.prompt_tokens // 2
    assert end.usage.output_tokens == answer.usage.completion_tokens


async def test_keys_and_models_have_windows_of_their_own(server: FakeServer, tmp_path: Path) -> None:
    """One request a minute for each key and model: four combinations pass at once, a fifth call would wait."""
    for key in ("sk-a", "sk-b"):
        limits = Limits(requests=1, max_wait_s=0.01)
        async with async_openai_client(api_key=key, base_url=server.url, limits=limits) as client:
            for model in ("one", "two"):
                await client.chat.completions.create(**{**question(1), "model": model})
            with pytest.raises(Exception, match="No turn within"):
                await client.chat.completions.create(**{**question(1), "model": "one"})
    assert server.stats()["received"] == 4
