"""Cost and latency reports: the ledger's figures as one HTML file that needs no network and runs no script.

``write`` makes the file; ``read`` gives a notebook the sections.  Both load their libraries when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dslkit.report.page import Report, read
    from dslkit.report.writing import export, write

__all__ = ["Report", "export", "read", "write"]

_HOMES = {"Report": "page", "export": "writing", "read": "page", "write": "writing"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
