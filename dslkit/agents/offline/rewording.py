"""Words an existing plan as the first round of a requirement, so that a change of it can be read like any round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_GIVEN: Final = {
    "file": "a document file",
    "array[file]": "a list of document files",
    "number": "the number",
    "boolean": "whether to do so",
}
_MADE: Final = {
    "text2image": "an image",
    "tts": "an audio file",
    "echarts": "a chart",
    "mermaid-converter": "a diagram",
}
_WORKS: Final = frozenset({"llm", "template-transform"})


def as_round(plan: Mapping[str, Any]) -> str:
    """What the plan does, in the words of a requirement; empty for what is no plan."""
    nodes = [
        node for node in plan.get("nodes_info", []) if isinstance(node, dict) and isinstance(node.get("param"), dict)
    ]
    kinds = {str(node.get("id")): _kind(node) for node in nodes}
    given = [_given(entry) for node in nodes for entry in _entries(node, "start", "variables")]
    made = [_made(entry, kinds) for node in nodes for entry in _entries(node, "end", "outputs")]
    steps = [f"Then, {node['title']}." for node in nodes if node.get("type") in _WORKS and node.get("title")]
    said = [
        f"The user will provide {', '.join(given)} as input." if given else "",
        *steps,
        f"The workflow needs to output {', '.join(made)}." if made else "",
    ]
    return " ".join(part for part in said if part)


def _entries(node: Mapping[str, Any], kind: str, field: str) -> list[list[Any]]:
    entries = node["param"].get(field) if node.get("type") == kind else None
    return (
        [entry for entry in entries if isinstance(entry, list) and len(entry) > 1] if isinstance(entries, list) else []
    )


def _given(entry: list[Any]) -> str:
    return f"{_GIVEN.get(str(entry[1]), 'the text')} (variable {entry[0]})"


def _made(entry: list[Any], kinds: Mapping[str, str]) -> str:
    source = str(entry[1][-1]) if isinstance(entry[1], list) and entry[1] else ""
    return f"{kinds.get(source, 'the text')} (variable {entry[0]})"


def _kind(node: Mapping[str, Any]) -> str:
    if node.get("type") == "markdown-exporter":
        return f"the {node['param'].get('target_type', 'md')} file"
    return _MADE.get(str(node.get("type")), "the text")
