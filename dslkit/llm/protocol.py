"""Reading OpenAI's protocol: what a request asks for, what a response says it used, how a stream ends.

Everything here takes bytes or decoded JSON and gives plain values; what does not look as expected is unknown, not an
error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dslkit.records import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CHARS_PER_TOKEN = 4  # OpenAI's rule of thumb for English text, also what its limiter charges by
IMAGE_TOKENS = 765  # one 1024 x 1024 image at high detail, by OpenAI's vision guide
_OPERATIONS = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
    "/images/generations": "generate_content",
    "/moderations": "moderation",
    "/audio/speech": "generate_content",
    "/audio/transcriptions": "generate_content",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """What the transport must know of a request.  ``prompt_chars`` counts what a tokenizer would see."""

    operation: str
    model: str
    stream: bool = False
    prompt_chars: int = 0
    max_output_tokens: int | None = None
    service_tier: str | None = None
    usage_asked_for: bool = False

    @property
    def generates(self) -> bool:
        """Whether the answer is text that costs output tokens."""
        return self.operation in {"chat", "text_completion"}

    @property
    def cacheable(self) -> bool:
        """Whether the answer is one JSON document that depends on the request alone."""
        return not self.stream and self.operation in {"chat", "text_completion", "embeddings", "moderation"}


def request_facts(path: str, body: bytes | None) -> RequestFacts | None:
    """Facts of a model call; None for a request that is none (listing models, files, batches)."""
    operation = next((name for end, name in _OPERATIONS.items() if path.endswith(end)), None)
    if operation is None:
        return None
    fields = _decode(body)
    options = fields.get("stream_options")
    return RequestFacts(
        operation=operation,
        model=str(fields.get("model") or "unknown"),
        stream=fields.get("stream") is True,
        prompt_chars=_prompt_chars(fields),
        max_output_tokens=_max_output_tokens(fields),
        service_tier=_text(fields.get("service_tier")),
        usage_asked_for=isinstance(options, dict) and options.get("include_usage") is True,
    )


def asking_for_usage(body: bytes) -> bytes:
    """The same streamed chat request, asking for usage in a last chunk."""
    fields = json.loads(body)
    fields["stream_options"] = {**(fields.get("stream_options") or {}), "include_usage": True}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def _decode(body: bytes | None) -> Mapping[str, Any]:
    """The body as a JSON object; empty when it is none (multipart, binary): the server is to judge that."""
    if not body or body[:1] not in b"{ \n\r\t":
        return {}
    try:
        fields = json.loads(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _prompt_chars(fields: Mapping[str, Any]) -> int:
    total = 0
    for name in ("messages", "input", "prompt", "instructions"):
        total += _chars(fields.get(name))
    tools = fields.get("tools")
    return total + (len(json.dumps(tools)) if tools else 0)


def _chars(value: object) -> int:
    """Characters of text anywhere in ``value``: a string, token ids, or messages with parts."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, int):
        return CHARS_PER_TOKEN
    if isinstance(value, list):
        return sum(map(_chars, value))
    if isinstance(value, dict):
        if "image_url" in value:
            return IMAGE_TOKENS * CHARS_PER_TOKEN
        parts = (value.get(name) for name in ("content", "text", "output", "arguments", "tool_calls", "function"))
        return sum(map(_chars, parts))
    return 0


