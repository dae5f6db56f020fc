"""What the offline model answers: a plan made from the patterns and the requirement's own words.  It is no LLM.

It sees the messages of a chat and nothing else, knows the package's own prompts by their sections, and is
deterministic.  To a prompt that it does not know it answers what it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from dslkit.agents.offline.pipeline import AppMode, write_plan
from dslkit.agents.offline.reading import read
from dslkit.agents.offline.rewording import as_round
from dslkit.agents.prompting import tagged_object
from dslkit.knowledge.patterns import Pattern, shipped_patterns

if TYPE_CHECKING:
    from dslkit.agents.offline.state import Reading

HONEST = (
    "I am dslkit's offline stand-in, no language model: I only write Dify workflows, and only when asked with dslkit's"
    " own prompts. Set OPENAI_API_KEY and choose a model to get an answer to anything else."
)
_ROUND = re.compile(r"<round n=\"\d+\">\n(.*?)\n</round>", re.DOTALL)
_PATTERN_ID = re.compile(r"<pattern id=\"([a-z0-9-]+)\">")


def answer(messages: Sequence[Mapping[str, Any]]) -> str:
    """The reply to a chat, for any of the agents' prompts."""
    system, user = _said(messages, "system"), _said(messages, "user")
    rounds = [_unfenced(text) for text in _ROUND.findall(user)]
    current = as_round(tagged_object(user, "current_plan")) if "<current_plan>" in user else ""
    if not any(text.strip() for text in rounds):
        return HONEST
    rounds = [current, *rounds] if current else rounds
    if "<brief>" in system and "<workflow>" not in system:
        return _brief(read(rounds))
    plan = write_plan(rounds, _shown_patterns(user), _app_mode(system))
    if "<outline>" in system and "<workflow>" not in system:
        return _outline(plan)
    return _workflow(plan)


def _said(messages: Sequence[Mapping[str, Any]], role: str) -> str:
    """All that a role said; content may be text or a list of parts."""
    texts: list[str] = []
    for message in messages:
        content = message.get("content")
        if message.get("role") in ({"system", "developer"} if role == "system" else {role}):
            parts = content if isinstance(content, list) else [{"text": content}]
            texts.extend(str(part.get("text") or "") for part in parts if isinstance(part, Mapping))
    return "\n".join(texts)


def _unfenced(text: str) -> str:
    return text.replace("‹", "<")


def _app_mode(system: str) -> AppMode:
    return "advanced-chat" if "mode advanced-chat" in system else "workflow"


def _shown_patterns(user: str) -> tuple[Pattern, ...]:
    """The shipped patterns that the prompt shows; those of the user are not known beyond it."""
    known = _by_id()
    return tuple(known[shown] for shown in _PATTERN_ID.findall(user) if shown in known)


@cache
def _by_id() -> dict[str, Pattern]:
    return {pattern.id: pattern for pattern in shipped_patterns()}


def _brief(reading: Reading) -> str:
    cases = [part.case for part in reading.parts if part.case]
    brief = {
        "goal": reading.parts[0].text.split(". ")[0][:200],
        "inputs": [{"name": i.name, "type": i.kind, "description": i.description} for i in reading.inputs],
        "outputs": [
            {"name": o.name, "kind": o.kind, "description": o.description, "when": part.case or "always"}
            for part in reading.parts
            for o in part.outputs
            if o.wanted
        ],
        "steps": [part.text for part in reading.parts],
        "branches": [{"on": "the request", "cases": cases, "merge": True}] if cases else [],
        "limits": [],
    }
    return f"<brief>\n{json.dumps(brief, ensure_ascii=False)}\n</brief>"


def _outline(plan: dict[str, Any]) -> str:
    nodes = [{"id": node["id"], "type": node["type"], "purpose": node["title"]} for node in plan["nodes_info"]]
    outline = {"nodes": nodes, "edges": plan["edges"]}
    return f"<outline>\n{json.dumps(outline, ensure_ascii=False)}\n</outline>"


def _workflow(plan: dict[str, Any]) -> str:
    types = dict.fromkeys(node["type"] for node in plan["nodes_info"])
    return (
        f"<node_selection>{', '.join(types)}</node_selection>\n"
        "<design_principle>Made by dslkit's offline stand-in, which is no language model, from its patterns and the"
        " words of the requirement.</design_principle>\n"
        f"<workflow>\n{_json(plan)}\n</workflow>"
    )


def _json(plan: dict[str, Any]) -> str:
    """One node a line, one line for all edges; a tag that the requirement spells cannot end the reply's own."""
    nodes = ",\n".join(json.dumps(node, ensure_ascii=False) for node in plan["nodes_info"])
    nodes = re.sub(r"<(?=/?workflow\b)", r"\\u003c", nodes, flags=re.IGNORECASE)
    return f'{{"nodes_info": [\n{nodes}],\n"edges": {json.dumps(plan["edges"])}}}'
