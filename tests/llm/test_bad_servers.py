"""Servers that misbehave: a clear error or a good answer, every attempt booked, never a hang."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from dslkit.connect import async_openai_client
from dslkit.llm import account_error
from dslkit.llm.limits import UNLIMITED, Limits
from dslkit.llm.retry import RetryPolicy
from dslkit.records import Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from dslkit.llm.recorder import MemoryRecorder
    from tests.llm.conftest import CannedServer

    Start = Callable[..., Awaitable[CannedServer]]

pytestmark = pytest.mark.anyio
QUICK = RetryPolicy(failures=2, backoff_s=0.001, max_backoff_s=0.001, patience_s=0.2)
HELLO: Any = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}], "max_tokens": 5}
ANSWER = json.dumps(
    {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    }
)


def http(status: str, body: str, *headers: str, kind: str = "application/json", length: int | None = None) -> bytes:
    size = len(body.encode()) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {size}", "connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def client_of(server: CannedServer, recorder: MemoryRecorder, **more: Any) -> openai.AsyncOpenAI:
    options: Any = {"limits": UNLIMITED, "retry": QUICK, **more}
    return async_openai_client(api_key="sk-x", base_url=server.url, recorder=recorder, **options)


async def test_an_answer_without_usage_is_booked_as_an_estimate(canned: Start, recorder: MemoryRecorder) -> None:
    server = await canned(http("200 OK", ANSWER))
    async with client_of(server, recorder) as client:
        answer = await client.chat.completions.create(**HELLO)
    assert answer.choices[0].message.content == "Hi"
    usage = recorder.ends[0].usage
    assert usage is not None
    assert (usage.source, usage.input_tokens, usage.output_tokens) == ("estimated", 2, 1)


async def test_html_instead_of_json(canned: Start, recorder: MemoryRecorder) -> None:
    server = await canned(http("502 Bad Gateway", "<html>Bad gateway</html>", kind="text/html"))
    async with client_of(server, recorder) as client:
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(**HELLO)
    assert [(end.http_status, end.error_type, end.usage) for end in recorder.ends] == [(502, "502", None)] * 2


async def test_a_body_cut_short_is_tried_again(canned: Start, recorder: MemoryRecorder) -> None:
    server = await canned(http("200 OK", ANSWER[:50], length=5000))
    async with client_of(server, recorder) as client:
        with pytest.raises(openai.APIConnectionError):
            await client.chat.completions.create(**HELLO)
    assert server.heard == len(recorder.ends) == 2
    assert {(end.outcome, end.http_status) for end in recorder.ends} == {("error", 200)}


@pytest.mark.parametrize(
    "header",
    ["x-ratelimit-limit-requests: banana", "x-ratelimit-limit-requests: -3", "x-ratelimit-reset-requests: 1y"],
)
async def test_absurd_headers_are_ignored(canned: Start, recorder: MemoryRecorder, header: str) -> None:
    server = await canned(http("200 OK", ANSWER, header, "x-ratelimit-remaining-requests: lots"))
    limits = Limits(requests=100, max_wait_s=1)
    async with client_of(server, recorder, limits=limits) as client:
        for _ in range(3):
            await client.chat.completions.create(**HELLO)
    assert len(recorder.ends) == 3


async def test_an_absurd_retry_after_does_not_hang(canned: Start, recorder: MemoryRecorder) -> None:
    body = json.dumps({"error": {"message": "slow down", "code": "rate_limit_exceeded"}})
    server = await canned(http("429 Too Many Requests", body, "retry-after: 31536000"))
    async with client_of(server, recorder) as client:
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(**HELLO)
    assert recorder.ends[-1].http_status == 429


async def test_a_wait_beyond_patience_is_handed_to_the_caller(canned: Start, recorder: MemoryRecorder) -> None:
    server = await canned(http("429 Too Many Requests", "{}", "retry-after: 3600"))
    async with client_of(server, recorder) as client:
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(**HELLO)
    assert server.heard == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("401 Unauthorized", "invalid_api_key"),
        ("403 Forbidden", "unsupported_country"),
        ("404 Not Found", "model_not_found"),
        ("429 Too Many Requests", "insufficient_quota"),
    ],
)
async def test_what_no_retry_cures(canned: Start, recorder: MemoryRecorder, status: str, code: str) -> None:
    body = json.dumps({"error": {"message": "no", "code": code}})
    server = await canned(http(status, body))
    async with client_of(server, recorder) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(**HELLO)
    assert server.heard == 1
    found = account_error(caught.value)
    assert found is not None
    assert found.code == code
    assert recorder.ends[0].error_type == code


async def test_nobody_is_there(recorder: MemoryRecorder, canned: Start) -> None:
    """A refused connection was never sent: its weight is free at once."""
    server = await canned(b"")
    url = server.url.rsplit(":", 1)[0] + ":9/v1"
    limits = Limits(requests=2, max_wait_s=1, shared=False)
    client = async_openai_client(api_key="k", base_url=url, recorder=recorder, limits=limits, retry=QUICK)
    async with client:
        for _ in range(3):
            with pytest.raises(openai.APIConnectionError) as caught:
                await client.chat.completions.create(**HELLO)
            assert not isinstance(caught.value, openai.APITimeoutError)
    assert len(recorder.ends) == 6
    assert {end.http_status for end in recorder.ends} == {None}
    assert {end.error_type for end in recorder.ends} == {"ConnectError"}
    assert {end.usage for end in recorder.ends} == {Usage(input_tokens=0, output_tokens=0)}, "it cost nothing, surely"


async def test_a_connection_lost_is_no_timeout(canned: Start, recorder: MemoryRecorder) -> None:
    """Whether the server worked on the request nobody knows, so neither is its usage; it is tried again."""
    server = await canned(b"")
    async with client_of(server, recorder) as client:
        with pytest.raises(openai.APIConnectionError, match="Connection error"):
            await client.chat.completions.create(**HELLO)
    assert server.heard == QUICK.failures
    assert [(end.error_type, end.usage) for end in recorder.ends] == [("RemoteProtocolError", None)] * QUICK.failures


async def test_a_timeout_is_one(canned: Start, recorder: MemoryRecorder) -> None:
    server = await canned(http("200 OK", ANSWER[:20], length=5000).replace(b"connection: close\r\n", b""), close=False)
    async with client_of(server, recorder, timeout=0.05) as client:
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(**HELLO)
    assert [end.error_type for end in recorder.ends] == ["ReadTimeout"] * QUICK.failures


@pytest.mark.parametrize(
    "said",
    [
        b"\x00garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nno\r\n",
    ],
    ids=["no HTTP", "no chunk"],
)
async def test_what_is_no_http_is_an_error_of_the_sdk(canned: Start, recorder: MemoryRecorder, said: bytes) -> None:
    server = await canned(said)
    async with client_of(server, recorder) as client:
        with pytest.raises(openai.APIConnectionError):
            await client.chat.completions.create(**HELLO)
    assert [end.error_type for end in recorder.ends] == ["RemoteProtocolError"] * QUICK.failures


@pytest.mark.parametrize(
    ("body", "kind"),
    [("<html>Sign in</html>", "text/html"), ('{"error": {"message": "Overloaded"}}', "application/json")],
)
async def test_what_only_looks_like_an_answer_is_not_kept(
    body: str, kind: str, canned: Start, recorder: MemoryRecorder
) -> None:
    server = await canned(http("200 OK", body, kind=kind))
    async with client_of(server, recorder, cache=True) as client:
        for asked in (1, 2):
            await client.chat.completions.with_raw_response.create(**HELLO)
            assert server.heard == asked
