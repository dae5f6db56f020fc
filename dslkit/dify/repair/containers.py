"""Containers: steps that stand outside of them, start nodes that are missing, results collected from nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dslkit.dify import layout
from dslkit.dify.nodes import DEFAULT_HANDLE, node_kind
from dslkit.dify.references import as_selector
from dslkit.dify.repair.references import main_output, meant_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dslkit.dify.graph import Graph, Node
    from dslkit.dify.repair.mend import Mend
    from dslkit.records import Finding


def move_in(mend: Mend, findings: Sequence[Finding]) -> None:
    """Move into an iteration the nodes on the way from it, or from its start node, to the node it collects from.

    Only when nothing else leads to them: then no run outside of the iteration could have meant them.
    """
    for _, node in mend.nodes(findings, "iteration"):
        _move(mend, node, _body(mend.graph, node), "which collects from there")


def started_outside(mend: Mend, _: Sequence[Finding]) -> None:
    """Move into an iteration that holds its start node alone what that leads to, and nothing else does.

    What ends a run, or takes what the iteration gives, stays outside, and so does what comes after it.
    """
    for node in list(mend.graph.nodes.values()):
        entry = mend.graph.entry_of(node) if node.type == "iteration" else None
        if entry and [child.id for child in mend.graph.children[node.id]] == [entry]:
            _move(mend, node, _body(mend.graph, node) or _started(mend.graph, node, entry), "whose start leads there")


def _move(mend: Mend, container: Node, body: list[str], why: str) -> None:
    for id_ in body:
        raw = mend.graph.nodes[id_].raw
        raw["parentId"] = container.id
        raw["data"] |= {"isInIteration": True, "iteration_id": container.id}
    if body:
        mend.log("iteration-body", f"{', '.join(body)} now lie inside {container.id}, {why}.", container.id)


def _started(graph: Graph, container: Node, entry: str) -> list[str]:
    inside = {entry}
    for id_ in graph.order:
        takes_result = any(use.selector[:2] == (container.id, "output") for use in graph.uses[id_])
        if graph.predecessors.get(id_) and not takes_result and _belongs(graph, id_, container, inside):
            inside.add(id_)
    return [id_ for id_ in graph.order if id_ in inside and id_ != entry]


def _body(graph: Graph, container: Node) -> list[str]:
    selector = as_selector(container.data.get("output_selector"))
    last = graph.nodes.get(selector[0]) if selector else None
    if last is None or last.parent != container.parent or last.id == container.id:
        return []
    entry = graph.entry_of(container)
    gates = {container.id, entry} if entry else {container.id}
    after = _closure(graph, (n for gate in gates for n in graph.successors.get(gate, ())), graph.successors)
    before = _closure(graph, [last.id], graph.predecessors)
    body = [id_ for id_ in graph.nodes if id_ in after & before and id_ not in gates]
    fits = all(_belongs(graph, id_, container, {*body, *gates}) for id_ in body)
    return body if body and fits and _is_meant(graph, container, entry, body) else []


def _closure(graph: Graph, starts: Iterable[str], neighbours: dict[str, list[str]]) -> set[str]:
    seen = set(starts)
    stack = list(seen)
    while stack:
        fresh = {id_ for id_ in neighbours.get(stack.pop(), ()) if id_ not in seen and id_ in graph.nodes}
        seen |= fresh
        stack += fresh
    return seen


def _belongs(graph: Graph, id_: str, container: Node, inside: set[str]) -> bool:
    """Whether a node can be moved: a plain step beside the container that only the container's own steps lead to."""
    node = graph.nodes[id_]
    kind = node_kind(node.type)
    plain = kind is not None and not kind.root and not kind.terminal and not kind.container
    return plain and node.parent == container.parent and all(p in inside for p in graph.predecessors.get(id_, ()))


def _is_meant(graph: Graph, container: Node, entry: str | None, body: list[str]) -> bool:
    """Whether something shows the steps to be the container's: its start leads to them, or they take its values.

    These can only be those of a pass: what the container collects comes from the steps, so is not there before them.
    """
    if entry and any(target in body for target in graph.successors.get(entry, ())):
        return True
    return any(use.node in (container.id, entry) for id_ in body for use in graph.uses[id_])


def start_node(mend: Mend, findings: Sequence[Finding]) -> None:
    """Name the start node that is inside, or put one in, leading to what nothing inside leads to."""
    for _, node in mend.nodes(findings, "iteration", "loop"):
        children = mend.graph.children[node.id]
        present = [child.id for child in children if child.type == f"{node.type}-start"]
        first = [c.id for c in children if c.id not in present and not mend.graph.predecessors.get(c.id)]
        entry = present[0] if present else _add_start(mend, node)
        node.data["start_node_id"] = entry
        mend.log("container-start", f"{entry} is where {node.id} starts.", node.id)
        if not mend.graph.successors.get(entry):
            for child in first:
                mend.add_edge(entry, DEFAULT_HANDLE, child)


def _add_start(mend: Mend, container: Node) -> str:
    id_ = f"{container.id}start"[:50]
    while id_ in mend.graph.nodes:
        id_ = f"{id_[:49]}_"
    place = {"x": layout.PADDING // 3, "y": layout.PADDING}
    data: dict[str, Any] = {
        "type": f"{container.type}-start",
        "title": "",
        "desc": "",
        f"isIn{container.type.title()}": True,
        f"{container.type}_id": container.id,
    }
    shell = {"id": id_, "type": f"custom-{container.type}-start", "parentId": container.id, "data": data}
    size = {"width": layout.ENTRY_SIZE, "height": layout.ENTRY_SIZE, "zIndex": 1002}
    nodes = mend.document["workflow"]["graph"]["nodes"]
    nodes.append({**shell, "position": place, "positionAbsolute": place, **size})
    return id_


def asked_of_inside(mend: Mend, findings: Sequence[Finding]) -> None:
    """An iteration that collects what nobody gives collects the one thing that is asked of its inside."""
    for finding, node in mend.nodes(findings, "iteration"):
        if mend.field_of(finding, node) != ("output_selector",):
            continue
        inside = {child.id for child in mend.graph.children[node.id]}
        outside = [uses for id_, uses in mend.graph.uses.items() if id_ not in inside and id_ != node.id]
        asked = {meant_by(mend.graph, use, node) for uses in outside for use in uses if use.node in inside}
        only = asked.pop() if len(asked) == 1 else None
        if only and only[0] in inside:
            node.data["output_selector"] = list(only)
            mend.log("iteration-output", "It collects what is asked of its inside.", node.id)


def sole_result(mend: Mend, findings: Sequence[Finding]) -> None:
    """An iteration that collects from no step of its own collects from the one node its steps end in."""
    for finding, node in mend.nodes(findings, "iteration"):
        if mend.field_of(finding, node) != ("output_selector",):
            continue
        selector = as_selector(node.data.get("output_selector"))
        collected = mend.graph.nodes.get(selector[0]) if selector else None
        if collected and collected.id != node.id and not _is_entry(collected):
            continue
        inside = mend.graph.children[node.id]
        ends = [c for c in inside if c.id not in mend.graph.successors and not _is_entry(c)]
        name = main_output(ends[0]) if len(ends) == 1 else None
        if name:
            node.data["output_selector"] = [ends[0].id, name]
            mend.log("iteration-output", f"It collects {name} of {ends[0].id}, where its steps end.", node.id)


def _is_entry(node: Node) -> bool:
    kind = node_kind(node.type)
    return kind is not None and kind.child_entry
