"""Words an existing plan as the first round of a requirement, so that a change of it can be read like any round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_GIVEN: Final = {
    "file": "a document file", "array[file]": "a list of document files", "number": "the number",
    "boolean": "whether to do so",
}  # fmt: skip
_MADE: Final = {
    "text2image": "an image", "tts": "an audio file", "echarts": "a chart", "mermaid-converter": "a diagram",
}  # fmt: skip
_WORKS: Final = frozenset({"llm", "template-transform"})


def as_round(plan: Mapping[str, Any]) -> str:
    """What the plan does, in the words of a requirement; empty for what is no plan."""
    nodes = [node for node in plan.get("nodes_info", []) if isinstance(node, dict)]
    nodes = [node for node in nodes if isinstance(node.get("param"), dict)]
    kinds = {str(node.get("id")): _kind(node) for node in nodes}
    given = [
        f"{_GIVEN.get(str(what), 'the text')} (variable {name})" for name, what in _pairs(nodes, "start", "variables")
    ]
    made = [
        f"{kinds.get(str(what[-1]) if isinstance(what, list) and what else '', 'the text')} (variable {name})"
        for name, what in _pairs(nodes, "end", "outputs")
    ]
    said = [f"The user will provide {', '.join(given)} as input."] if given else []
    said += [f"Then, {node['title']}." for node in nodes if node.get("type") in _WORKS and node.get("title")]
    said += [f"The workflow needs to output {', '.join(made)}."] if made else []
    return " ".join(said)


def _pairs(nodes: list[dict[str, Any]], kind: str, field: str) -> Iterator[tuple[Any, Any]]:
    for node in nodes:
        entries = node["param"].get(field) if node.get("type") == kind else None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, list) and len(entry) > 1:
                yield entry[0], entry[1]


def _kind(node: Mapping[str, Any]) -> str:
    if node.get("type") == "markdown-exporter":
        return f"the {node['param'].get('target_type', 'md')} file"
    return _MADE.get(str(node.get("type")), "the text")
