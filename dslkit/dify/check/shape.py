"""Small questions about the fields of a node's data, each with its finding."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dslkit.dify.check.report import Report
    from dslkit.dify.graph import Node


class Fields:
    """Asks a node for its fields; what is missing or of the wrong kind becomes a finding at that field.

    ``data`` is the node's without its nulls; of ``missing``, fields already found missing, nothing more is said.
    """

    def __init__(self, node: Node, report: Report, missing: Collection[str] = ()) -> None:
        self.node = node
        self.report = report
        self.data = {name: value for name, value in node.data.items() if value is not None}
        self._missing = missing

    def given(self, name: str) -> bool:
        """Whether a field that the node must have is there."""
        return name not in self._missing

    def wrong(self, path: str, message: str, remedy: str, code: str = "node-field") -> None:
        """An error at one of the node's fields."""
        self.report.error(code, message, remedy, self.node, path)

    def text(self, owner: Mapping[str, Any], name: str, path: str = "", *, empty: bool = True) -> str | None:
        """A text; None with a finding otherwise."""
        value = owner.get(name)
        if isinstance(value, str) and not (empty or value.strip()):
            self._refuse(owner, name, path, "{} is empty.", "Fill in {}.")
        elif isinstance(value, str):
            return value
        else:
            self._refuse(owner, name, path, f"{{}} is {_shown(value)}, not text.", "Make {} a text.")
        return None

    def mapping(self, owner: Mapping[str, Any], name: str, path: str = "") -> Mapping[str, Any] | None:
        """A mapping; None with a finding otherwise."""
        value = owner.get(name)
        if isinstance(value, Mapping):
            return value
        self._refuse(owner, name, path, f"{{}} is {_shown(value)}, not a mapping.", "Make {} a mapping.")
        return None

    def entries(self, owner: Mapping[str, Any], name: str, path: str = "") -> list[tuple[str, Mapping[str, Any]]]:
        """The mappings of a list with their paths; a finding for the list or an entry that is none."""
        value = owner.get(name)
        if not isinstance(value, list):
            self._refuse(owner, name, path, f"{{}} is {_shown(value)}, not a list.", "Make {} a list.")
            return []
        found = [(f"{_join(path, name)}/{index}", entry) for index, entry in enumerate(value)]
        for here, entry in found:
            if not isinstance(entry, Mapping):
                self.wrong(here, f"{here} is {_shown(entry)}, not a mapping.", f"Correct {here}.")
        return [(here, entry) for here, entry in found if isinstance(entry, Mapping)]

    def selector(self, owner: Mapping[str, Any], name: str, path: str = "") -> tuple[str, ...] | None:
        """A selector ``[node, field, …]``; None with a finding otherwise."""
        value = owner.get(name)
        if isinstance(value, list) and len(value) > 1 and all(isinstance(part, str) and part for part in value):
            return tuple(value)
        message, remedy = f"{{}} is {_shown(value)}, not a reference.", "Make {} a list [node id, output]."
        self._refuse(owner, name, path, message, remedy, "reference-shape")
        return None

    def choice(self, owner: Mapping[str, Any], name: str, choices: frozenset[str], path: str = "") -> str | None:
        """One of some words; None with a finding otherwise."""
        value = owner.get(name)
        if isinstance(value, str) and value in choices:
            return value
        remedy = f"Use one of: {', '.join(sorted(choices))}."
        self._refuse(owner, name, path, f"{{}} is {_shown(value)}.", remedy)
        return None

    def _refuse(
        self, owner: Mapping[str, Any], name: str, path: str, message: str, remedy: str, code: str = "node-field"
    ) -> None:
        """An error at a field, whose place goes where the texts have ``{}``."""
        where = _join(path, name)
        if owner is not self.data or self.given(name):
            self.wrong(where, where.join(message.split("{}", 1)), remedy.replace("{}", where), code)


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)[:60]
