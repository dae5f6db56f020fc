"""Opens what a batch works with: client, engine, patterns.  Slow to import: loaded when something has to be asked."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from dslkit.agents import Asker, offline_author
from dslkit.batch.recipe import Tools
from dslkit.connect import async_openai_client
from dslkit.settings import OFFLINE_MODEL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dslkit.batch.answers import ItemAnswers
    from dslkit.batch.recipe import Recipe
    from dslkit.dify.engine import Engine
    from dslkit.knowledge import Knowledge
    from dslkit.settings import Settings


@asynccontextmanager
async def open_tools(
    recipe: Recipe, settings: Settings, engine: Engine | None, answers: ItemAnswers
) -> AsyncIterator[Tools]:
    """The tools for work after ``recipe``, closed at the end.  Raises SettingsError when a real model has no key."""
    if recipe.model == OFFLINE_MODEL:  # its answers are free: none need be kept
        client = async_openai_client(settings=settings, answer=offline_author.answer)
    else:
        client = async_openai_client(settings=settings, cache=answers)
    knowledge = None if recipe.mode == "simple" else _knowledge(settings)
    try:
        yield Tools(ask=Asker(client, recipe.model), answers=answers, engine=engine, knowledge=knowledge)
    finally:
        if knowledge is not None:
            knowledge.close()
        await client.close()


def _knowledge(settings: Settings) -> Knowledge:
    from dslkit.knowledge import Knowledge  # noqa: PLC0415 - loads Chroma: 1.8 s that the mode `simple` need not wait

    return Knowledge(settings.home)
