"""The architecture agent: which nodes, in which order, with which branches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dslkit.agents.prompting import render, tagged, tagged_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.conversation import Ask
    from dslkit.agents.requirements import Brief
    from dslkit.knowledge.patterns import Pattern

STAGE = "architecture"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """The graph without its parameters.  ``text`` is the reply itself, which the configuration agent reads."""

    text: str
    nodes: tuple[dict[str, Any], ...] = ()
    edges: tuple[tuple[str, ...], ...] = ()

    @property
    def node_types(self) -> tuple[str, ...]:
        """Types of the nodes, each once."""
        return tuple(dict.fromkeys(str(node["type"]) for node in self.nodes if node.get("type")))


async def outline(ask: Ask, brief: Brief, patterns: Sequence[Pattern] = ()) -> Outline:
    """Ask for the nodes and edges that serve a brief."""
    user = render("architecture_user", brief=brief, rounds=brief.rounds, patterns=patterns)
    reply = await ask(STAGE, render("architecture_system"), user)
    found = tagged_object(reply, "outline")
    nodes, edges = found.get("nodes"), found.get("edges")
    return Outline(
        text=tagged(reply, "outline") or reply.strip(),
        nodes=tuple(node for node in nodes if isinstance(node, dict)) if isinstance(nodes, list) else (),
        edges=tuple(tuple(map(str, edge)) for edge in edges if isinstance(edge, list))
        if isinstance(edges, list)
        else (),
    )
