"""Opens what a batch works with: client, engine, patterns.  Slow to import: loaded when something has to be asked."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from dslkit.agents import Asker, offline_author
from dslkit.batch.recipe import Tools
from dslkit.connect import async_openai_client
from dslkit.knowledge import Knowledge
from dslkit.settings import OFFLINE_MODEL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dslkit.batch.answers import ItemAnswers
    from dslkit.batch.recipe import Recipe
    from dslkit.dify.engine import Engine
    from dslkit.settings import Settings


@asynccontextmanager
async def open_tools(
    recipe: Recipe, settings: Settings, engine: Engine | None, answers: ItemAnswers
) -> AsyncIterator[Tools]:
    """The tools for work after ``recipe``, closed at the end.  Raises SettingsError when a real model has no key."""
    offline = recipe.model == OFFLINE_MODEL
    answer = offline_author.answer if offline else None
    client = async_openai_client(settings=settings, answer=answer, cache=answers)
    knowledge = None if recipe.mode == "simple" else Knowledge(settings.home)
    try:
        yield Tools(ask=Asker(client, recipe.model), answers=answers, engine=engine, knowledge=knowledge)
    finally:
        if knowledge is not None:
            knowledge.close()
        await client.close()
