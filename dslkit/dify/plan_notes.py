"""What is forgiven and found while a plan is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from dslkit.records import Finding, Repair


@dataclass(slots=True)
class Notes:
    """What was forgiven and found while reading, with the node it is about."""

    forgiven: list[Repair] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    node: str | None = None
    _seen: set[tuple[str, str | None]] = field(default_factory=set)

    def at(self, node: str) -> Notes:
        """The same notes, speaking of ``node``."""
        return Notes(self.forgiven, self.findings, node, self._seen)

    def forgive(self, code: str, message: str, node: str | None = None) -> None:
        """Name a liberty, once for each code and node."""
        node = node or self.node
        if (code, node) not in self._seen:
            self._seen.add((code, node))
            self.forgiven.append(Repair(code=code, message=message, node=node))

    def error(self, code: str, message: str, remedy: str, path: str | None = None) -> None:
        """Name what cannot be read."""
        self.findings.append(
            Finding(code=code, severity="error", message=message, remedy=remedy, node=self.node, path=path)
        )
