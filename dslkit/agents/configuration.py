"""The configuration agent: writes the compact plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from dslkit.agents.prompting import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.architecture import Outline
    from dslkit.agents.conversation import Ask
    from dslkit.agents.requirements import Brief
    from dslkit.knowledge.patterns import Pattern

STAGE = "configuration"

AppMode = Literal["workflow", "advanced-chat"]
Complexity = Literal["simple", "moderate", "complex"]


async def configure(
    ask: Ask,
    messages: Sequence[str],
    patterns: Sequence[Pattern] = (),
    brief: Brief | None = None,
    outline: Outline | None = None,
    *,
    app_mode: AppMode = "workflow",
    complexity: Complexity | None = None,
    current_plan: str | None = None,
) -> str:
    """Ask for the plan; give the whole reply, with the plan's JSON between ``<workflow>`` tags.

    Args:
        ask: sends the prompt.
        messages: the requirement: the request and the later rounds that change it.
        patterns: workflows to learn from.
        brief: what the requirements agent found.
        outline: what the architecture agent drew.
        app_mode: a workflow ends in ``end`` nodes, a chatflow (advanced-chat) in ``answer`` nodes.
        complexity: how elaborate the workflow may be; the model judges when unset.
        current_plan: JSON of an existing workflow that the messages change.
    """
    system = render("configuration_system", app_mode=app_mode)
    user = render(
        "configuration_user",
        rounds=messages,
        patterns=patterns,
        brief=brief,
        outline=outline,
        complexity=complexity,
        current_plan=current_plan,
    )
    return await ask(STAGE, system, user)
