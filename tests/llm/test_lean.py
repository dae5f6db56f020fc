"""The quick way past the SDK's own preparation: the same bytes, headers, answers and errors as by the SDK."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, get_args, get_type_hints, is_typeddict

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, NotGiven, Omit
from openai._utils._transform import PropertyInfo
from openai.types.chat import ChatCompletionMessage
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import BaseModel

from dslkit.llm import lean
from dslkit.llm.client import async_client
from dslkit.llm.gate import Gate
from dslkit.llm.seam import Seam
from dslkit.llm.sharing import MemoryState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = pytest.mark.anyio
HELLO = [{"role": "user", "content": "Grüße, \u4f60\u597d \U0001f600"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
}
CHUNK = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
_DIFFERS = {"content-length", "x-stainless-async", "x-stainless-retry-count"}


class Renamed(TypedDict):
    a: list[Annotated[str, PropertyInfo(alias="b")]]


class Shape(BaseModel):
    answer: str


class Echo(httpx2.AsyncBaseTransport):
    """Keeps what it is sent; answers, streams or fails."""

    def __init__(self, status: int = 200) -> None:
        self.heard: list[httpx2.Request] = []
        self._status = status

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.heard.append(request)
        if self._status != 200:
            return httpx2.Response(self._status, json={"error": {"message": "No.", "code": "bad"}}, request=request)
        if json.loads(request.content).get("stream"):
            deltas = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("H", "i")]
            events = "".join(f"data: {json.dumps({**CHUNK, **delta})}\n\n" for delta in deltas) + "data: [DONE]\n\n"
            kind = {"content-type": "text/event-stream"}
            return httpx2.Response(200, content=events.encode(), headers=kind, request=request)
        return httpx2.Response(200, json=ANSWER, headers={"x-request-id": "req_7"}, request=request)


def ours(echo: Echo, **options: Any) -> AsyncOpenAI:
    seam = Seam(gate_for=lambda *_: Gate(MemoryState(())))
    return async_client(seam, inner=echo, **{"api_key": "sk-a", "base_url": "http://x.invalid/v1", **options})


def theirs(echo: Echo, **options: Any) -> AsyncOpenAI:
    http = httpx2.AsyncClient(transport=echo)
    return AsyncOpenAI(http_client=http, **{"api_key": "sk-a", "base_url": "http://x.invalid/v1", **options})


def as_sent(request: httpx2.Request) -> tuple[str, Any, Mapping[str, str]]:
    headers = {name: value for name, value in request.headers.items() if name not in _DIFFERS}
    return str(request.url), json.loads(request.content), headers


REQUESTS: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": lambda: {"max_tokens": 5, "temperature": 0.5, "stop": ["a", "b"], "seed": None},
    "left out": lambda: {"max_tokens": Omit(), "temperature": NotGiven(), "stream": False},
    "tools": lambda: {"tools": [TOOL], "tool_choice": "auto", "response_format": {"type": "json_object"}},
    "a tuple": lambda: {"stop": ("a", "b"), "metadata": {"a": "b"}},
    "a model": lambda: {"messages": [*HELLO, ChatCompletionMessage(role="assistant", content="Hi")]},
    "an iterator": lambda: {"messages": iter(HELLO)},
    "extra": lambda: {"extra_body": {"top_k": 4}, "extra_headers": {"x-mine": "1"}, "extra_query": {"q": "1"}},
    "a timeout of its own": lambda: {"timeout": 3},
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_what_is_sent_is_what_the_sdk_sends(name: str) -> None:
    def request() -> dict[str, Any]:
        return {"model": "m", "messages": HELLO, **REQUESTS[name]()}

    mine, other = Echo(), Echo()
    async with ours(mine) as client, theirs(other) as sdk:
        answer, expected = (
            await client.chat.completions.create(**request()),
            await sdk.chat.completions.create(**request()),
        )
    assert as_sent(mine.heard[0]) == as_sent(other.heard[0])
    assert answer == expected
    assert answer._request_id == "req_7"


def infos(kind: Any, seen: set[int]) -> Iterator[PropertyInfo]:
    """What the SDK notes of arguments, anywhere inside the types of a completion's arguments."""
    if id(kind) in seen:
        return
    seen.add(id(kind))
    yield from (note for note in getattr(kind, "__metadata__", ()) if isinstance(note, PropertyInfo))
    inner = list(get_args(kind))
    if is_typeddict(kind):
        inner += get_type_hints(kind, include_extras=True).values()
    for part in inner:
        yield from infos(part, seen)


def test_no_argument_has_another_name_or_form_on_the_wire() -> None:
    """The quick way hands arguments on as they are; this holds as long as the SDK has nothing to translate in them."""
    assert list(infos(Renamed, set())), "this would be seen"
    assert not list(infos(CompletionCreateParamsNonStreaming, set()))
    assert not list(infos(CompletionCreateParamsStreaming, set()))


