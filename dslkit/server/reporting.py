"""Defects of the service and of its processes, told to Sentry where SENTRY_DSN names a project."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dslkit.settings import Settings
    from dslkit.telemetry.errors import Reporter

_log = logging.getLogger(__name__)
DIED = "GeneratingProcessDied"


def crash(settings: Settings, error: BaseException, request_id: str) -> None:
    """An exception that was not meant; blocks until it is told."""
    if (reporter := _reporter(settings)) is not None:
        reporter.crash(error, request_id=request_id)


def death(settings: Settings, code: int | None, jobs: int) -> None:
    """A generating process ended by itself while ``jobs`` were under way; blocks until it is told."""
    if (reporter := _reporter(settings)) is not None:
        reporter.failure(DIED, exit_code=str(code), jobs=str(jobs))


def _reporter(settings: Settings) -> Reporter | None:
    if settings.sentry_dsn is None:
        return None
    from dslkit.telemetry.errors import Reporter  # noqa: PLC0415 - with the ledger

    return Reporter(settings.sentry_dsn.get_secret_value(), _log.warning)
