"""Small questions about the fields of a node's data, each with its finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dslkit.dify.check.report import Report
    from dslkit.dify.graph import Node


class Fields:
    """Asks a node for its fields; what is missing or of the wrong kind becomes a finding at that field."""

    def __init__(self, node: Node, report: Report) -> None:
        self.node = node
        self.report = report

    def wrong(self, path: str, message: str, remedy: str, code: str = "node-field") -> None:
        """An error at one of the node's fields."""
        self.report.error(code, message, remedy, self.node, path)

    def text(self, owner: Mapping[str, Any], name: str, path: str = "", *, empty: bool = True) -> str | None:
        """A text; None with a finding otherwise."""
        value = owner.get(name)
        where = _join(path, name)
        if not isinstance(value, str):
            self.wrong(where, f"{where} is {_shown(value)}, not text.", f"Make {where} a text.")
            return None
        if not empty and not value.strip():
            self.wrong(where, f"{where} is empty.", f"Fill in {where}.")
            return None
        return value

    def mapping(self, owner: Mapping[str, Any], name: str, path: str = "") -> Mapping[str, Any] | None:
        """A mapping; None with a finding otherwise."""
        value = owner.get(name)
        where = _join(path, name)
        if isinstance(value, Mapping):
            return value
        self.wrong(where, f"{where} is {_shown(value)}, not a mapping.", f"Make {where} a mapping.")
        return None

    def entries(self, owner: Mapping[str, Any], name: str, path: str = "") -> list[tuple[str, Mapping[str, Any]]]:
        """The mappings of a list with their paths; a finding for the list or an entry that is none."""
        value = owner.get(name)
        where = _join(path, name)
        if not isinstance(value, list):
            self.wrong(where, f"{where} is {_shown(value)}, not a list.", f"Make {where} a list.")
            return []
        found = []
        for index, entry in enumerate(value):
            if isinstance(entry, Mapping):
                found.append((f"{where}/{index}", entry))
            else:
                here = f"{where}/{index}"
                self.wrong(here, f"{here} is {_shown(entry)}, not a mapping.", f"Correct {here}.")
        return found

    def selector(self, owner: Mapping[str, Any], name: str, path: str = "") -> tuple[str, ...] | None:
        """A selector ``[node, field, …]``; None with a finding otherwise."""
        value = owner.get(name)
        where = _join(path, name)
        if isinstance(value, list) and len(value) > 1 and all(isinstance(part, str) and part for part in value):
            return tuple(value)
        self.wrong(
            where,
            f"{where} is {_shown(value)}, not a reference.",
            f"Make {where} a list [node id, output].",
            "reference-shape",
        )
        return None

    def choice(self, owner: Mapping[str, Any], name: str, choices: frozenset[str], path: str = "") -> str | None:
        """One of some words; None with a finding otherwise."""
        value = owner.get(name)
        where = _join(path, name)
        if isinstance(value, str) and value in choices:
            return value
        self.wrong(where, f"{where} is {_shown(value)}.", f"Use one of: {', '.join(sorted(choices))}.")
        return None


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)[:60]
