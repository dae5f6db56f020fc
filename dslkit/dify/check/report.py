"""Collects findings while the layers run: each said once, floods cut short."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from dslkit.records import Finding, Severity

if TYPE_CHECKING:
    from dslkit.dify.graph import Graph, Node

MAX_OF_ONE_CODE: Final = 100


class Report:
    """The findings so far, and the graph they are about."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.findings: list[Finding] = []
        self._counts: Counter[str] = Counter()

    def error(self, code: str, message: str, remedy: str, at: Node | str | None = None, path: str = "") -> None:
        """This cannot work."""
        self._add("error", code, message, remedy, at, path)

    def warning(self, code: str, message: str, remedy: str, at: Node | str | None = None, path: str = "") -> None:
        """This may not be what is meant."""
        self._add("warning", code, message, remedy, at, path)

    def note(self, code: str, message: str, remedy: str = "", at: Node | str | None = None, path: str = "") -> None:
        """This is worth knowing."""
        self._add("note", code, message, remedy, at, path)

    def _add(self, severity: Severity, code: str, message: str, remedy: str, at: Node | str | None, path: str) -> None:
        self._counts[code] += 1
        if self._counts[code] > MAX_OF_ONE_CODE:
            return
        if self._counts[code] == MAX_OF_ONE_CODE:
            message = f"{message} (More of this kind are not listed.)"
        if at is None or isinstance(at, str):
            node, where = at, path
        else:
            node, where = at.id, f"{at.path}/data/{path}" if path else at.path
        self.findings.append(
            Finding(code=code, severity=severity, message=message, remedy=remedy, node=node, path=where or None)
        )


def named(node: Node) -> str:
    """A node as a reader knows it: its title and id."""
    title = node.data.get("title")
    return f"{title} ({node.id})" if isinstance(title, str) and title else f"{node.type} {node.id}"
