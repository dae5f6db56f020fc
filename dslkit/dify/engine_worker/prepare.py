"""Makes a graph ready for a dry run: bounds its loops, and lifts the forms of older DSL versions, saying so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

LOOP_ROUNDS: Final = 2
ROOT_TYPES: Final = ("start", "trigger-webhook", "trigger-schedule", "trigger-plugin", "datasource")
_ENTRIES: Final[Mapping[str, str]] = {"iteration": "iteration-start", "loop": "loop-start"}
_OWNERS: Final = ("iteration_id", "loop_id")

Node = dict[str, Any]
Notes = list[tuple[str, str]]


def with_kind(document: Mapping[str, Any]) -> tuple[Mapping[str, Any], Notes]:
    """The first versions wrote no ``kind``; importers take such a document for an app, and so does this."""
    if document.get("kind") or not isinstance(document.get("app"), Mapping):
        return document, []
    return {**document, "kind": "app"}, [("", "the document has no kind; taken for an app, as importers do")]


def root_ids(nodes: list[Node]) -> list[str]:
    """The nodes a run may begin at: those of a root type that stand in no container."""
    return [node["id"] for node in nodes if node["data"]["type"] in ROOT_TYPES and not owner(node)]


def owner(node: Mapping[str, Any]) -> str:
    """The container a node stands in, or ''."""
    data = node["data"]
    candidates = (node.get("parentId"), *(data.get(key) for key in _OWNERS))
    return next((value for value in candidates if isinstance(value, str) and value), "")


def prepare(nodes: list[Node], edges: list[dict[str, Any]]) -> Notes:
    """Change nodes and edges in place; the notes say what was in an older form: (node id, what)."""
    notes: Notes = []
    for node in nodes:
        _bound(node["data"])
        notes += [(node["id"], text) for text in _lift(node["data"])]
    notes += list(_add_entries(nodes, edges))
    return notes


def _bound(data: Node) -> None:
    """Few rounds and no retries: a dry run finds nothing new by doing the same again."""
    data["retry_config"] = {"retry_enabled": False}
    rounds = data.get("loop_count")
    if data["type"] == "loop" and isinstance(rounds, int) and rounds > LOOP_ROUNDS:
        data["loop_count"] = LOOP_ROUNDS


def _lift(data: Node) -> Iterator[str]:
    if data["type"] == "tool":
        yield from _lift_tool(data)


def _lift_tool(data: Node) -> Iterator[str]:
    """Exports of older versions keep unset tool settings as null, which the engine's model refuses."""
    settings = data.get("tool_configurations")
    if not isinstance(settings, Mapping):
        return
    unset = [key for key, value in settings.items() if value is None or isinstance(value, list)]
    if unset:
        data["tool_configurations"] = {key: value for key, value in settings.items() if key not in unset}
        yield f"tool_configurations {', '.join(map(str, unset))}: null or list, as older versions wrote them"


def _add_entries(nodes: list[Node], edges: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Before 0.1.3 an iteration began at any of its nodes; now a start node of its own stands before that one."""
    by_id = {node["id"]: node for node in nodes}
    for container in list(nodes):
        data = container["data"]
        first = by_id.get(str(data.get("start_node_id")))
        entry = _ENTRIES.get(data["type"])
        if entry is None or first is None or first["data"]["type"] in _ENTRIES.values():
            continue
        start = f"{container['id']}start"
        if start in by_id:
            continue
        nodes.append({"id": start, "parentId": container["id"], "data": {"type": entry, "title": ""}})
        edges.append({"id": f"{start}-{first['id']}", "source": start, "target": first["id"], "sourceHandle": "source"})
        data["start_node_id"] = start
        yield container["id"], f"begins at {first['id']!r} without an {entry} node, as older versions did"
