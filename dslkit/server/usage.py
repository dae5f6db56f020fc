"""Usage as the ledger has it: read some three times a second at most, however often it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslkit.server.board import Board
from dslkit.server.models import UsageStats

if TYPE_CHECKING:
    from dslkit.ledger import Ledger

FRESH_S = 0.3
STALE_S = 0.8  # so that nobody sees what is older than a second


def usage(ledger: Ledger) -> Board[UsageStats]:
    """The totals since the last reset."""
    return Board(lambda: _totals(ledger), fresh_s=FRESH_S, stale_s=STALE_S)


def _totals(ledger: Ledger) -> UsageStats:
    """With the names that the predecessor's clients read, besides ours."""
    totals = ledger.usage().as_dict()
    return UsageStats.model_validate(
        {
            **totals,
            "total_prompt_tokens": totals["prompt_tokens"],
            "total_completion_tokens": totals["completion_tokens"],
            "requests_by_model": {name: one["total_requests"] for name, one in totals["models"].items()},
        }
    )
