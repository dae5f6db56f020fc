"""The SDK's asynchronous client with less to do for each request, and a door before all of that.

What the SDK does alike for every request (address, headers, timeout) is done for the first.  Arguments that are plain
JSON already are not walked through in search of what is not; all else goes the SDK's own way.  This needs private parts
of the SDK: with one that lacks them, everything goes its own way, slower.
"""

from __future__ import annotations

import inspect
import json
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx2
from openai import APIConnectionError, APITimeoutError, AsyncOpenAI, AsyncStream, NotGiven, Omit
from openai.resources.chat.completions import AsyncCompletions
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from dslkit.llm.door import Door, is_inside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openai._models import FinalRequestOptions
    from openai.resources.chat import AsyncChat

_CHAT = "/chat/completions"
_CHUNKS = AsyncStream[ChatCompletionChunk]
_NO_PART_OF_THE_BODY = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}
_BODY = frozenset(inspect.signature(AsyncCompletions.create).parameters) - _NO_PART_OF_THE_BODY
_USED = {
    "_build_request": {"options"},
    "_prepare_options": {"options"},
    "_process_response": {"cast_to", "options", "response", "stream", "stream_cls"},
    "_make_status_error_from_response": {"response"},
}  # methods of the SDK's client that are no promise to anybody, and their arguments
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode  # as the SDK does


class _Common(NamedTuple):
    """What requests to one path have in common, for as long as the client stays as it is."""

    made_for: tuple[object, ...]
    options: FinalRequestOptions
    request: httpx2.Request


class LeanAsyncOpenAI(AsyncOpenAI):
    """A plain AsyncOpenAI to whoever uses it."""

    _common: _Common | None = None

    @property
    def user_agent(self) -> str:
        """Names the SDK's own class."""
        return super().user_agent.replace(type(self).__name__, AsyncOpenAI.__name__, 1)

    @property
    def door(self) -> Door:
        """Of the http client; of one's own when that came from elsewhere."""
        door: Door | None = getattr(self._client, "door", None)
        return door or Door()

    @cached_property
    def chat(self) -> AsyncChat:
        """Chat completions, each of which waits at the door before anything is done for it."""
        chat: AsyncChat = super().chat
        chat.completions.create = self._in_turn(chat.completions.create)  # type: ignore[method-assign]
        return chat

    async def request(self, *args: Any, **options: Any) -> Any:
        """As the SDK does, unless the call waits at the door."""
        if is_inside():
            return await super().request(*args, **options)
        async with self.door.visit():
            return await super().request(*args, **options)

    async def post_lean(self, path: str, body: Mapping[str, Any]) -> httpx2.Response:
        """As ``post``; the answer as it came."""
        common = await self._in_common(path)
        if common is None:
            return await self.post(path, body=body, cast_to=httpx2.Response)
        return await self._send(common, _encode(body).encode())

    def _in_turn(self, create: Any) -> Any:
        door = self.door

        @wraps(create)
        async def create_in_turn(*args: Any, **options: Any) -> Any:
            async with door.visit():
                content = None if args else _plain_json(options)
                common = await self._in_common(_CHAT) if content is not None else None
                if common is None or content is None:
                    return await create(*args, **options)
                return await self._complete(common, content, stream=bool(options.get("stream")))

        return create_in_turn

    async def _complete(self, common: _Common, content: bytes, *, stream: bool) -> Any:
        response = await self._send(common, content, stream=stream)
        return await self._process_response(
            cast_to=ChatCompletion, options=common.options, response=response, stream=stream, stream_cls=_CHUNKS
        )

    async def _in_common(self, path: str) -> _Common | None:
        """Of requests to ``path``; None for clients whose requests differ by more than their body, and unknown SDKs."""
        made_for = (path, self.api_key, self.base_url, self.timeout, self.organization, self.project)
        if self._common is None or self._common.made_for != made_for:
            try:
                self._common = await self._found_common(path, made_for)
            except (ImportError, AttributeError, TypeError):  # an SDK that has these parts no more: its own way
                return None
        return self._common

    async def _found_common(self, path: str, made_for: tuple[object, ...]) -> _Common | None:
        from openai._models import FinalRequestOptions  # noqa: PLC0415 (private: may be gone)

        if not all(_takes(getattr(self, method), names) for method, names in _USED.items()):
            return None
        if self._api_key_provider or self._provider_runtime or self._workload_identity_auth or self.custom_auth:
            return None
        options = FinalRequestOptions.construct(method="post", url=path, json_data={}, security={"bearer_auth": True})
        request = self._build_request(await self._prepare_options(options))
        del request.headers["content-length"]
        return _Common(made_for, options, request)

    async def _send(self, common: _Common, content: bytes, *, stream: bool = False) -> httpx2.Response:
        model = common.request
        request = httpx2.Request("POST", model.url, headers=model.headers, content=content, extensions=model.extensions)
        try:
            response = await self._client.send(request, stream=stream)
        except httpx2.TimeoutException as error:
            raise APITimeoutError(request=request) from error
        except httpx2.RequestError as error:
            raise APIConnectionError(request=request) from error
        if response.is_success:
            return response
        await response.aread()
        raise self._make_status_error_from_response(response)


async def post(client: AsyncOpenAI, path: str, body: Mapping[str, Any]) -> httpx2.Response:
    """Send one request and return the answer as it came; raises the SDK's errors.  Quicker with a client from here."""
    if isinstance(client, LeanAsyncOpenAI):
        return await client.post_lean(path, body)
    return await client.post(path, body=body, cast_to=httpx2.Response)


def _takes(method: Any, names: set[str]) -> bool:
    return names <= set(inspect.signature(method).parameters)


def _plain_json(options: Mapping[str, Any]) -> bytes | None:
    """The body of a chat completion; None when the SDK must look at its arguments."""
    if not ("messages" in options and "model" in options and options.keys() <= _BODY):
        return None
    given = {name: value for name, value in options.items() if not isinstance(value, (Omit, NotGiven))}
    try:
        return _encode(given).encode()
    except (TypeError, ValueError):
        return None
