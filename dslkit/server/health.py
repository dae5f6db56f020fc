"""Whether work can be done: the ledger takes records, the disk has room, the model's server answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dslkit import doctor
from dslkit.server.board import Board
from dslkit.server.models import Check, Readiness

if TYPE_CHECKING:
    from dslkit.settings import Settings

FRESH_S = 10.0  # probes come often
TIMEOUT_S = 3.0


def readiness(settings: Settings) -> Board[Readiness]:
    """Those of the doctor's checks that are quick and cost nothing."""
    return Board(lambda: _examined(settings), fresh_s=FRESH_S, stale_s=FRESH_S)


def _examined(settings: Settings) -> Readiness:
    made = (
        doctor.check_ledger(settings.home),
        doctor.check_disk(settings.home),
        doctor.check_model(settings, TIMEOUT_S),
    )
    checks = {check.name: Check(ok=check.status != "problem", detail=check.detail) for check in made}
    ready = all(check.ok for check in checks.values())
    return Readiness(status="ready" if ready else "not ready", checks=checks, checked_at=datetime.now(UTC))
