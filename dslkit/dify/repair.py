"""Fixes that need no language model: named, minimal, idempotent.

A repair never reads a requirement, and never drops a node or an edge to silence a finding; what has more than one
possible reading stays a finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dslkit.records import Repair


def repair_document(document: dict[str, Any]) -> tuple[Repair, ...]:
    """Mend a document in place; returns what was done, in order."""
    return ()
