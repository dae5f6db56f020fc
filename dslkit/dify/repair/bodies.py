"""Iterations whose steps stand outside of them: moved in, where it is plain which ones they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslkit.dify.nodes import node_kind
from dslkit.dify.references import as_selector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dslkit.dify.graph import Graph, Node
    from dslkit.dify.repair.mend import Mend
    from dslkit.records import Finding


def move_in(mend: Mend, findings: Sequence[Finding]) -> None:
    """Move into an iteration the nodes on the way from it, or from its start node, to the node it collects from.

    Only when nothing else leads to them: then no run outside of the iteration could have meant them.
    """
    for finding in findings:
        node = mend.node_of(finding)
        if node is not None and node.type == "iteration":
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
        mend.refresh()


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
        for id_ in neighbours.get(stack.pop(), ()):
            if id_ not in seen and id_ in graph.nodes:
                seen.add(id_)
                stack.append(id_)
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
