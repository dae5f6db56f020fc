"""A Dify document back to a plan, so that an existing workflow can be changed by its short form.

What the short form has words for goes into a node's ``param``; every field that compiling ``param`` would not give back
as it was goes into ``dify``.  So compiling the plan again keeps the graph, whatever the document holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dslkit.dify.compile import compile_plan, dependencies_of
from dslkit.dify.graph import Graph, Node, graph_of
from dslkit.dify.node_forms import short_form
from dslkit.dify.nodes import DEFAULT_HANDLE, handles_of, mappings
from dslkit.dify.plan import Plan, PlanEdge, PlanNode, Port
from dslkit.dify.references import copy_data

_SHELL_FIELDS: Final = frozenset(
    {
        "type",
        "title",
        "selected",
        "isInIteration",
        "isInLoop",
        "iteration_id",
        "loop_id",
        "start_node_id",
        "width",
        "height",
    }
)
_SAYS_NOTHING: Final[tuple[Any, ...]] = (None, "", [], {}, False)


def decompile(document: Mapping[str, Any]) -> Plan:
    """The plan of a document with a graph.  Ids stay as they are, so that a change shows as a small difference.

    Raises:
        ValueError: when the document has no readable graph.
    """
    graph = Graph(document)
    if not graph.nodes:
        raise ValueError("The document has no graph to make a plan of. Give a workflow or a chatflow with nodes.")
    workflow = document["workflow"]
    short = Plan(
        nodes_info=[_node(node) for node in graph.nodes.values()],
        edges=[_edge(graph, edge.source, edge.handle, edge.target) for edge in graph.edges],
    )
    given_back = Graph(compile_plan(short, name="")).nodes
    nodes = [
        found.model_copy(update={"dify": _rest(graph.nodes[found.id], given_back.get(found.id), graph)})
        for found in short.nodes_info
    ]
    return Plan(
        nodes_info=nodes,
        edges=short.edges,
        app=_mapping(document.get("app")),
        features=_mapping(workflow.get("features")),
        environment_variables=_listed(workflow.get("environment_variables")),
        conversation_variables=_listed(workflow.get("conversation_variables")),
        dependencies=_own_dependencies(document),
        notes=[copy_data(raw) for raw in mappings(graph_of(document).get("nodes")) if raw.get("type") == "custom-note"],
    )


def _mapping(value: object) -> dict[str, Any]:
    return copy_data(value) if isinstance(value, dict) else {}


def _listed(value: object) -> list[dict[str, Any]]:
    return [copy_data(entry) for entry in mappings(value)]


def _own_dependencies(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The dependencies, unless they are just what compiling finds again."""
    entries = _listed(document.get("dependencies"))
    found = dependencies_of(node.data for node in Graph(document).nodes.values())
    return [] if entries == found else entries


def _edge(graph: Graph, source: str, handle: str, target: str) -> PlanEdge:
    node = graph.nodes.get(source)
    handles = handles_of(node.data) if node else ()
    port: Port = handle
    by_index = handles == (DEFAULT_HANDLE,) or (node is not None and node.type in ("if-else", "question-classifier"))
    if by_index and handle in handles:
        port = handles.index(handle)
    return (source, port, target)


def _node(node: Node) -> PlanNode:
    own = {key: copy_data(value) for key, value in node.data.items() if key not in _SHELL_FIELDS}
    type_, param = short_form(node.type, node.data) or (node.type, own)
    title, position = node.data.get("title"), node.raw.get("position")
    return PlanNode(
        id=node.id,
        type=type_,
        param=param,
        title=title if isinstance(title, str) else None,
        parent=node.parent or None,
        position=_place(position),
    )


def _rest(node: Node, compiled: Node | None, graph: Graph) -> dict[str, Any]:
    """The fields that compiling the short form alone does not give back."""
    rebuilt = compiled.data if compiled else {}
    rest = {
        key: copy_data(value)
        for key, value in node.data.items()
        if key not in _SHELL_FIELDS and not _is_given_back(value, rebuilt.get(key))
    }
    start = graph.nodes.get(str(node.data.get("start_node_id")))
    if start is not None and start.type != f"{node.type}-start":  # older documents start at a plain node
        rest["start_node_id"] = start.id
    return rest


def _is_given_back(value: Any, compiled: Any) -> bool:
    """Whether a compiled value says the same: fields that it adds, or that say nothing, make no difference."""
    if compiled is None:
        return value in _SAYS_NOTHING
    if isinstance(value, Mapping) and isinstance(compiled, Mapping):
        return all(_is_given_back(entry, compiled.get(key)) for key, entry in value.items())
    if isinstance(value, list) and isinstance(compiled, list):
        return len(value) == len(compiled) and all(map(_is_given_back, value, compiled))
    return bool(value == compiled and isinstance(value, bool) == isinstance(compiled, bool))


def _place(position: object) -> tuple[float, float] | None:
    match position:
        case {"x": int() | float() as x, "y": int() | float() as y}:
            return (float(x), float(y))
        case _:
            return None
