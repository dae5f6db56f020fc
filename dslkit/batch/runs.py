"""The run that items are recorded for: the notebook's, or one of their own."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from dslkit.errors import UsageError
from dslkit.records import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dslkit.ledger import LedgerRecorder
    from dslkit.settings import Settings

RUN_ID_VARIABLE = "DSLKIT_RUN_ID"
SCHEDULE_VARIABLE = "DSLKIT_SCHEDULE"  # the name of the schedule that a run is of, set by whatever starts it
SCHEDULE_TAG = "schedule"


@contextmanager
def recorded_run(recorder: LedgerRecorder, parameters: Mapping[str, object]) -> Iterator[str]:
    """The id of the run around.  In a kernel that already works for a run, it is that one, recorded by its engine."""
    given = os.environ.get(RUN_ID_VARIABLE)
    if given:
        yield given
        return
    run = Run(
        run_id=str(uuid.uuid4()),
        started_at=datetime.now(UTC),
        parameters=dict(parameters),
        tags=schedule_tags(os.environ),
    )
    recorder.run(run)
    try:
        yield run.run_id
    except BaseException as error:
        interrupted = not isinstance(error, Exception)
        ended = replace(run, status="interrupted" if interrupted else "failed", ended_at=datetime.now(UTC))
        recorder.run(replace(ended, error_type=type(error).__name__, error_message=str(error)))
        raise
    recorder.run(replace(run, status="completed", ended_at=datetime.now(UTC)))


def schedule_tags(environment: Mapping[str, str]) -> dict[str, str]:
    """The tags of a run that a schedule starts; none for any other."""
    name = environment.get(SCHEDULE_VARIABLE)
    return {SCHEDULE_TAG: name} if name else {}


def with_budget(settings: Settings, budget_usd: Decimal | float | None) -> Settings:
    """The settings with a budget per run put over theirs."""
    if budget_usd is None:
        return settings
    if not budget_usd > 0:
        raise UsageError(f"A budget must be more than 0 USD, not {budget_usd}.")
    return settings.model_copy(update={"budget_per_run_usd": Decimal(str(budget_usd))})
