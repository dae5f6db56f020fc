"""The quality agent: rewrites a plan so that nothing the checks and the engine found remains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslkit.agents.prompting import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.configuration import AppMode
    from dslkit.agents.conversation import Ask
    from dslkit.records import Finding

STAGE = "quality"
MAX_FINDINGS = 20  # more than a model can act on at once; the first are the gravest


async def improve(
    ask: Ask, messages: Sequence[str], reply: str, findings: Sequence[Finding], *, app_mode: AppMode = "workflow"
) -> str:
    """Ask for a better reply; ``findings`` go into the prompt, errors first."""
    grave = sorted(findings, key=lambda finding: ("error", "warning", "note").index(finding.severity))
    user = render("quality_user", rounds=messages, reply=reply, findings=grave[:MAX_FINDINGS])
    return await ask(STAGE, render("quality_system", app_mode=app_mode), user)
