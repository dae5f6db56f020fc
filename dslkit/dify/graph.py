"""A Dify document as a graph: tolerant of anything, so that checks and repairs can ask it plain questions."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from dslkit.dify.nodes import (
    ANY,
    FILE_ATTRIBUTES,
    OLD_NAMES,
    PREFIXES,
    SYSTEM_VARIABLES,
    array_of,
    element_type,
    inner_outputs,
    mappings,
    node_kind,
    outputs_of,
)
from dslkit.dify.references import Selector, Use, uses

MAX_NESTING: Final = 50
_MAX_TYPE_DEPTH: Final = 30


@dataclass(frozen=True, slots=True)
class Node:
    """One node; ``data`` is the document's own, so changing it changes the document."""

    id: str
    type: str
    data: dict[str, Any]
    parent: str
    index: int
    raw: dict[str, Any]

    @property
    def path(self) -> str:
        """Where the node stands in the document."""
        return f"workflow/graph/nodes/{self.index}"


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge between two node ids, and its handle at the source."""

    source: str
    handle: str
    target: str
    index: int
    raw: dict[str, Any]


class Graph:
    """Nodes, edges, scopes and value types of a document.  Reads once: make a new one after a change of structure."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        graph = graph_of(document)
        self.document = document
        self.raw_nodes: list[Any] = graph["nodes"] if isinstance(graph.get("nodes"), list) else []
        self.raw_edges: list[Any] = graph["edges"] if isinstance(graph.get("edges"), list) else []
        self.nodes = self._read_nodes()
        self.edges = self._read_edges()
        self._types: dict[Selector, str | None] = {}

    def _read_nodes(self) -> dict[str, Node]:
        nodes: dict[str, Node] = {}
        for index, raw in enumerate(self.raw_nodes):
            if not isinstance(raw, dict) or raw.get("type") == "custom-note" or not isinstance(raw.get("data"), dict):
                continue
            id_, data = raw.get("id"), raw["data"]
            if isinstance(id_, str) and id_ and id_ not in nodes:
                type_ = str(data.get("type", ""))
                nodes[id_] = Node(id_, OLD_NAMES.get(type_, type_), data, _parent_of(raw, data), index, raw)
        return nodes

    def _read_edges(self) -> list[Edge]:
        edges = []
        for index, raw in enumerate(self.raw_edges):
            if isinstance(raw, dict) and isinstance(raw.get("source"), str) and isinstance(raw.get("target"), str):
                handle = raw.get("sourceHandle")
                edges.append(
                    Edge(raw["source"], handle if isinstance(handle, str) else "source", raw["target"], index, raw)
                )
        return edges

    @property
    def mode(self) -> str:
        """The app's mode; empty when the document has none."""
        app = self.document.get("app")
        return str(app.get("mode", "")) if isinstance(app, Mapping) else ""

    @cached_property
    def successors(self) -> dict[str, list[str]]:
        """Targets of each node's edges; edges to or from nowhere are left out."""
        return self._neighbours(lambda edge: (edge.source, edge.target))

    @cached_property
    def predecessors(self) -> dict[str, list[str]]:
        """Sources of the edges into each node."""
        return self._neighbours(lambda edge: (edge.target, edge.source))

    def _neighbours(self, ends: Any) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for edge in self.edges:
            if edge.source in self.nodes and edge.target in self.nodes:
                key, value = ends(edge)
                found[key].append(value)
        return found

    @cached_property
    def children(self) -> dict[str, list[Node]]:
        """Nodes by the container that owns them; ``""`` is the workflow itself."""
        found: dict[str, list[Node]] = defaultdict(list)
        for node in self.nodes.values():
            found[node.parent].append(node)
        return found

    @cached_property
    def roots(self) -> list[Node]:
        """Where a run may begin: the start node, or triggers."""
        return [node for node in self.children[""] if (kind := node_kind(node.type)) and kind.root]

    def entry_of(self, container: Node) -> str | None:
        """The child that a container runs first."""
        start = container.data.get("start_node_id")
        if isinstance(start, str) and start in self.nodes:
            return start
        entries = (node.id for node in self.children[container.id] if (k := node_kind(node.type)) and k.child_entry)
        return next(entries, None)

    @cached_property
    def reachable(self) -> frozenset[str]:
        """Nodes that some run may visit, inside containers too."""
        return self.reached_from(node.id for node in self.roots)

    def reached_from(self, starts: Iterable[str]) -> frozenset[str]:
        """Every node that edges, or the way into containers, lead to from ``starts`` (these included)."""
        queue = deque(starts)
        seen = set(queue)
        while queue:
            id_ = queue.popleft()
            node = self.nodes[id_]
            kind = node_kind(node.type)
            entry = self.entry_of(node) if kind and kind.container else None
            for following in (*self.successors.get(id_, ()), *((entry,) if entry else ())):
                if following not in seen:
                    seen.add(following)
                    queue.append(following)
        return frozenset(seen)

    @cached_property
    def order(self) -> list[str]:
        """Nodes in an order that respects edges; those in or behind a cycle are missing."""
        waiting = {id_: len(self.predecessors.get(id_, ())) for id_ in self.nodes}
        queue = deque(id_ for id_, count in waiting.items() if not count)
        order = []
        while queue:
            id_ = queue.popleft()
            order.append(id_)
            for following in self.successors.get(id_, ()):
                waiting[following] -= 1
                if not waiting[following]:
                    queue.append(following)
        return order

    @cached_property
    def in_cycles(self) -> frozenset[str]:
        """Nodes that lie on a cycle."""
        behind = set(self.nodes) - set(self.order)
        following = {id_: sum(n in behind for n in self.successors.get(id_, ())) for id_ in behind}
        loose = deque(id_ for id_, count in following.items() if not count)  # merely follows a cycle
        while loose:
            id_ = loose.popleft()
            behind.discard(id_)
            for previous in self.predecessors.get(id_, ()):
                if previous in behind:
                    following[previous] -= 1
                    if not following[previous]:
                        loose.append(previous)
        return frozenset(behind)

    @cached_property
    def _ancestors(self) -> dict[str, int]:
        """For each node outside cycles, a bit set of the nodes before it in its own scope."""
        bits = {id_: 1 << position for position, id_ in enumerate(self.nodes)}
        before: dict[str, int] = {}
        for id_ in self.order:
            mask = 0
            for previous in self.predecessors.get(id_, ()):
                mask |= bits[previous] | before.get(previous, 0)
            before[id_] = mask
        return before

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {id_: position for position, id_ in enumerate(self.nodes)}

    def runs_before(self, earlier: str, later: str) -> bool:
        """Whether ``earlier`` may have run when ``later`` runs.  True when a cycle makes it unknowable.

        A node inside a container comes after what comes before the container; the container itself counts as before.
        """
        position = self._positions.get(earlier)
        if position is None:
            return False
        scope: str | None = later
        for _ in range(MAX_NESTING):
            if scope is None or scope not in self.nodes:
                return False
            mask = self._ancestors.get(scope)
            if mask is None or mask >> position & 1:
                return True
            scope = self.nodes[scope].parent or None
            if scope == earlier:
                return True
        return False

    def containers_of(self, id_: str) -> list[str]:
        """The containers around a node, innermost first; what lies more than MAX_NESTING levels out is left out."""
        found: list[str] = []
        parent = self.nodes[id_].parent if id_ in self.nodes else ""
        while parent in self.nodes and parent not in found and len(found) < MAX_NESTING:
            found.append(parent)
            parent = self.nodes[parent].parent
        return found

    @cached_property
    def inside_themselves(self) -> frozenset[str]:
        """Nodes whose owners, followed up, come back to them or never end."""
        settled: set[str] = set()
        circular: set[str] = set()
        for id_ in self.nodes:
            path: dict[str, None] = {}
            current = id_
            while current in self.nodes and current not in settled and current not in path:
                path[current] = None
                current = self.nodes[current].parent
            if current in path or current in circular:
                circular |= path.keys()
            settled |= path.keys()
        return frozenset(circular)

    @cached_property
    def uses(self) -> dict[str, list[Use]]:
        """Every node's references."""
        return {node.id: uses(node.data) for node in self.nodes.values()}

    @cached_property
    def named_variables(self) -> dict[str, dict[str, str]]:
        """Names and value types behind the prefixes ``env`` and ``conversation``."""
        workflow = self.document.get("workflow")
        workflow = workflow if isinstance(workflow, Mapping) else {}
        return {
            prefix: {
                str(variable["name"]): str(variable.get("value_type", ANY))
                for variable in mappings(workflow.get(f"{long}_variables"))
                if variable.get("name")
            }
            for prefix, long in (("env", "environment"), ("conversation", "conversation"))
        }

    def outputs(self, id_: str) -> dict[str, str]:
        """What a node gives, with derived value types where its data leaves them open."""
        node = self.nodes[id_]
        return {name: self.value_type((id_, name)) or ANY for name in outputs_of(node.data)}

    def value_type(self, selector: Selector, depth: int = 0) -> str | None:
        """The value type behind a selector; None when nothing gives such a value, ``any`` when only a run can tell."""
        if selector not in self._types:
            self._types[selector] = ANY  # what a circular definition comes to
            self._types[selector] = self._find_type(selector, depth)
        return self._types[selector]

    def _find_type(self, selector: Selector, depth: int) -> str | None:
        if len(selector) < 2 or depth > _MAX_TYPE_DEPTH:  # noqa: PLR2004 a node and a field, as everywhere
            return None if depth <= _MAX_TYPE_DEPTH else ANY
        head, field, *rest = selector
        found = self._prefixed(head, field) if head in PREFIXES else self._given(head, field, depth)
        return _inside(found, rest) if rest and found else found

    def _prefixed(self, prefix: str, name: str) -> str | None:
        if prefix == "sys":
            return SYSTEM_VARIABLES.get(name)
        return ANY if prefix == "rag" else self.named_variables[prefix].get(name)

    def _given(self, id_: str, field: str, depth: int) -> str | None:
        node = self.nodes.get(id_)
        if node is None:
            return None
        declared = outputs_of(node.data).get(field) or inner_outputs(node.data).get(field)
        kind = node_kind(node.type)
        if declared is None:
            return ANY if kind is None or kind.open_outputs else None
        return self._derived(node, field, depth) or declared

    def _derived(self, node: Node, field: str, depth: int) -> str | None:
        """Types that depend on what other nodes give."""
        match node.type, field:
            case "iteration", "output":
                inner = self._selected(node.data.get("output_selector"), depth)
                flat = node.data.get("flatten_output", True) is not False
                return inner and (inner if flat and inner.startswith("array[") else array_of(inner))
            case "iteration", "item":
                array = self._selected(node.data.get("iterator_selector"), depth)
                return array and element_type(array)
            case "variable-aggregator", "output":
                types = [self._selected(selector, depth) for selector in _lists(node.data.get("variables"))]
                return next((type_ for type_ in types if type_ and type_ != ANY), None)
            case "list-operator", _:
                array = self._selected(node.data.get("variable"), depth)
                return array and (array if field == "result" else element_type(array))
            case "document-extractor", "text":
                source = self._selected(node.data.get("variable_selector"), depth)
                return {"array[file]": "array[string]", "file": "string"}.get(source or "")
            case _:
                return None

    def _selected(self, selector: object, depth: int) -> str | None:
        if isinstance(selector, list) and all(isinstance(part, str) for part in selector):
            return self.value_type(tuple(selector), depth + 1)
        return None


def graph_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """``workflow.graph`` of a document; an empty one when it has none."""
    workflow = document.get("workflow")
    graph = workflow.get("graph") if isinstance(workflow, Mapping) else None
    return graph if isinstance(graph, dict) else {}


def _parent_of(raw: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """The container that owns a node, by any of the fields that say so."""
    for owner in (raw.get("parentId"), data.get("loop_id"), data.get("iteration_id")):
        if isinstance(owner, str) and owner:
            return owner
    return ""


def _inside(found: str, rest: list[str]) -> str | None:
    """The type at a path into a value."""
    if found == "file":
        return FILE_ATTRIBUTES.get(rest[0])
    return ANY if found in (ANY, "object") else None


def _lists(value: object) -> list[Any]:
    return [entry for entry in value if isinstance(entry, list)] if isinstance(value, list) else []
