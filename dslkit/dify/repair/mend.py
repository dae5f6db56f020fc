"""What a repair works with: the document, its graph, and a log that names every change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dslkit.dify import layout
from dslkit.dify.compile import make_edge
from dslkit.dify.graph import Graph, Node
from dslkit.dify.nodes import DEFAULT_HANDLE
from dslkit.dify.references import value_at
from dslkit.records import Finding, Repair

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dslkit.dify.references import Use

_SHELL_OF_OWNER: Final = ("parentId", "extent", "zIndex")
_OWNER_FIELDS: Final = ("isInIteration", "iteration_id", "isInLoop", "loop_id")


class Mend:
    """One round over a document; its graph is read again after each change that is logged."""

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
        """Name a change that has just been made; the graph is read again."""
        self.done.append(Repair(code=code, message=message, node=node))
        self.refresh()

    def nodes(self, findings: Iterable[Finding], *types: str) -> Iterator[tuple[Finding, Node]]:
        """Each finding with its node as it stands by then; those of some types, when any are given."""
        for finding in findings:
            node = self.graph.nodes.get(finding.node or "")
            if node is not None and (not types or node.type in types):
                yield finding, node

    def each_node(self, findings: Iterable[Finding], *types: str) -> Iterator[Node]:
        """The nodes that findings are about, each once."""
        first = {finding.node: finding for finding in findings}
        yield from (node for _, node in self.nodes(first.values(), *types))

    def uses(self, findings: Iterable[Finding]) -> Iterator[tuple[Node, Use]]:
        """The references at the places that findings name, with their nodes."""
        for finding, node in self.nodes(findings):
            path = tuple(map(str, self.field_of(finding, node)))
            for use in [use for use in self.graph.uses[node.id] if tuple(map(str, use.path)) == path]:
                yield node, use

    def entries(self, findings: Iterable[Finding]) -> Iterator[tuple[Node, dict[str, Any]]]:
        """The mappings around the fields that findings name, with their nodes."""
        for finding, node in self.nodes(findings):
            entry = value_at(node.data, self.field_of(finding, node)[:-1])
            if isinstance(entry, dict):
                yield node, entry

    def field_of(self, finding: Finding, node: Node) -> tuple[str | int, ...]:
        """The path inside the node's data that a finding names."""
        inside = (finding.path or "").removeprefix(f"{node.path}/data").strip("/")
        return tuple(int(part) if part.isdecimal() else part for part in inside.split("/") if part)

    def add_node(self, id_: str, data: dict[str, Any], beside: Node, rows: int = 1) -> None:
        """Put a node into the scope of another, some rows below it (above it, when negative)."""
        place: dict[str, float] = {"x": 0, "y": 0}
        match beside.raw.get("position"):
            case {"x": int() | float() as x, "y": int() | float() as y}:
                place = {"x": x, "y": y + rows * (layout.HEIGHT + layout.ROW_GAP)}
        shell: dict[str, Any] = {key: beside.raw[key] for key in _SHELL_OF_OWNER if key in beside.raw}
        owner: dict[str, Any] = {key: beside.data[key] for key in _OWNER_FIELDS if key in beside.data}
        shell |= {"id": id_, "type": "custom", "data": {"desc": "", **data, **owner}, "position": place}
        shell |= {"positionAbsolute": dict(place), "width": layout.WIDTH, "height": layout.HEIGHT}
        self.document["workflow"]["graph"]["nodes"].append(shell)
        self.refresh()

    def put_before(self, node: Node, name: str, data: dict[str, Any]) -> str:
        """Put a node between another and all that leads to it; returns its id, ``<the other's>_<name>``."""
        id_ = f"{node.id[: 49 - len(name)]}_{name}"
        while id_ in self.graph.nodes:
            id_ = f"{id_[:49]}_"
        self.add_node(id_, data, node, -1)
        for edge in self.graph.edges:
            if edge.target == node.id:
                edge.raw.update(make_edge(edge.source, edge.handle, id_, self.raw_by_id()))
        self.refresh()
        self.add_edge(id_, DEFAULT_HANDLE, node.id)
        return id_

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
