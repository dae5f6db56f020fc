"""A plan under construction: nodes are laid in order, and edges follow from what each node uses."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

START = "1"
_ENDS = frozenset({"end", "answer"})


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


class _Scope(NamedTuple):
    """Where nodes are laid: the top level, a branch or the inside of a container, and through which port it is entered.

    ``owner`` is the branching node or the container; ``path`` are the scopes around and this one itself.
    """

    owner: str
    entry: tuple[str, int]
    container: str
    path: tuple[int, ...]


@dataclass(slots=True)
class _Node:
    entry: dict[str, Any]
    scope: _Scope
    uses: set[str] = field(default_factory=set)


class Draft:
    """Nodes with what they use.  A node gets an edge from each node it uses, or from where its scope is entered."""

    def __init__(self, variables: Sequence[tuple[str, str]]) -> None:
        self._nodes: dict[str, _Node] = {}
        self._scope = _Scope("", (START, 0), "", (0,))
        self._scopes = 1
        self.add("start", "Start", {"variables": [list(variable) for variable in variables]})

    def has(self, kind: str) -> bool:
        """Whether a node of that type is laid."""
        return any(node.entry["type"] == kind for node in self._nodes.values())

    def add(self, kind: str, title: str, param: dict[str, Any], uses: Iterable[Value | None] = ()) -> str:
        """Lay a node that uses these values; return its id."""
        inside = f"{self._scope.container}-" if self._scope.container else ""
        siblings = sum(node.scope.container == self._scope.container for node in self._nodes.values())
        key = f"{inside}{siblings + 1}"
        entry = {"id": key, "type": kind, "title": title, "param": param}
        self._nodes[key] = _Node(entry, self._scope, {value.node for value in uses if value})
        return key

    @contextmanager
    def branch(self, node: str, port: int) -> Iterator[None]:
        """Lay what follows on one port of a branching node."""
        with self._entered(node, (node, port), self._scope.container):
            yield

    @contextmanager
    def inside(self, container: str) -> Iterator[None]:
        """Lay what follows inside an iteration."""
        with self._entered(container, (f"{container}-1", 0), container):
            self.add("iteration-start", "Start", {})
            yield

    @contextmanager
    def _entered(self, owner: str, entry: tuple[str, int], container: str) -> Iterator[None]:
        outer = self._scope
        self._scope = _Scope(owner, entry, container, (*outer.path, self._scopes))
        self._scopes += 1
        try:
            yield
        finally:
            self._scope = outer

    def plan(self) -> dict[str, Any]:
        """The plan, without what leads to no end."""
        self._let_owners_wait()
        kept = self._needed(key for key, node in self._nodes.items() if node.entry["type"] in _ENDS)
        edges = [edge for key in self._nodes if key in kept for edge in self._edges_to(key)]
        return {"nodes_info": [node.entry for key, node in self._nodes.items() if key in kept], "edges": edges}

    def _let_owners_wait(self) -> None:
        """What is used inside a branch or container, its owner waits for; what uses a member needs the owner."""
        for node in reversed(self._nodes.values()):
            if node.scope.owner:
                used = {key for key in node.uses if node.scope.path[-1] not in self._nodes[key].scope.path}
                self._nodes[node.scope.owner].uses |= used - {node.scope.owner}

    def _needed(self, ends: Iterable[str]) -> set[str]:
        """The nodes that an end uses, with the owners of their scopes and all that is inside containers."""
        kept, waiting = {START}, list(ends)
        while waiting:
            key = waiting.pop()
            if key not in kept:
                kept.add(key)
                node = self._nodes[key]
                children = [child for child, one in self._nodes.items() if one.scope.container == key]
                waiting += [*node.uses, *children, *([node.scope.owner] if node.scope.owner else [])]
        return kept

    def _edges_to(self, key: str) -> list[list[Any]]:
        node = self._nodes[key]
        if key == START or node.entry["type"] == "iteration-start":
            return []
        level = node.scope.path[-1]
        near = {used for used in node.uses if level in self._nodes[used].scope.path and used != START}
        redundant = set().union(*(self._before(used) for used in near))
        sources = [source for source in self._nodes if source in near - redundant]
        return [[source, 0, key] for source in sources] or [[*node.scope.entry, key]]

    def _before(self, key: str) -> set[str]:
        """All nodes that a node waits for."""
        found: set[str] = set()
        waiting = [key]
        while waiting:
            node = self._nodes[waiting.pop()]
            fresh = (node.uses | ({node.scope.owner} if node.scope.owner else set())) - found
            found |= fresh
            waiting.extend(fresh)
        return found
