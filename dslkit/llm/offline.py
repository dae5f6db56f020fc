"""A server without a network, at the seam where a real one would be: it speaks OpenAI's protocol and is no LLM.

It is handed a function from messages to text.  Around it are what a server has: identifiers, token counts, streaming,
errors on bad requests and, on request, latency.  The same request gives the same answer, counts and latency.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import random
import struct
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from dslkit.llm.departure import atell, tell

OFFLINE_MODEL = "offline"
RESPONSE_MODEL = "offline-no-llm"
Answerer = Callable[[list[dict[str, Any]]], str]

_CHARS_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4
_CHARS_PER_CHUNK = 60
_LATENCY_SPREAD = 0.4
_CREATED = 1_767_225_600  # 2026-01-01: an answer must not differ by when it was asked for
_DIMENSIONS = 256
_OK, _BAD, _NOT_FOUND, _BROKEN = 200, 400, 404, 500


class OfflineServer(httpx2.AsyncBaseTransport, httpx2.BaseTransport):
    """An inner transport that answers by ``answer``; latencies are lognormal around ``latency_s`` seconds."""

    def __init__(self, answer: Answerer, latency_s: float = 0.0, seed: int = 0) -> None:
        if not (math.isfinite(latency_s) and latency_s >= 0):
            raise ValueError(f"latency_s must be 0 or more, not {latency_s}")
        self._answer = answer
        self._latency_s = latency_s
        self._seed = seed

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer, after the latency of this request."""
        body = await request.aread()
        await atell(request)
        if self._latency_s:
            await asyncio.sleep(self._latency(body))
        return self._respond(request, body)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer, after the latency of this request."""
        body = request.read()
        tell(request)
        if self._latency_s:
            time.sleep(self._latency(body))
        return self._respond(request, body)

    def _latency(self, body: bytes) -> float:
        chance = random.Random(zlib.crc32(body) ^ self._seed)
        return self._latency_s * math.exp(chance.gauss(0.0, _LATENCY_SPREAD))

    def _respond(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        name = hashlib.blake2b(request.url.path.encode() + body, digest_size=12).hexdigest()
        try:
            reply = self._route(request.method, request.url.path.rstrip("/"), body, name)
        except _BadRequestError as error:
            reply = _Reply(_error_body(str(error), error.code), error.status)
        headers = {"content-type": reply.content_type, "x-request-id": f"req_{name}"}
        if reply.events:
            return httpx2.Response(reply.status, headers=headers, stream=_Events(reply.events))
        return httpx2.Response(reply.status, headers=headers, content=reply.body)

    def _route(self, method: str, path: str, body: bytes, name: str) -> _Reply:
        if method == "GET" and path.endswith("/models"):
            entry = {"id": OFFLINE_MODEL, "object": "model", "created": _CREATED, "owned_by": "dslkit"}
            return _Reply(_dump({"object": "list", "data": [entry]}))
        endpoints = {"/chat/completions": self._chat, "/responses": self._response, "/embeddings": _embeddings}
        endpoint = next((act for end, act in endpoints.items() if path.endswith(end)), None)
        if method != "POST" or endpoint is None:
            raise _BadRequestError(f"Unknown address: {method} {path}", "not_found", _NOT_FOUND)
        return endpoint(_checked(body), name)

    def _chat(self, fields: Mapping[str, Any], name: str) -> _Reply:
        messages = fields.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(entry, dict) for entry in messages):
            raise _BadRequestError("'messages' must be a list of messages", "invalid_request_error")
        allowed = fields.get("max_completion_tokens") or fields.get("max_tokens")
        text, finish = _cut(self._say(messages), allowed)
        head = {"id": f"chatcmpl-{name}", "created": _CREATED, "model": RESPONSE_MODEL}
        usage = _chat_usage(messages, text)
        if fields.get("stream") is True:
            options = fields.get("stream_options") or {}
            chunks = _chunks(head, text, finish, usage if options.get("include_usage") else None)
            return _Reply(content_type="text/event-stream", events=tuple(chunks))
        message = {"role": "assistant", "content": text, "refusal": None}
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": finish}
            for index in range(max(1, int(fields.get("n") or 1)))
        ]
        return _Reply(_dump({**head, "object": "chat.completion", "choices": choices, "usage": usage}))

    def _response(self, fields: Mapping[str, Any], name: str) -> _Reply:
        if fields.get("stream"):
            raise _BadRequestError("The offline server does not stream responses", "unsupported_value")
        text, finish = _cut(self._say(_as_messages(fields)), fields.get("max_output_tokens"))
        content = [{"type": "output_text", "text": text, "annotations": []}]
        message = {
            "type": "message",
            "id": f"msg_{name}",
            "status": "completed",
            "role": "assistant",
            "content": content,
        }
        usage = _response_usage(_as_messages(fields), text)
        status = "completed" if finish == "stop" else "incomplete"
        return _Reply(
            _dump(
                {
                    "id": f"resp_{name}",
                    "object": "response",
                    "created_at": _CREATED,
                    "status": status,
                    "model": RESPONSE_MODEL,
                    "output": [message],
                    "parallel_tool_calls": False,
                    "tool_choice": "none",
                    "tools": [],
                    "usage": usage,
                }
            )
        )

    def _say(self, messages: list[dict[str, Any]]) -> str:
        try:
            return self._answer(messages)
        except Exception as error:
            raise _BadRequestError(f"{type(error).__name__}: {error}", "server_error", _BROKEN) from error


@dataclass(frozen=True, slots=True)
class _Reply:
    body: bytes = b""
    status: int = _OK
    content_type: str = "application/json"
    events: tuple[bytes, ...] = ()


class _Events(httpx2.AsyncByteStream, httpx2.SyncByteStream):
    """Events that arrive one by one."""

    def __init__(self, events: tuple[bytes, ...]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[bytes]:
        yield from self._events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self._events:
            yield event


class _BadRequestError(Exception):
    def __init__(self, message: str, code: str, status: int = _BAD) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def _checked(body: bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        raise _BadRequestError("The body is not JSON", "invalid_request_error") from None
    if not isinstance(fields, dict):
        raise _BadRequestError("The body must be a JSON object", "invalid_request_error")
    model = fields.get("model")
    if model != OFFLINE_MODEL:
        message = f"The model {model!r} does not exist here: this is no LLM, its only model is {OFFLINE_MODEL!r}"
        raise _BadRequestError(message, "model_not_found", _NOT_FOUND)
    return fields


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARS_PER_TOKEN)


def _prompt_tokens(messages: list[dict[str, Any]]) -> int:
    return sum(_TOKENS_PER_MESSAGE + _tokens(_text_of(message.get("content"))) for message in messages)


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def _cut(text: str, allowed: object) -> tuple[str, str]:
    """The text within ``allowed`` tokens, and why it ends."""
    if isinstance(allowed, int) and _tokens(text) > allowed:
        return text[: allowed * _CHARS_PER_TOKEN], "length"
    return text, "stop"


def _chat_usage(messages: list[dict[str, Any]], text: str) -> dict[str, Any]:
    prompt, completion = _prompt_tokens(messages), _tokens(text)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _response_usage(messages: list[dict[str, Any]], text: str) -> dict[str, Any]:
    prompt, completion = _prompt_tokens(messages), _tokens(text)
    return {
        "input_tokens": prompt,
        "output_tokens": completion,
        "total_tokens": prompt + completion,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }


def _chunks(head: Mapping[str, Any], text: str, finish: str, usage: Mapping[str, Any] | None) -> Iterator[bytes]:
    """The events of a streamed completion."""

    def event(choices: list[dict[str, Any]], **more: object) -> bytes:
        return b"data: " + _dump({**head, "object": "chat.completion.chunk", "choices": choices, **more}) + b"\n\n"

    yield event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
    for start in range(0, len(text), _CHARS_PER_CHUNK):
        delta = {"content": text[start : start + _CHARS_PER_CHUNK]}
        yield event([{"index": 0, "delta": delta, "finish_reason": None}])
    yield event([{"index": 0, "delta": {}, "finish_reason": finish}])
    if usage is not None:
        yield event([], usage=usage)
    yield b"data: [DONE]\n\n"


def _as_messages(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The input of a response as chat messages."""
    given = fields.get("input")
    instructions = fields.get("instructions")
    messages: list[dict[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
    if isinstance(given, str) and given:
        return [*messages, {"role": "user", "content": given}]
    if isinstance(given, list) and given and all(isinstance(entry, dict) for entry in given):
        return [*messages, *given]
    raise _BadRequestError("'input' must be text or a list of messages", "invalid_request_error")


def _embeddings(fields: Mapping[str, Any], _: str) -> _Reply:
    """Vectors that are near for texts with the same words: each word is hashed to one of 256 places."""
    given = fields.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise _BadRequestError("'input' must be text or a list of texts", "invalid_request_error")
    as_text = fields.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(_vector(text), as_text=as_text)}
        for index, text in enumerate(texts)
    ]
    tokens = sum(map(_tokens, texts))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _Reply(_dump({"object": "list", "data": data, "model": RESPONSE_MODEL, "usage": usage}))


def _vector(text: str) -> list[float]:
    vector = [0.0] * _DIMENSIONS
    for word in text.lower().split():
        vector[zlib.crc32(word.encode()) % _DIMENSIONS] += 1.0
    length = math.hypot(*vector) or 1.0
    return [value / length for value in vector]


def _encoded(vector: list[float], *, as_text: bool) -> list[float] | str:
    if not as_text:
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _error_body(message: str, code: str) -> bytes:
    return _dump({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}})


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
