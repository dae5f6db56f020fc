"""Whose call it is travels by context: inherited, merged, and gone when its block ends."""

from __future__ import annotations

import asyncio

from dslkit.llm import attributed, current
from dslkit.records import Attribution


def test_nobody_outside_any_block() -> None:
    assert current() == Attribution()


def test_blocks_nest() -> None:
    with attributed(run_id="r1", tags={"team": "a", "x": "1"}, priority="batch"):
        with attributed(item_id="i1", stage="configuration", tags={"x": "2"}) as inner:
            assert current() is inner
            assert inner == Attribution(
                run_id="r1", item_id="i1", stage="configuration", tags={"team": "a", "x": "2"}, priority="batch"
            )
        assert current().item_id is None
    assert current() == Attribution()


def test_tasks_see_their_own() -> None:
    async def item(name: str) -> str | None:
        with attributed(item_id=name):
            await asyncio.sleep(0)
            return current().item_id

    async def both() -> list[str | None]:
        return await asyncio.gather(item("a"), item("b"))

    assert asyncio.run(both()) == ["a", "b"]
