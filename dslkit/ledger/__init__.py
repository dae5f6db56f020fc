"""The ledger: every attempt, run and item, written by any number of processes, read at any time.

``Ledger`` is the whole of it for other rooms; ``Ledger.recorder()`` gives the writing side.
"""

from typing import TYPE_CHECKING, Any

from dslkit.ledger.queries import UsageRow, UsageTotals
from dslkit.ledger.store import Ledger

if TYPE_CHECKING:
    from dslkit.ledger.recorder import LedgerRecorder

__all__ = ["Ledger", "LedgerRecorder", "UsageRow", "UsageTotals"]


def __getattr__(name: str) -> Any:
    """Load the recorder when it is asked for: it brings the prices, which readers do without."""
    if name == "LedgerRecorder":
        from dslkit.ledger.recorder import LedgerRecorder  # noqa: PLC0415

        return LedgerRecorder
    raise AttributeError(name)
