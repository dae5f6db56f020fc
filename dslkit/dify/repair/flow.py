"""Edges that are missing: a node refers to another, and nothing makes it wait for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dslkit.dify.nodes import DEFAULT_HANDLE, PREFIXES, handles_of, node_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.dify.graph import Graph, Node
    from dslkit.dify.repair.mend import Mend
    from dslkit.records import Finding

_COLLECTORS: Final = ("variable-aggregator", "end")  # made to run whichever branch was taken
_MAX_NODES: Final = 500  # dominators of larger graphs are not worth their time here


def missing_edges(mend: Mend, findings: Sequence[Finding]) -> None:
    """Lead an edge from what is referred to, at a point that runs exactly when it does.

    That point is the nearest one on every way to the node that refers: so no node comes to run that would not have.
    """
    if len(mend.graph.nodes) > _MAX_NODES:
        return
    for node, use in mend.uses(findings):
        if use.node in mend.graph.nodes and not mend.graph.runs_before(use.node, node.id):
            _lead_up_to(mend, use.node)
            _connect(mend, use.node, node)


def _connect(mend: Mend, source_id: str, node: Node) -> None:
    graph = mend.graph
    chain = {graph.nodes[id_].parent: id_ for id_ in (node.id, *graph.containers_of(node.id))}
    source = graph.nodes[source_id]
    target_id = chain.get(source.parent)
    handles = handles_of(source.data)
    if target_id is None or target_id == source_id or handles != (DEFAULT_HANDLE,) or source_id not in graph.reachable:
        return
    collects = target_id == node.id and node.type in _COLLECTORS
    if collects and not graph.runs_before(target_id, source_id):
        mend.add_edge(source_id, DEFAULT_HANDLE, target_id)
        mend.log("edge-missing", f"{target_id} now collects from {source_id} too, which it refers to.", target_id)
        return
    ways = Ways(graph, source.parent)
    for point in ways.before(target_id):
        kind = node_kind(graph.nodes[point].type)
        starts = kind is not None and (kind.root or kind.child_entry)
        if not starts and ways.guards(point) == ways.guards(source_id) and not graph.runs_before(point, source_id):
            mend.add_edge(source_id, DEFAULT_HANDLE, point)
            mend.log("edge-missing", f"{point} now waits for {source_id}, which {node.id} refers to.", point)
            return


class Ways:
    """For one scope: the nodes and branches that every way from its start to a node takes (its dominators)."""

    def __init__(self, graph: Graph, scope: str) -> None:
        self._graph = graph
        self._members = {node.id for node in graph.children[scope] if node.id in graph.reachable}
        self._order = [id_ for id_ in graph.order if id_ in self._members]
        self._on_every_way = self._dominators()

    def _dominators(self) -> dict[str, frozenset[str | tuple[str, str]]]:
        incoming: dict[str, list[tuple[str, str]]] = {}
        for edge in self._graph.edges:
            if edge.source in self._members and edge.target in self._members:
                incoming.setdefault(edge.target, []).append((edge.source, edge.handle))
        found: dict[str, frozenset[str | tuple[str, str]]] = {}
        for id_ in self._order:
            ways = [
                found[source] | self._branch(source, handle)
                for source, handle in incoming.get(id_, ())
                if source in found
            ]
            common = frozenset.intersection(*ways) if ways else frozenset()
            found[id_] = common | {id_}
        return found

    def _branch(self, source: str, handle: str) -> frozenset[str | tuple[str, str]]:
        branches = len(handles_of(self._graph.nodes[source].data)) > 1
        return frozenset({(source, handle)}) if branches else frozenset()

    def guards(self, id_: str) -> frozenset[tuple[str, str]]:
        """The branches that must be taken for a node to run."""
        return frozenset(step for step in self._on_every_way.get(id_, ()) if isinstance(step, tuple))

    def before(self, id_: str) -> list[str]:
        """The node and those on every way to it, nearest first."""
        steps = {step for step in self._on_every_way.get(id_, ()) if isinstance(step, str)}
        return [step for step in reversed(self._order) if step in steps]


def unreachable(mend: Mend, findings: Sequence[Finding]) -> None:
    """Lead to a node that others need and nothing leads to, from the nodes whose outputs it takes."""
    if len(mend.graph.nodes) > _MAX_NODES:
        return
    for _, use in mend.uses(findings):
        if use.node in mend.graph.nodes:
            _lead_up_to(mend, use.node)


def unreachable_end(mend: Mend, findings: Sequence[Finding]) -> None:
    """The same for an end node that no run reaches."""
    if len(mend.graph.nodes) <= _MAX_NODES:
        for finding in findings:
            _lead_up_to(mend, finding.node or "")


def _lead_up_to(mend: Mend, id_: str) -> None:
    """Lead to the first nodes of the loose part of the graph that ends in a node."""
    before = {id_}
    stack = [id_]
    while stack:
        for previous in mend.graph.predecessors.get(stack.pop(), ()):
            if previous not in before:
                before.add(previous)
                stack.append(previous)
    loose = [i for i in mend.graph.nodes if i in before and i not in mend.graph.reachable]
    for first in loose:
        if first not in mend.graph.reachable and not mend.graph.predecessors.get(first):
            _lead_to(mend, mend.graph.nodes[first])


def _lead_to(mend: Mend, node: Node) -> None:
    graph = mend.graph
    if graph.predecessors.get(node.id) or node.parent:
        return
    taken = [use.node for use in graph.uses[node.id] if use.node in graph.nodes]
    sources = {[id_, *graph.containers_of(id_)][-1] for id_ in taken}
    if not sources and (node.type == "template-transform" or any(use.node in PREFIXES for use in graph.uses[node.id])):
        sources = {root.id for root in graph.roots}  # a fixed text, or what is there from the start, can come at once
    usable = [id_ for id_ in graph.nodes if id_ in sources and id_ in graph.reachable and not graph.nodes[id_].parent]
    if len(usable) != len(sources) or any(handles_of(graph.nodes[id_].data) != (DEFAULT_HANDLE,) for id_ in usable):
        return
    for source in usable:
        mend.add_edge(source, DEFAULT_HANDLE, node.id)
    if usable:
        mend.log("node-unreachable", f"{', '.join(usable)} now leads to {node.id}, which takes its output.", node.id)
