"""How large the requests of an item will be, without sending them: what a forecast goes by."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn

from dslkit.agents import Brief, Outline, analyse, configure, outline

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence
    from pathlib import Path

    from dslkit.batch.recipe import Recipe
    from dslkit.knowledge import Pattern
    from dslkit.records import Requirement

TYPICAL_PATTERNS = 6400  # bytes of those that a prompt shows


class _AskedError(Exception):
    """Carries the prompt out of the agent that was about to send it."""


def first_requests(requirements: Iterable[Requirement], recipe: Recipe, home: Path) -> tuple[int, ...]:
    """Bytes of each requirement's first request as it goes to the server, with the patterns that it shows."""
    if recipe.mode != "rag":
        return tuple(_size(one.messages, recipe) for one in requirements)
    from dslkit.batch.one import PATTERNS_SHOWN  # noqa: PLC0415 - loads openai, which a report does without
    from dslkit.knowledge import Knowledge  # noqa: PLC0415 - loads Chroma, which the other modes do without

    knowledge = Knowledge(home)
    try:
        found = [(one, knowledge.search("\n".join(one.messages), PATTERNS_SHOWN)) for one in requirements]
    finally:
        knowledge.close()
    return tuple(_size(one.messages, recipe, tuple(match.pattern for match in matches)) for one, matches in found)


def frame_of(recipe: Recipe) -> int:
    """Bytes of a first request that asks for nothing and shows no pattern."""
    return _size(("",), recipe)


def later_frames(recipe: Recipe) -> int:
    """Bytes of the requests that follow the first in every item: they ask for nothing and carry no reply.

    The patterns that they show count as `TYPICAL_PATTERNS`, since what would be found is not known here.
    """
    if recipe.mode != "multi_agent":
        return 0
    brief = Brief(text="", rounds=("",))
    drawn = configure(
        _refuse, ("",), (), brief, Outline(text=""), app_mode=recipe.app_mode, complexity=recipe.complexity
    )
    return sum(_bytes(asking, recipe) + TYPICAL_PATTERNS for asking in (outline(_refuse, brief), drawn))


def _size(messages: Sequence[str], recipe: Recipe, patterns: Sequence[Pattern] = ()) -> int:
    asking: Coroutine[None, None, object]
    if recipe.mode == "multi_agent":
        asking = analyse(_refuse, messages)
    else:
        asking = configure(_refuse, messages, patterns, app_mode=recipe.app_mode, complexity=recipe.complexity)
    return _bytes(asking, recipe)


def _bytes(asking: Coroutine[None, None, object], recipe: Recipe) -> int:
    """Of the request that an agent is about to send."""
    try:
        asking.send(None)  # an agent awaits nothing before it asks
    except _AskedError as asked:
        return len(json.dumps(asked.args[0], ensure_ascii=False, separators=(",", ":")).encode()) + len(recipe.model)
    raise AssertionError("an item begins with a request")


async def _refuse(stage: str, system: str, user: str) -> NoReturn:  # noqa: ARG001 - the signature of Ask
    raise _AskedError(
        {"messages": [{"role": "system", "content": system}, {"role": "user", "content": user}], "model": ""}
    )
