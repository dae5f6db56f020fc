"""One requirement end to end, and many of them: resumed, throttled, recorded.

``generate`` makes one workflow, ``generate_batch`` many; ``load`` reads their requirements from a file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from dslkit.batch.requirements import load

if TYPE_CHECKING:
    from dslkit.batch.many import BatchResult, generate_batch
    from dslkit.batch.one import Generated, generate

__all__ = ["BatchResult", "Generated", "generate", "generate_batch", "load"]

_MODULE = {
    "BatchResult": "dslkit.batch.many",
    "Generated": "dslkit.batch.one",
    "generate": "dslkit.batch.one",
    "generate_batch": "dslkit.batch.many",
}


def __getattr__(name: str) -> object:
    """Load the slow half (agents, clients, ledger) when it is first asked for; reading a file needs none of it."""
    if name in _MODULE:
        return getattr(import_module(_MODULE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
