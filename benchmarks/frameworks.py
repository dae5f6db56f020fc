"""Libraries on top of the openai SDK, unchanged, on dslkit's clients: each call throttled and recorded.

    pip install instructor "pydantic-ai-slim[openai]" langchain-openai
    python benchmarks/frameworks.py

Needs no key and no network: the offline server answers.  Each library makes twelve calls against a limit of ten a
second; all twelve must be recorded, and two of them must have waited.  Prints one line a library.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

import dslkit
from dslkit.llm.limits import Limits
from dslkit.llm.recorder import MemoryRecorder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CALLS, LIMIT = 12, 10
URL = "http://offline.invalid/v1"


class City(BaseModel):
    name: str


def answer(_: list[dict[str, Any]]) -> str:
    return '{"name": "Paris"}'


def wiring(recorder: MemoryRecorder) -> dict[str, Any]:
    return {"answer": answer, "recorder": recorder, "limits": Limits(requests=LIMIT, window_s=1.0, shared=False)}


def with_instructor(recorder: MemoryRecorder) -> Callable[[], Awaitable[str]]:
    import instructor

    client = instructor.from_openai(dslkit.async_openai_client(**wiring(recorder)), mode=instructor.Mode.JSON)
    messages: Any = [{"role": "user", "content": "Which city?"}]

    async def call() -> str:
        city = await client.chat.completions.create(model="offline", messages=messages, response_model=City)
        return city.name

    return call


def with_pydantic_ai(recorder: MemoryRecorder) -> Callable[[], Awaitable[str]]:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(openai_client=dslkit.async_openai_client(**wiring(recorder)))
    agent = Agent(OpenAIChatModel("offline", provider=provider))

    async def call() -> str:
        return City.model_validate_json((await agent.run("Which city?")).output).name

    return call


def with_langchain(recorder: MemoryRecorder) -> Callable[[], Awaitable[str]]:
    from langchain_openai import ChatOpenAI

    http = dslkit.async_http_client(**wiring(recorder))
    model = ChatOpenAI(model="offline", api_key="offline", base_url=URL, http_async_client=http, max_retries=0)  # type: ignore[arg-type]

    async def call() -> str:
        return City.model_validate_json(str((await model.ainvoke("Which city?")).content)).name

    return call


async def show(name: str, connect: Callable[[MemoryRecorder], Callable[[], Awaitable[str]]]) -> bool:
    recorder = MemoryRecorder()
    call = connect(recorder)
    names = await asyncio.gather(*[call() for _ in range(CALLS)])
    waited = sum(start.throttle_wait_s > 0.5 for start in recorder.starts)
    used = sum(end.usage is not None and end.usage.source == "reported" for end in recorder.ends)
    good = names == ["Paris"] * CALLS and len(recorder.ends) == used == CALLS and waited == CALLS - LIMIT
    print(
        f"{name}: {len(recorder.ends)} calls recorded, {used} with usage, {waited} waited: {'good' if good else 'BAD'}"
    )
    return good


async def main() -> int:
    shown = [
        await show("instructor", with_instructor),
        await show("pydantic-ai", with_pydantic_ai),
        await show("LangChain ChatOpenAI", with_langchain),
    ]
    return 0 if all(shown) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
