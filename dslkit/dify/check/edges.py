"""Layer: edges, their handles, and the borders of containers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dslkit.dify.check.report import named
from dslkit.dify.nodes import DEFAULT_HANDLE, FAIL_HANDLE, handles_of, is_one_of, node_kind
from dslkit.dify.references import as_selector

if TYPE_CHECKING:
    from dslkit.dify.check.report import Report
    from dslkit.dify.graph import Edge, Node

_OLD_SUCCESS: str = "success-branch"
_SHOWN_IN_CYCLE = 8


def check_edges(report: Report) -> None:
    """Every edge: its shape, ends, handle and id; then cycles."""
    graph = report.graph
    for index, raw in enumerate(graph.raw_edges):
        if not isinstance(raw, Mapping) or not all(isinstance(raw.get(end), str) for end in ("source", "target")):
            message, where = f"Edge {index} has no source and target.", f"workflow/graph/edges/{index}"
            report.error("edge-shape", message, "Write both as node ids.", path=where)
    for edge in graph.edges:
        _ends(edge, report)
    _ids(report)
    _repeated(report)
    _cycle(report)
    _open_branches(report)


def _where(edge: Edge) -> str:
    return f"workflow/graph/edges/{edge.index}"


def _ends(edge: Edge, report: Report) -> None:
    nodes = report.graph.nodes
    absent = [id_ for id_ in (edge.source, edge.target) if id_ not in nodes]
    for id_ in absent:
        other = edge.target if id_ == edge.source else edge.source
        message = f"The edge {edge.source} -> {edge.target} names {id_}, and there is no such node."
        remedy = "Lead the edge to a node that exists, or add the node."
        report.error("edge-to-nowhere", message, remedy, other if other in nodes else None, _where(edge))
    if absent:
        return
    source, target = nodes[edge.source], nodes[edge.target]
    if source.parent != target.parent:
        _border(edge, source, target, report)
    _handle(edge, source, report)
    target_kind = node_kind(target.type)
    if target_kind and (target_kind.root or target_kind.child_entry):
        message = f"An edge leads into {named(target)}, where a run begins."
        report.warning("edge-into-start", message, "Remove it.", target, _where(edge))


def _border(edge: Edge, source: Node, target: Node, report: Report) -> None:
    inner = source if source.parent else target
    crosses = f"crosses the border of container {source.parent or target.parent}"
    message = f"The edge {edge.source} -> {edge.target} {crosses}."
    remedy = "Connect nodes inside with nodes inside; the container itself leads on to what follows."
    report.error("edge-across-border", message, remedy, inner, _where(edge))


def _handle(edge: Edge, source: Node, report: Report) -> None:
    kind = node_kind(source.type)
    if kind is None:
        return
    handles = handles_of(source.data)
    raw_handle = edge.raw.get("sourceHandle")
    if raw_handle is not None and not isinstance(raw_handle, str):
        report.error(
            "edge-shape", f"sourceHandle is {raw_handle!r}, not text.", "Put it in quotes.", source, _where(edge)
        )
    elif not handles:
        report.error(
            "edge-from-end", f"An edge leaves {named(source)}, where a run ends.", "Remove it.", source, _where(edge)
        )
    elif edge.handle not in handles and not (edge.handle == _OLD_SUCCESS and FAIL_HANDLE in handles):
        usable = ", ".join(handles)
        message = f"{named(source)} has no output {edge.handle!r} (to {edge.target}); it has {usable}."
        straight = handles == (DEFAULT_HANDLE,)
        remedy = "This node does not branch: use port 0." if straight else f"Use one of: {usable}."
        report.error("edge-handle", message, remedy, source, _where(edge))


def _ids(report: Report) -> None:
    seen: set[tuple[str, str]] = set()
    for edge in report.graph.edges:
        if "id" not in edge.raw:
            continue
        id_ = edge.raw["id"]
        if not isinstance(id_, str) or not id_:
            report.error(
                "edge-id", f"The id of an edge is {id_!r}.", "Give it a text as id.", edge.source, _where(edge)
            )
            continue
        source = report.graph.nodes.get(edge.source)
        scope = (source.parent if source else "", id_)
        if scope in seen:
            report.error(
                "edge-id-twice", f"Two edges have the id {id_}.", "Give each its own.", edge.source, _where(edge)
            )
        seen.add(scope)


def _repeated(report: Report) -> None:
    seen: set[tuple[str, str, str]] = set()
    for edge in report.graph.edges:
        ends = (edge.source, edge.handle, edge.target)
        if ends in seen:
            message = f"The edge {edge.source} -> {edge.target} stands twice."
            report.warning("edge-repeated", message, "Keep one.", edge.source, _where(edge))
        seen.add(ends)


def _cycle(report: Report) -> None:
    cyclic = report.graph.in_cycles
    if not cyclic:
        return
    ids = sorted(cyclic, key=list(report.graph.nodes).index)
    shown = " -> ".join(ids[:_SHOWN_IN_CYCLE]) + (" …" if len(ids) > _SHOWN_IN_CYCLE else "")
    remedy = "Remove the edge that leads back; to repeat steps use a loop or an iteration."
    report.error("cycle", f"Edges lead in a circle: {shown}.", remedy, report.graph.nodes[ids[0]])


def _open_branches(report: Report) -> None:
    taken: dict[str, set[str]] = defaultdict(set)
    for edge in report.graph.edges:
        taken[edge.source].add(edge.handle)
    for node in report.graph.nodes.values():
        kind = node_kind(node.type)
        if kind and kind.branches and taken[node.id]:
            for handle in sorted(set(handles_of(node.data)) - taken[node.id]):
                message = f"The branch {handle!r} of {named(node)} leads nowhere; such a run gives no result."
                report.note("branch-open", message, "Connect it if that is not meant.", node)


def check_containers(report: Report) -> None:
    """Owners that exist, a way in, something inside, and a result from inside."""
    graph = report.graph
    for node in graph.nodes.values():
        kind = node_kind(node.type)
        if node.parent:
            _owner(node, report)
        elif kind and (kind.child_entry or node.type == "loop-end"):
            message = f"{named(node)} stands outside of any container."
            report.error("child-outside", message, "Give it parentId, or remove it.", node)
        if kind and kind.container:
            _container(node, report)


def _owner(node: Node, report: Report) -> None:
    owner = report.graph.nodes.get(node.parent)
    kind = node_kind(owner.type) if owner else None
    if owner is None:
        message = f"{named(node)} is inside {node.parent}, and there is no such node."
        report.error("parent-missing", message, "Correct parentId.", node)
    elif kind is None or not kind.container:
        report.error(
            "parent-type", f"{named(node)} is inside {named(owner)}, which holds no nodes.", "Correct parentId.", node
        )
    elif node.id in report.graph.inside_themselves:
        report.error("parent-cycle", f"{named(node)} is inside itself.", "Correct parentId.", node)
    elif owner.parent:
        message = f"{named(owner)} is a container inside another; Dify's editor allows one level."
        report.warning("container-nested", message, "Flatten it.", owner)


def _container(node: Node, report: Report) -> None:
    graph = report.graph
    inside = {child.id: child for child in graph.children[node.id]}
    start = node.data.get("start_node_id")
    if not inside:
        report.error("container-empty", f"Nothing is inside {named(node)}.", "Put the steps to repeat inside it.", node)
    elif not is_one_of(start, inside):
        message = f"start_node_id of {named(node)} is {start!r}, which is no node inside it."
        remedy = f"Add a {node.type}-start node inside and name it there."
        report.error("container-start", message, remedy, node, "start_node_id")
    if node.type == "iteration" and inside:
        _output(node, set(inside), report)


def _output(node: Node, inside: set[str], report: Report) -> None:
    selector = as_selector(node.data.get("output_selector"))
    if selector and selector[0] not in inside and selector[0] in report.graph.nodes:
        message = f"{named(node)} collects the output of {selector[0]}, which is not inside it."
        report.error("iteration-output", message, "Collect the output of a node inside.", node, "output_selector")