def _max_output_tokens(fields: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_output_tokens", "max_tokens"):
        value = fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value * max(1, _count(fields.get("n")) or 1)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a response says of itself; the fields of CallEnd that come out of a body."""

    usage: Usage | None = None
    response_model: str | None = None
    response_id: str | None = None
    finish_reason: str | None = None
    service_tier: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    output_chars: int = 0


NOTHING = Answer()  # what a body says that is no JSON object


def read_answer(body: bytes) -> Answer:
    """Facts of a complete JSON response, an answer or an error."""
    fields = _decode(body)
    if not fields:
        return NOTHING
    answer = answer_of(fields)
    return answer if answer.usage is not None else replace(answer, output_chars=_answer_chars(fields))


def _answer_chars(fields: Mapping[str, Any]) -> int:
    """Characters of a complete answer, reasoning and tool arguments included."""
    choices = _dicts(fields.get("choices"))
    said = sum(_chars(choice.get("message")) + _chars(choice.get("text")) for choice in choices)
    return said + _chars(fields.get("output"))


def answer_of(fields: Mapping[str, Any]) -> Answer:
    """Facts of a decoded response, or of one streamed chunk or event."""
    code, message = _error(fields.get("error"))
    return Answer(
        usage=read_usage(fields.get("usage")),
        response_model=_text(fields.get("model")),
        response_id=_text(fields.get("id")),
        finish_reason=_finish_reason(fields),
        service_tier=_text(fields.get("service_tier")),
        error_code=code,
        error_message=message,
    )


def _error(error: object) -> tuple[str | None, str | None]:
    if isinstance(error, dict):
        return _text(error.get("code")) or _text(error.get("type")), _text(error.get("message"))
    return None, _text(error)


def read_usage(usage: object) -> Usage | None:
    """Token counts in the words of chat completions, embeddings or responses."""
    if not isinstance(usage, dict):
        return None
    inputs = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    outputs = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    input_tokens = _count(usage.get("prompt_tokens", usage.get("input_tokens")))
    output_tokens = _count(usage.get("completion_tokens", usage.get("output_tokens")))
    if output_tokens is None and input_tokens is not None and usage.get("total_tokens") == input_tokens:
        output_tokens = 0  # embeddings say only what they read
    if input_tokens is None and output_tokens is None:
        return None
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_input_tokens=_detail(inputs, "cached_tokens"),
        cache_creation_input_tokens=_detail(inputs, "cache_write_tokens"),
        reasoning_output_tokens=_detail(outputs, "reasoning_tokens"),
    )


def _detail(details: object, name: str) -> int | None:
    return _count(details.get(name)) if isinstance(details, dict) else None


def _finish_reason(fields: Mapping[str, Any]) -> str | None:
    choices = fields.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return _text(choices[0].get("finish_reason"))
    return _text(fields.get("status")) if fields.get("object") == "response" else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


class EventStream:
    """Follows server-sent events as their bytes pass by, remembering what the ledger wants to know.

    With ``hide_usage`` the chunk that carries usage (which the transport asked for, not the user) is left out of what
    ``feed`` gives back.  With ``keep`` all that passes is ``content`` in the end.
    """

    def __init__(self, *, hide_usage: bool = False, keep: bool = False) -> None:
        self._kept: list[bytes] | None = [] if keep else None
        self._hide_usage = hide_usage
        self._pending = b""
        self.usage: Usage | None = None
        self.response_model: str | None = None
        self.response_id: str | None = None
        self.finish_reason: str | None = None
        self.error_code: str | None = None
        self.error_message: str | None = None
        self.output_chars = 0
        self.finished = False

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they arrive; give back those to pass on."""
        if self._kept is not None:
            self._kept.append(data)
        self._pending += data.replace(b"\r\n", b"\n") if b"\r\n" in data else data
        *events, self._pending = self._pending.split(b"\n\n")
        kept = [event + b"\n\n" for event in events if self._take(event)]
        return b"".join(kept)

    @property
    def content(self) -> bytes | None:
        """All that has passed, if it was to be kept."""
        return b"".join(self._kept) if self._kept is not None else None

    def rest(self) -> bytes:
        """What is left of an event that was never completed."""
        rest, self._pending = self._pending, b""
        return rest

    def _take(self, event: bytes) -> bool:
        """Read one event; False when it is to be hidden."""
        data = b"\n".join(line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:"))
        if data == b"[DONE]":
            self.finished = True
            return True
        fields = _decode(data)
        if fields:
            self._note(fields.get("response") if isinstance(fields.get("response"), dict) else fields, fields)
        return not (self._hide_usage and fields.get("usage") and not fields.get("choices"))

    def _note(self, body: Any, event: Mapping[str, Any]) -> None:
        answer = answer_of(body)
        self.usage = answer.usage or self.usage
        self.response_model = answer.response_model or self.response_model
        self.response_id = self.response_id or answer.response_id
        self.finish_reason = answer.finish_reason or self.finish_reason
        self.error_code = answer.error_code or self.error_code
        self.error_message = answer.error_message or self.error_message
        self.finished = self.finished or event.get("type") in {"response.completed", "response.incomplete"}
        self.output_chars += _delta_chars(event)


def _delta_chars(event: Mapping[str, Any]) -> int:
    """Characters that one chunk or event adds to the answer, reasoning and tool arguments included."""
    delta = event.get("delta")
    if isinstance(delta, str):
        return len(delta)
    choices = event.get("choices")
    return sum(map(_choice_chars, _dicts(choices)))


def _choice_chars(choice: Mapping[str, Any]) -> int:
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return _chars(choice.get("text"))
    return _chars(delta) + sum(_chars(delta.get(name)) for name in ("reasoning_content", "refusal"))


def _dicts(value: object) -> Iterable[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
