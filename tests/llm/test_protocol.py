"""Requests and responses of OpenAI's protocol, read into the ledger's words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dslkit.llm.protocol import (
    EventStream,
    RequestFacts,
    asking_for_usage,
    read_answer,
    read_usage,
    request_facts,
)
from dslkit.records import Usage


def facts(path: str, **fields: Any) -> RequestFacts:
    found = request_facts(path, json.dumps(fields).encode())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/chat/completions", "chat"),
        ("/openai/deployments/x/chat/completions", "chat"),
        ("/v1/completions", "text_completion"),
        ("/v1/responses", "chat"),
        ("/v1/embeddings", "embeddings"),
    ],
)
def test_operations(path: str, operation: str) -> None:
    assert facts(path, model="m").operation == operation


@pytest.mark.parametrize("path", ["/v1/models", "/v1/files", "/v1/batches", "/v1/responses/resp_1/cancel"])
def test_what_is_no_model_call(path: str) -> None:
    assert request_facts(path, b"{}") is None


@pytest.mark.parametrize(
    ("fields", "chars"),
    [
        ({"messages": [{"role": "user", "content": "12345678"}]}, 8),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "1234"}]}]}, 4),
        ({"messages": [{"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": "123"}}]}]}, 3),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, 765 * 4),
        ({"input": "123", "instructions": "45"}, 5),
        ({"input": ["12", "34"]}, 4),
        ({"input": [1, 2, 3]}, 12),
        ({"prompt": "12"}, 2),
        ({"messages": "odd"}, 3),
        ({}, 0),
    ],
)
def test_prompt_characters(fields: dict[str, Any], chars: int) -> None:
    assert facts("/v1/chat/completions", model="m", **fields).prompt_chars == chars


def test_limits_of_the_answer() -> None:
    assert facts("/chat/completions", max_tokens=5).max_output_tokens == 5
    assert facts("/chat/completions", max_completion_tokens=7, max_tokens=5, n=2).max_output_tokens == 14
    assert facts("/responses", max_output_tokens=9).max_output_tokens == 9
    assert facts("/chat/completions", max_tokens="many").max_output_tokens is None


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b'{"model": 3', b"\xff\xfe{", b"--boundary\r\n"])
def test_bodies_that_are_no_object_are_left_to_the_server(body: bytes) -> None:
    found = request_facts("/v1/chat/completions", body)
    assert found is not None
    assert (found.model, found.prompt_chars) == ("unknown", 0)


def test_asking_for_usage_keeps_the_rest() -> None:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "é"}], "stream_options": {"x": 1}}
    asked = json.loads(asking_for_usage(json.dumps(body).encode()))
    assert asked == {**body, "stream_options": {"x": 1, "include_usage": True}}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(
                input_tokens=10,
                output_tokens=5,
                cache_read_input_tokens=4,
                cache_creation_input_tokens=2,
                reasoning_output_tokens=3,
            ),
        ),
        (
            {"input_tokens": 1, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 0}},
            Usage(input_tokens=1, output_tokens=2, cache_read_input_tokens=0),
        ),
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(input_tokens=8, output_tokens=0)),
        ({"prompt_tokens": "8"}, None),
        ({"prompt_tokens": -1, "completion_tokens": True}, None),
        (None, None),
        ("much", None),
    ],
)
def test_usage(usage: object, expected: Usage | None) -> None:
    assert read_usage(usage) == expected


def test_an_error_body() -> None:
    answer = read_answer(b'{"error": {"message": "no", "type": "requests", "code": "rate_limit_exceeded"}}')
    assert (answer.error_code, answer.error_message, answer.usage) == ("rate_limit_exceeded", "no", None)
    assert read_answer(b"<html>Bad gateway</html>").error_code is None


def chunk(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


CHUNKS = [
    chunk(id="c1", model="m-1", choices=[{"index": 0, "delta": {"role": "assistant", "content": "Hel"}}]),
    chunk(id="c1", model="m-1", choices=[{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]),
    chunk(id="c1", model="m-1", choices=[], usage={"prompt_tokens": 3, "completion_tokens": 2}),
    b"data: [DONE]\n\n",
]


@given(st.lists(st.integers(1, 300), max_size=8), st.booleans())
def test_events_may_be_cut_anywhere(cuts: list[int], hide: bool) -> None:  # noqa: FBT001 - hypothesis passes it
    """However the bytes are cut, the same is learned, and all is handed on but the chunk that was to be hidden."""
    whole, events, handed_on = b"".join(CHUNKS), EventStream(hide_usage=hide), b""
    at = 0
    for cut in [*cuts, len(whole)]:
        handed_on += events.feed(whole[at : at + cut])
        at += cut
    assert handed_on + events.rest() == b"".join(CHUNKS[:2] + ([] if hide else CHUNKS[2:3]) + CHUNKS[3:])
    assert events.usage == Usage(input_tokens=3, output_tokens=2)
    assert (events.response_id, events.response_model, events.finish_reason) == ("c1", "m-1", "stop")
    assert (events.output_chars, events.finished) == (5, True)


def test_events_of_the_responses_api() -> None:
    events = EventStream()
    events.feed(b"event: response.output_text.delta\n" + chunk(type="response.output_text.delta", delta="Hello"))
    assert (events.output_chars, events.finished) == (5, False)
    done = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "usage": {"input_tokens": 1}}
    events.feed(chunk(type="response.completed", response=done))
    assert (events.finished, events.response_id, events.finish_reason) == (True, "resp_1", "completed")
    assert events.usage == Usage(input_tokens=1)
