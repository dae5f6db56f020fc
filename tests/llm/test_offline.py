"""The server without a network: the SDK, the seam and the ledger cannot tell it from a server, but for its name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from openai import APIStatusError, AsyncOpenAI, OpenAI

from dslkit.connect import async_openai_client, openai_client
from dslkit.llm.offline import OfflineServer
from dslkit.llm.retry import RetryPolicy

if TYPE_CHECKING:
    from dslkit.llm.recorder import MemoryRecorder

pytestmark = pytest.mark.anyio
QUICK = RetryPolicy(failures=2, backoff_s=0.001, max_backoff_s=0.001)


def echo(messages: list[dict[str, Any]]) -> str:
    return "You said: " + str(messages[-1]["content"])


HELLO: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


async def test_a_completion(recorder: MemoryRecorder) -> None:
    async with async_openai_client(answer=echo, recorder=recorder) as client:
        assert isinstance(client, AsyncOpenAI)
        answer = await client.chat.completions.create(model="offline", messages=HELLO)
        again = await client.chat.completions.create(model="offline", messages=HELLO)
    assert answer.choices[0].message.content == "You said: Hello"
    assert answer == again
    assert "no-llm" in answer.model
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    start, end = recorder.starts[0], recorder.ends[0]
    assert (start.provider_name, start.request_model) == ("dslkit", "offline")
    assert end.usage is not None
    assert (end.usage.input_tokens, end.usage.output_tokens) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert end.server_request_id == recorder.ends[1].server_request_id


def test_a_completion_for_threads(recorder: MemoryRecorder) -> None:
    with openai_client(answer=echo, recorder=recorder) as client:
        assert isinstance(client, OpenAI)
        assert client.chat.completions.create(model="offline", messages=HELLO).choices[0].finish_reason == "stop"
    assert recorder.ends[0].outcome == "ok"


async def test_tokens_and_the_limit_on_them() -> None:
    async with async_openai_client(answer=lambda _: "x" * 1000) as client:
        answer = await client.chat.completions.create(model="offline", messages=HELLO, max_tokens=10)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 10
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize("asked", [True, False])
async def test_a_stream(recorder: MemoryRecorder, asked: bool) -> None:  # noqa: FBT001 - a table of two cases
    """Usage is recorded in any case; the reader sees the chunk with it only if it was the reader who asked."""
    options: Any = {"stream_options": {"include_usage": True}} if asked else {}
    async with async_openai_client(answer=lambda _: "y" * 150, recorder=recorder) as client:
        stream = await client.chat.completions.create(model="offline", messages=HELLO, stream=True, **options)
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "y" * 150
    assert any(chunk.usage for chunk in chunks) is asked
    assert all(chunk.choices for chunk in chunks) is not asked
    (end,) = recorder.ends
    assert end.usage is not None
    assert (end.outcome, end.usage.output_tokens, end.usage.source) == ("ok", 38, "reported")
    assert end.time_to_first_chunk_s is not None
    assert 0 <= end.time_to_first_chunk_s <= end.latency_s


async def test_responses_embeddings_and_models() -> None:
    async with async_openai_client(answer=echo) as client:
        response = await client.responses.create(model="offline", input="Hi", instructions="Be kind.")
        near = await client.embeddings.create(model="offline", input=["a red car", "the red car", "blue sky"])
        models = await client.models.list()
    assert response.output_text == "You said: Hi"
    assert response.usage is not None
    assert response.usage.output_tokens > 0
    one, two, other = (entry.embedding for entry in near.data)
    assert sum(x * y for x, y in zip(one, two, strict=True)) > sum(x * y for x, y in zip(one, other, strict=True))
    assert [model.id for model in models.data] == ["offline"]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"model": "gpt-4o", "messages": HELLO}, 404, "model_not_found"),
        ({"model": "offline", "messages": []}, 400, "invalid_request_error"),
        ({"model": "offline", "messages": "hello"}, 400, "invalid_request_error"),
    ],
)
async def test_bad_requests(fields: dict[str, Any], status: int, code: str) -> None:
    async with async_openai_client(answer=echo) as client:
        with pytest.raises(APIStatusError) as caught:
            await client.chat.completions.create(**fields)
    assert (caught.value.status_code, caught.value.code) == (status, code)


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]"])
def test_a_body_that_is_no_request(body: bytes) -> None:
    request = httpx2.Request("POST", "http://offline.invalid/v1/chat/completions", content=body)
    response = OfflineServer(echo).handle_request(request)
    assert response.status_code == 400
    assert json.loads(response.content)["error"]["message"].startswith("The body")


async def test_an_answerer_that_fails_is_a_server_error(recorder: MemoryRecorder) -> None:
    def broken(_: list[dict[str, Any]]) -> str:
        raise ZeroDivisionError("by nothing")

    async with async_openai_client(answer=broken, recorder=recorder, retry=QUICK) as client:
        with pytest.raises(APIStatusError, match="ZeroDivisionError: by nothing"):
            await client.chat.completions.create(model="offline", messages=HELLO)
    assert [end.http_status for end in recorder.ends] == [500, 500]


def test_latency_is_seeded() -> None:
    bodies = [json.dumps({"model": "offline", "n": number}).encode() for number in range(20)]
    first, same, other = (OfflineServer(echo, 0.2, seed) for seed in (1, 1, 2))
    latencies = [first._latency(body) for body in bodies]
    assert latencies == [same._latency(body) for body in bodies]
    assert latencies != [other._latency(body) for body in bodies]
    assert 0.05 < min(latencies) < max(latencies) < 1.0
    with pytest.raises(ValueError, match="latency_s"):
        OfflineServer(echo, -1)


async def test_latency_runs_from_when_the_request_leaves(recorder: MemoryRecorder) -> None:
    async with async_openai_client(answer=echo, latency_s=0.1, recorder=recorder) as client:
        await client.chat.completions.create(model="offline", messages=HELLO)
    with openai_client(answer=echo, latency_s=0.1, recorder=recorder) as client:
        client.chat.completions.create(model="offline", messages=HELLO)
    body = json.dumps({"messages": HELLO, "model": "offline"}, separators=(",", ":")).encode()
    slept = OfflineServer(echo, 0.1)._latency(body)
    assert [end.latency_s >= slept for end in recorder.ends] == [True, True]
