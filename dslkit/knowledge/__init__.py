"""Workflow patterns: files that are the truth, and their search in Chroma.

``Knowledge`` loads Chroma and the embedding when it is first asked for; patterns alone need neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslkit.knowledge.patterns import Pattern, shipped_patterns

if TYPE_CHECKING:
    from dslkit.knowledge.library import Knowledge, Match

__all__ = ["Knowledge", "Match", "Pattern", "shipped_patterns"]


def __getattr__(name: str) -> object:
    if name not in {"Knowledge", "Match"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dslkit.knowledge import library  # noqa: PLC0415 - Chroma takes over a second to import

    return getattr(library, name)
