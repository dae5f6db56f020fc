"""Layer: references - that they resolve, to something that has run before, gives that output, of a fitting type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dslkit.dify.check.report import named
from dslkit.dify.nodes import ANY, CHAT_ONLY_SYSTEM_VARIABLES, PREFIXES
from dslkit.dify.references import FIELD_PATTERN, ID_PATTERN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dslkit.dify.check.report import Report
    from dslkit.dify.graph import Graph, Node
    from dslkit.dify.references import Use

_SHOWN: Final = 12
_Fault = tuple[str, str, str]  # code, message, remedy


def check_references(report: Report) -> None:
    """Every reference of every node; those of nodes that no run reaches are warnings at most."""
    graph = report.graph
    for id_, uses in graph.uses.items():
        node = graph.nodes[id_]
        say = report.error if id_ in graph.reachable or not graph.roots else report.warning
        for use in uses:
            fault = _fault(graph, node, use)
            if fault:
                say(*fault, node, "/".join(map(str, use.path)))
    _types(report)


def _fault(graph: Graph, node: Node, use: Use) -> _Fault | None:
    refers = f"{named(node)} refers to {use.written or '.'.join(use.selector)}"
    source = graph.nodes.get(use.node)
    if not use.exact or not use.field:
        return _malformed(graph, node, use)
    if use.node in PREFIXES:
        return _prefixed(graph, node, use, refers)
    if source is None:
        return "reference-node", f"{refers}, and there is no node {use.node}.", "Refer to a node that exists."
    return _asked_of(graph, node, use, source, refers)


def _asked_of(graph: Graph, node: Node, use: Use, source: Node, refers: str) -> _Fault | None:
    """What is wrong about asking a node that exists for an output."""
    if source.id == node.id:
        own = f"{named(node)} refers to its own {use.field}."
        allowed = node.type in ("iteration", "loop", "assigner")
        return None if allowed else ("reference-self", own, "Refer to a node before it.")
    if graph.value_type(use.selector) is None:
        names = [name for name in graph.outputs(source.id) if not name.startswith("__")]
        gives = ", ".join(names[:_SHOWN]) or "nothing"
        message = f"{refers}, but {named(source)} gives {gives}."
        return "reference-output", message, f"Refer to one of its outputs: {gives}."
    if source.type == "iteration" and use.field == "output" and source.id in graph.containers_of(node.id):
        remedy = f"Inside, refer to {source.id}.item or to a step before."
        return "reference-not-before", f"{refers}, which is there only after the last pass.", remedy
    return None if _is_own_output(graph, node, use) else _out_of_sight(graph, node, source, refers)


def _malformed(graph: Graph, node: Node, use: Use) -> _Fault:
    if use.node in graph.nodes and use.field and not ID_PATTERN.fullmatch(use.node):
        reason = "node ids in text may hold letters, digits and _ only"
    elif use.field and not all(FIELD_PATTERN.fullmatch(part) for part in use.selector[1:]):
        reason = "names in text may hold letters, digits and _, up to 30, no digit first"
    else:
        reason = "a reference in text is {{#node id.output#}}"
    message = f"Dify will not replace {use.written or '.'.join(use.selector)} in {named(node)}: {reason}."
    return "reference-form", message, "Write {{#node id.output#}} with an existing node and output."


def _prefixed(graph: Graph, node: Node, use: Use, refers: str) -> _Fault | None:
    if graph.value_type(use.selector) is None:
        message = f"{refers}, and there is no such {use.node} variable."
        return "reference-variable", message, f"Declare {use.field} or refer to something that exists."
    if use.node == "sys" and use.field in CHAT_ONLY_SYSTEM_VARIABLES and graph.mode == "workflow":
        message = f"{named(node)} refers to sys.{use.field}, which only chatflows have."
        return "reference-chat-only", message, "Declare a start variable and refer to that."
    return None


def _is_own_output(graph: Graph, node: Node, use: Use) -> bool:
    """Whether a container names, as it must, what a node inside it gives."""
    inside = use.path[:1] == ("output_selector",) or "break_conditions" in use.path
    return inside and node.id in graph.containers_of(use.node)


def _out_of_sight(graph: Graph, node: Node, source: Node, refers: str) -> _Fault | None:
    """What keeps a node from seeing an output that exists: a container's border, the order, or no run at all."""
    around = {node.id, *graph.containers_of(node.id)}
    if source.parent in graph.nodes and source.parent not in around:
        message = f"{refers} inside the container {source.parent}, which it cannot see."
        return "reference-into-container", message, f"Refer to what the container gives: {source.parent}.output."
    if not graph.runs_before(source.id, node.id):
        message = f"{refers}, but no path leads from {named(source)} to it."
        remedy = f"Lead an edge on from {source.id}, or refer to a node before this one."
        return "reference-not-before", message, remedy
    if source.id not in graph.reachable and node.id in graph.reachable:
        return "reference-unreachable", f"{refers}, which no run reaches.", f"Lead an edge to {source.id}."
    return None


def _types(report: Report) -> None:
    """Nodes that can take one type of value only."""
    for node in report.graph.nodes.values():
        if node.type in _DEMANDS:
            _must_be(node, *_DEMANDS[node.type], report)


_DEMANDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "iteration": ("iterator_selector", "array", "iterator-type"),
    "list-operator": ("variable", "array", "list-type"),
    "document-extractor": ("variable_selector", "file", "document-type"),
}
_NEEDS: Final = {
    "array": "a list; turn the text into one first, for instance with a parameter-extractor or code node",
    "file": "a file or a list of files",
}


def _must_be(node: Node, field: str, wanted: str, code: str, report: Report) -> None:
    selector = node.data.get(field)
    if not isinstance(selector, list) or not all(isinstance(part, str) for part in selector):
        return
    found = report.graph.value_type(tuple(selector))
    if found is None or found == ANY:
        return
    fits = found.startswith("array[") if wanted == "array" else found in ("file", "array[file]", "array[any]")
    if not fits:
        say = report.error if node.id in report.graph.reachable else report.warning
        say(code, f"{named(node)} is given a {found}.", f"Give it {_NEEDS[wanted]}.", node, field)
