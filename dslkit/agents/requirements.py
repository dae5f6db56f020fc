"""The requirements agent: what is asked for, over all rounds, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dslkit.agents.prompting import render, strings, tagged, tagged_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.conversation import Ask

STAGE = "requirements"


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What the finished workflow must do.

    ``inputs`` and ``outputs`` are as the model gave them (name, type, description); ``text`` is the reply itself, which
    the next agents read, so that a malformed brief loses nothing.  ``rounds`` is the requirement it was made of.
    """

    text: str
    rounds: tuple[str, ...] = ()
    goal: str = ""
    inputs: tuple[dict[str, Any], ...] = ()
    outputs: tuple[dict[str, Any], ...] = ()
    steps: tuple[str, ...] = ()


async def analyse(ask: Ask, messages: Sequence[str]) -> Brief:
    """Ask for a brief of the requirement: the request and the later rounds that change it."""
    system = render("requirements_system")
    reply = await ask(STAGE, system, render("requirements_user", rounds=messages))
    found = tagged_object(reply, "brief")
    return Brief(
        text=tagged(reply, "brief") or reply.strip(),
        rounds=tuple(messages),
        goal=str(found.get("goal", "")),
        inputs=_entries(found.get("inputs")),
        outputs=_entries(found.get("outputs")),
        steps=strings(found.get("steps", [])),
    )


def _entries(value: object) -> tuple[dict[str, Any], ...]:
    return tuple(entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else ()
