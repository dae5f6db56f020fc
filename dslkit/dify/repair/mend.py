"""What a repair works with: the document, its graph, and a log that names every change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dslkit.dify.compile import make_edge
from dslkit.dify.graph import Graph, Node
from dslkit.dify.references import value_at
from dslkit.records import Finding, Repair

if TYPE_CHECKING:
    from dslkit.dify.references import Use


class Mend:
    """One round over a document; ``refresh`` after a change of nodes, edges or types."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.done: list[Repair] = []
        self._graph: Graph | None = None

    @property
    def graph(self) -> Graph:
        """The document's graph, read when it is asked for."""
        if self._graph is None:
            self._graph = Graph(self.document)
        return self._graph

    def refresh(self) -> None:
        """Have the graph read again: the document has changed."""
        self._graph = None

    def log(self, code: str, message: str, node: str | None = None) -> None:
        """Name a change."""
        self.done.append(Repair(code=code, message=message, node=node))

    def node_of(self, finding: Finding) -> Node | None:
        """The node a finding is about."""
        return self.graph.nodes.get(finding.node or "")

    def field_of(self, finding: Finding, node: Node) -> tuple[str | int, ...]:
        """The path inside the node's data that a finding names."""
        inside = (finding.path or "").removeprefix(f"{node.path}/data").strip("/")
        return tuple(int(part) if part.isdecimal() else part for part in inside.split("/") if part)

    def use_of(self, finding: Finding, node: Node) -> list[Use]:
        """The references at the place that a finding names."""
        path = self.field_of(finding, node)
        return [use for use in self.graph.uses[node.id] if tuple(map(str, use.path)) == tuple(map(str, path))]

    def value_of(self, finding: Finding, node: Node) -> Any:
        """What stands at the place that a finding names."""
        return value_at(node.data, self.field_of(finding, node))

    def place_of(self, node: Node) -> tuple[float, float]:
        """Where a node stands in the editor; the corner when its document does not say."""
        match node.raw.get("position"):
            case {"x": int() | float() as x, "y": int() | float() as y}:
                return (x, y)
            case _:
                return (0, 0)

    @property
    def edges(self) -> list[Any]:
        """The document's list of edges."""
        found: list[Any] = self.document["workflow"]["graph"].setdefault("edges", [])
        return found

    def raw_by_id(self) -> dict[str, dict[str, Any]]:
        """The nodes as they stand in the document."""
        return {id_: node.raw for id_, node in self.graph.nodes.items()}

    def has_edge(self, source: str, handle: str, target: str) -> bool:
        """Whether the document already leads from there to there."""
        ends = (source, handle, target)
        return any((edge.source, edge.handle, edge.target) == ends for edge in self.graph.edges)

    def add_edge(self, source: str, handle: str, target: str) -> None:
        """Lead an edge, unless it is there, and read the graph again."""
        if not self.has_edge(source, handle, target):
            self.edges.append(make_edge(source, handle, target, self.raw_by_id()))
            self.refresh()
