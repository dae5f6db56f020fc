"""Cost and latency reports: the ledger's figures as one HTML file that needs no network and runs no script.

``write`` makes a report of a ledger, ``write_comparison`` one of two runs or periods, ``export`` one of any executed
notebook.  ``read`` and ``read_comparison`` give a notebook the sections.  All load their libraries when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dslkit.report.comparison import ComparisonReport, read_comparison
    from dslkit.report.exporting import export
    from dslkit.report.page import Report, read
    from dslkit.report.writing import write, write_comparison

__all__ = ["ComparisonReport", "Report", "export", "read", "read_comparison", "write", "write_comparison"]

_HOMES = {
    "ComparisonReport": "comparison",
    "Report": "page",
    "export": "exporting",
    "read": "page",
    "read_comparison": "comparison",
    "write": "writing",
    "write_comparison": "writing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