async def test_a_stream_is_the_sdks() -> None:
    async with ours(Echo()) as client:
        stream: Any = await client.chat.completions.create(model="m", messages=HELLO, stream=True)  # type: ignore[call-overload]
        assert isinstance(stream, openai.AsyncStream)
        assert "".join([chunk.choices[0].delta.content async for chunk in stream]) == "Hi"


@pytest.mark.parametrize(("status", "kind"), [(400, openai.BadRequestError), (401, openai.AuthenticationError)])
@pytest.mark.parametrize("stream", [False, True])
async def test_errors_are_the_sdks(status: int, kind: type[openai.APIStatusError], stream: bool) -> None:  # noqa: FBT001
    async with ours(Echo(status)) as client:
        with pytest.raises(kind) as caught:
            await client.chat.completions.create(model="m", messages=HELLO, stream=stream)  # type: ignore[call-overload]
    assert (caught.value.code, caught.value.body) == ("bad", {"message": "No.", "code": "bad"})


@pytest.mark.parametrize("bad", [{"messages": HELLO}, {"model": "m", "messages": HELLO, "temprature": 1}])
async def test_bad_arguments_are_the_sdks_to_judge(bad: dict[str, Any]) -> None:
    async with ours(Echo()) as client:
        with pytest.raises(TypeError, match=r"Missing required|unexpected keyword"):
            await client.chat.completions.create(**bad)
        with pytest.raises(TypeError, match="parse"):
            await client.chat.completions.create(model="m", messages=HELLO, response_format=Shape)  # type: ignore[call-overload]


async def test_a_changed_client_sends_what_it_is_now() -> None:
    echo = Echo()
    async with ours(echo) as client:
        ask: Any = {"model": "m", "messages": HELLO}
        await client.chat.completions.create(**ask)
        client.api_key = "sk-b"
        await client.chat.completions.create(**ask)
        client.base_url = "http://y.invalid/v2"
        await client.chat.completions.create(**ask)
        await client.with_options(timeout=7, default_headers={"x-mine": "1"}).chat.completions.create(**ask)
    assert [request.headers["authorization"] for request in echo.heard] == ["Bearer sk-a"] + ["Bearer sk-b"] * 3
    assert [request.url.host for request in echo.heard] == ["x.invalid", "x.invalid", "y.invalid", "y.invalid"]
    assert (echo.heard[3].extensions["timeout"]["read"], echo.heard[3].headers["x-mine"]) == (7, "1")


async def test_raw_responses_and_keys_that_are_asked_for_each_time() -> None:
    echo, keys = Echo(), iter(["sk-1", "sk-2"])

    async def key() -> str:
        return next(keys)

    ask: Any = {"model": "m", "messages": HELLO}
    async with ours(echo, api_key=key) as client:
        raw = await client.chat.completions.with_raw_response.create(**ask)
        assert (raw.headers["x-request-id"], raw.parse().choices[0].message.content) == ("req_7", "Hi")
        await client.chat.completions.create(**ask)
    assert [request.headers["authorization"] for request in echo.heard] == ["Bearer sk-1", "Bearer sk-2"]


async def test_a_client_that_was_changed_sends_what_it_is_now() -> None:
    mine, other = Echo(), Echo()
    async with ours(mine) as client, theirs(other) as sdk:
        for changed in (client, sdk):
            await changed.chat.completions.create(model="m", messages=HELLO)  # type: ignore[arg-type]
            changed.organization, changed.project = "org-1", "project-1"
            await changed.chat.completions.create(model="m", messages=HELLO)  # type: ignore[arg-type]
    assert mine.heard[1].headers["openai-organization"] == "org-1"
    assert as_sent(mine.heard[1]) == as_sent(other.heard[1])


@pytest.mark.parametrize("missing", [{"_is_gone": set()}, {"_build_request": {"its_new_argument"}}])
async def test_an_sdk_without_the_private_parts_goes_its_own_way(
    missing: dict[str, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean, "_USED", missing)
    monkeypatch.setattr(lean.LeanAsyncOpenAI, "_send", None)  # the quick way would fail
    mine, other = Echo(), Echo()
    async with ours(mine) as client, theirs(other) as sdk:
        for each in (client, sdk):
            answer = await each.chat.completions.create(model="m", messages=HELLO)  # type: ignore[arg-type]
            assert answer.choices[0].message.content == "Hi"
        assert (await lean.post(client, "/chat/completions", {"model": "m", "messages": HELLO})).status_code == 200
    assert as_sent(mine.heard[0]) == as_sent(other.heard[0])
