"""Many completions: lazily pulled, as they finish or in order, errors as values, nothing asked twice."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from openai import APIStatusError

from dslkit.connect import acomplete_many, async_openai_client, complete_many
from dslkit.errors import AccountError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from dslkit.llm.many import Ask
    from dslkit.llm.recorder import MemoryRecorder
    from tests.llm.conftest import FakeServer

pytestmark = pytest.mark.anyio


def request(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "offline", "messages": [{"role": "user", "content": text}], **more}


def echo(messages: list[dict[str, Any]]) -> str:
    return str(messages[-1]["content"])


def asks(count: int) -> Iterator[Ask]:
    return ((number, request(f"q{number}")) for number in range(count))


async def test_all_of_them_by_key(recorder: MemoryRecorder) -> None:
    answers = {done.key: done.text async for done in acomplete_many(asks(100), answer=echo, recorder=recorder)}
    assert answers == {number: f"q{number}" for number in range(100)}
    assert len(recorder.ends) == 100


async def test_in_order_though_latencies_differ(recorder: MemoryRecorder) -> None:
    many = acomplete_many(asks(60), answer=echo, recorder=recorder, in_order=True, at_once=8, latency_s=0.005)
    assert [done.key async for done in many] == list(range(60))


def test_without_awaiting(recorder: MemoryRecorder) -> None:
    many = complete_many(asks(50), answer=echo, recorder=recorder, in_order=True)
    assert [done.text for done in many] == [f"q{number}" for number in range(50)]


async def test_inside_a_running_loop_too(recorder: MemoryRecorder) -> None:
    """As in a notebook, whose cells run inside a loop."""
    assert len(list(complete_many(asks(5), answer=echo, recorder=recorder))) == 5


async def test_an_endless_source_is_pulled_lazily(recorder: MemoryRecorder) -> None:
    pulled = 0

    async def endless() -> AsyncIterator[Ask]:
        nonlocal pulled
        while True:
            pulled += 1
            yield pulled, request(f"q{pulled}")

    many = acomplete_many(endless(), answer=echo, recorder=recorder, at_once=4)
    taken = [await anext(many) for _ in range(10)]
    await many.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert len(taken) == 10
    assert pulled <= 10 + 4 * 5


def test_leaving_early_stops_the_work(recorder: MemoryRecorder) -> None:
    for done in complete_many(asks(100_000), answer=echo, recorder=recorder, at_once=4):
        assert done.error is None
        break
    assert len(recorder.starts) < 200


async def test_errors_are_values(recorder: MemoryRecorder) -> None:
    mixed: list[Ask] = [("good", request("x")), ("bad", request("x", messages=[]))]
    results = {done.key: done async for done in acomplete_many(mixed, answer=echo, recorder=recorder)}
    assert results["good"].error is None
    assert isinstance(results["bad"].error, APIStatusError)
    with pytest.raises(APIStatusError):
        _ = results["bad"].text


async def test_an_account_error_stops_everything(recorder: MemoryRecorder) -> None:
    many = acomplete_many(
        ((number, request("x", model="gpt")) for number in range(10_000)), answer=echo, recorder=recorder, at_once=2
    )
    seen = 0
    with pytest.raises(AccountError, match="does not exist"):  # noqa: PT012 - the iterator raises in the end
        async for done in many:
            seen += 1
            assert done.error is not None
    assert seen < 10


async def test_the_sources_own_failure_surfaces(recorder: MemoryRecorder) -> None:
    def broken() -> Iterator[Ask]:
        yield 1, request("x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async for _ in acomplete_many(broken(), answer=echo, recorder=recorder, at_once=1):
            pass


def test_a_checkpoint_is_not_asked_again(tmp_path: Path, recorder: MemoryRecorder) -> None:
    """Killed after seven answers, with a torn line at the end: the second run asks for the rest alone."""
    path = tmp_path / "sub" / "checkpoint.jsonl"
    first = list(complete_many(asks(7), answer=echo, recorder=recorder, checkpoint=path))
    with path.open("a") as file:
        file.write('{"key": 99, "answ')
    progress: list[tuple[int, int]] = []
    second = list(
        complete_many(
            asks(10),
            answer=echo,
            recorder=recorder,
            checkpoint=path,
            in_order=True,
            on_progress=lambda done, failed: progress.append((done, failed)),
        )
    )
    assert [done.from_checkpoint for done in second] == [True] * 7 + [False] * 3
    assert {done.key: done.text for done in second[:7]} == {done.key: done.text for done in first}
    assert len(recorder.ends) == 10
    assert progress[-1] == (10, 0)
    third = list(complete_many(asks(10), answer=echo, recorder=recorder, checkpoint=path))
    assert all(done.from_checkpoint for done in third)
    assert sum(1 for line in path.read_text().splitlines() if line.startswith("{") and '"answer"' in line) == 10
    assert json.loads(path.read_text().splitlines()[0])["key"] in range(7)


@pytest.mark.shared
async def test_beside_a_plain_client_over_http(server: FakeServer, recorder: MemoryRecorder) -> None:
    server.reset(lat_median=0.01)
    client = async_openai_client(api_key="k", base_url=server.url, recorder=recorder)
    some = ((number, request(f"[rid:{number}]")) for number in range(40))
    async with client:
        done, answer = await asyncio.gather(
            _all(acomplete_many(some, client=client)), client.chat.completions.create(**request("[rid:99]"))
        )
    assert done == set(range(40))
    assert answer.choices
    assert server.stats()["unique_ok"] == 41


async def _all(many: AsyncIterator[Any]) -> set[int]:
    return {done.key async for done in many if done.error is None}
