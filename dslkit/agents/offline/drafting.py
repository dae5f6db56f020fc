"""A plan under construction: nodes are laid in order, and edges follow from what each node uses."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Port = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Value:
    """What a node gives; ``label`` says to a model what it is."""

    name: str
    node: str
    label: str = ""

    @property
    def ref(self) -> list[str]:
        """The value in a field that takes a reference."""
        return [self.name, self.node]

    @property
    def text(self) -> str:
        """The value inside a text."""
        return f"{{{{#{self.node}.{self.name}#}}}}"


@dataclass(slots=True)
class _Scope:
    """Where nodes are laid: the top level, one branch, or the inside of a container."""

    entry: Port
    members: set[str] = field(default_factory=set)
    container: str | None = None
    outside: set[str] = field(default_factory=set)  # what its nodes use of what was laid before


class Draft:
    """Nodes and edges.  A node gets an edge from each node it uses, or from where its scope is entered."""

    def __init__(self, variables: Sequence[tuple[str, str]]) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.edges: list[tuple[str, int, str]] = []
        self._scopes: list[_Scope] = []
        start = self._append("start", "Start", {"variables": [list(variable) for variable in variables]})
        self._scopes.append(_Scope((start, 0)))

    def add(self, kind: str, title: str, param: dict[str, Any], uses: Iterable[Value | None] = ()) -> str:
        """Lay a node that uses these values; return its id."""
        node = self._append(kind, title, param)
        self._connect({value.node for value in uses if value}, node)
        return node

    def add_after_all(self, kind: str, title: str, param: dict[str, Any]) -> str:
        """Lay a node that waits for everything laid so far in its scope (a branching node must)."""
        scope = self._scopes[-1]
        loose = {node for node in scope.members if not any(source == node for source, _, _ in self.edges)}
        node = self._append(kind, title, param)
        self._connect(loose, node)
        return node

    @contextmanager
    def branch(self, node: str, port: int) -> Iterator[None]:
        """Lay what follows on one port of a branching node."""
        with self._scope(_Scope((node, port), container=self._scopes[-1].container)) as scope:
            yield
        self._scopes[-1].members |= scope.members

    @contextmanager
    def inside(self, container: str, start_kind: str) -> Iterator[None]:
        """Lay what follows inside a container."""
        start = f"{container}-1"
        self.nodes.append({"id": start, "type": start_kind, "title": "Start", "param": {}})
        with self._scope(_Scope((start, 0), container=container)) as scope:
            yield
        self._wait_for(container, scope.outside)

    @contextmanager
    def _scope(self, scope: _Scope) -> Iterator[_Scope]:
        self._scopes.append(scope)
        try:
            yield scope
        finally:
            self._scopes.pop()

    def plan(self) -> dict[str, Any]:
        """The plan, without what leads to no end."""
        kept = self._useful()
        return {
            "nodes_info": [node for node in self.nodes if node["id"] in kept],
            "edges": [list(edge) for edge in self.edges if edge[0] in kept and edge[2] in kept],
        }

    def _append(self, kind: str, title: str, param: dict[str, Any]) -> str:
        container = self._scopes[-1].container if self._scopes else None
        inside = f"{container}-" if container else ""
        siblings = (
            [n for n in self.nodes if n["id"].startswith(inside)]
            if container
            else [n for n in self.nodes if "-" not in n["id"]]
        )
        node = f"{inside}{len(siblings) + 1}"
        self.nodes.append({"id": node, "type": kind, "title": title, "param": param})
        return node

    def _connect(self, used: set[str], node: str) -> None:
        scope = self._scopes[-1]
        scope.members.add(node)
        scope.outside |= used - scope.members
        sources = self._nearest(used & scope.members)
        self.edges.extend((source, 0, node) for source in sources)
        if not sources:
            self.edges.append((*scope.entry, node))

    def _wait_for(self, container: str, used: set[str]) -> None:
        """Whatever is used inside a container has to run before the container."""
        scope = self._scopes[-1]
        scope.outside |= used - scope.members
        before = self._before(container)
        late = {node for node in used & scope.members if node != container and node not in before}
        if late:
            entry = (*scope.entry, container)
            self.edges = [edge for edge in self.edges if edge != entry]
            self.edges.extend((source, 0, container) for source in self._nearest(late))

    def _nearest(self, sources: set[str]) -> list[str]:
        """Those of the sources that no other of them waits for, as laid."""
        before = set().union(*(self._before(source) for source in sources))
        return [node["id"] for node in self.nodes if node["id"] in sources - before]

    def _before(self, node: str) -> set[str]:
        """All nodes that lead to ``node``."""
        found: set[str] = set()
        waiting = [node]
        while waiting:
            current = waiting.pop()
            fresh = {source for source, _, target in self.edges if target == current} - found
            found |= fresh
            waiting.extend(fresh)
        return found

    def _useful(self) -> set[str]:
        ends = {node["id"] for node in self.nodes if node["type"] in {"end", "answer"}}
        kept = ends.union(*(self._before(end) for end in ends))
        return kept | {node["id"] for node in self.nodes if "-" in node["id"] and node["id"].split("-")[0] in kept}
