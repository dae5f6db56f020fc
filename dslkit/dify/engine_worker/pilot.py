"""Steers a workflow's runs so that together they take every branch."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Pilot:
    """Remembers which branches the runs took and picks, at each fork, one that leads to something new."""

    def __init__(self, edges: Iterable[tuple[str, str, str]], entries: Mapping[str, str]) -> None:
        """Take edges as (source, handle, target) and ``entries``, container to its start node."""
        self._targets: dict[tuple[str, str], list[str]] = {}
        self._ahead: dict[str, set[str]] = {}
        for source, handle, target in edges:
            self._targets.setdefault((source, handle), []).append(target)
            self._ahead.setdefault(source, set()).add(target)
        for container, entry in entries.items():
            self._ahead.setdefault(container, set()).add(entry)
        self._open: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def expect(self, node: str, handles: Iterable[str]) -> None:
        """Announce a node that forks; handles that nothing is connected to are no branches."""
        options = {handle for handle in handles if (node, handle) in self._targets}
        if options:
            self._open[node] = options

    def connected(self, node: str, handles: Iterable[str]) -> list[str]:
        """Those handles of a node that lead somewhere, in their order, each once."""
        return [handle for handle in dict.fromkeys(handles) if (node, handle) in self._targets]

    def choose(self, node: str, handles: Sequence[str]) -> str | None:
        """The handle to take now; None when none of them leads anywhere."""
        options = self.connected(node, handles)
        with self._lock:
            untaken = self._open.get(node, set())
            fresh = [handle for handle in options if handle in untaken]
            promising = fresh or [handle for handle in options if self._leads_on(node, handle)] or options
            if not promising:
                return None
            untaken.discard(promising[0])
            return promising[0]

    def unvisited(self) -> int:
        """How many announced branches no run has taken yet."""
        with self._lock:
            return sum(len(handles) for handles in self._open.values())

    def _leads_on(self, node: str, handle: str) -> bool:
        """Whether some branch not yet taken lies behind this handle."""
        pending, seen = list(self._targets.get((node, handle), ())), set[str]()
        while pending:
            current = pending.pop()
            if current in seen:
                continue
            seen.add(current)
            if self._open.get(current):
                return True
            pending.extend(self._ahead.get(current, ()))
        return False
