"""Errors for Sentry: where something broke, and of what kind; no prompt, no answer, no key.

Told is what ends a command with exit code 1, the server's own errors, and work that failed: all but mistakes of the
caller.  An event names classes, functions and lines of code.  What an exception says is left out unless the words are
this package's own, for those of a server or a parser may repeat what they were given.
"""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from dslkit.errors import BudgetError, RefusedError, SettingsError, TooLargeError, UsageError, WaitTooLongError
from dslkit.ledger.redact import redact, redact_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry_sdk import Client
    from sentry_sdk.types import Event, Hint

    from dslkit.analysis.scope import Views

MISSING = "SENTRY_DSN is set, but Sentry's SDK is not installed: pip install 'dslkit[sentry]'."
WRONG = "SENTRY_DSN is no address of a Sentry project: https://KEY@HOST/NUMBER. Errors are not reported."
_OUR_WORDS = frozenset(kind.__name__ for kind in (RefusedError, TooLargeError, WaitTooLongError, BudgetError))
_MISTAKES = [kind.__name__ for kind in (UsageError, SettingsError)]
_FAILED_RUN = """
  SELECT coalesce(error_type, status), coalesce(parse_filename(notebook), 'batch') FROM runs
  WHERE run_id = $run AND status = 'failed' AND NOT list_contains($mistakes, coalesce(error_type, ''))
"""
_FAILED_ITEMS = """
  SELECT coalesce(error_type, verdict) AS kind, count(*) FROM items
  WHERE run_id = $run AND verdict = 'failed' AND NOT list_contains($mistakes, coalesce(error_type, ''))
  GROUP BY ALL ORDER BY ALL
"""
_FRAME = ("filename", "function", "module", "lineno", "in_app")
_KEPT = ("event_id", "timestamp", "platform", "level", "release", "environment", "sdk", "tags", "transaction")
_FAREWELL_S = 2.0


class Reporter:
    """Reports errors to a Sentry project; to nobody when there is no DSN, or no SDK.

    Args:
        dsn: address of the project.
        say: for the person at the terminal.
    """

    def __init__(self, dsn: str | None, say: Callable[[str], object] = lambda _text: None) -> None:
        self._client = _client(dsn, say) if dsn else None

    def crash(self, error: BaseException, **tags: str) -> None:
        """Report an exception with the way that it came, unless the caller has to change something."""
        if self._client is None or isinstance(error, UsageError):
            return
        from sentry_sdk.utils import event_from_exception  # noqa: PLC0415 - an extra

        event, _ = event_from_exception(error, client_options=self._client.options)
        self._send(event, tags)

    def failure(self, kind: str, **tags: str) -> None:
        """Report a failure of which only the kind is known: of a run, or of items of a batch."""
        if self._client is not None:
            self._send({"level": "error", "exception": {"values": [{"type": kind}]}}, tags)

    def run(self, views: Views, run_id: str) -> None:
        """Report what failed in a run, by the ledger: itself, and its items by kind of error, one event a kind."""
        if self._client is None:
            return
        values = {"run": run_id, "mistakes": _MISTAKES}
        for kind, notebook in views.execute(_FAILED_RUN, values).fetchall():
            self.failure(kind, run=run_id, notebook=notebook)
        for kind, count in views.execute(_FAILED_ITEMS, values).fetchall():
            self.failure(kind, run=run_id, failed_items=str(count))

    def _send(self, event: Any, tags: dict[str, str]) -> None:
        assert self._client is not None
        event["tags"] = tags
        self._client.capture_event(event)
        self._client.flush(timeout=_FAREWELL_S)


def obstacle(dsn: str) -> str:
    """What keeps errors from being reported there, without the address, which is a secret; empty if nothing."""
    if importlib.util.find_spec("sentry_sdk") is None:
        return MISSING
    from sentry_sdk.utils import Dsn  # noqa: PLC0415 - an extra

    try:
        Dsn(dsn)
    except ValueError:  # the SDK's own is one; a port that is none has another
        return WRONG
    return ""


def _client(dsn: str, say: Callable[[str], object]) -> Client | None:
    """A client of its own, not the global one, and without the integrations that patch other libraries."""
    if problem := obstacle(dsn):
        say(problem)
        return None
    from sentry_sdk import Client  # noqa: PLC0415 - an extra, and 0.2 s

    return Client(
        dsn=dsn,
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        include_source_context=False,
        max_breadcrumbs=0,
        server_name="",
        release=f"dslkit@{version('dslkit')}",  # else the SDK asks git for the commit of the working folder
        before_send=_scrubbed,
    )


def _scrubbed(event: Event, _hint: Hint) -> Event:
    """What is known to be harmless, and nothing else: whatever the SDK may add one day stays here."""
    exceptions: Any = event.get("exception") or {}
    kept: Any = {name: event[name] for name in _KEPT if name in event}  # type: ignore[literal-required] # names of its own
    kept["tags"] = redact_values(kept.get("tags") or {})
    kept["exception"] = {"values": [_exception(one) for one in exceptions.get("values") or ()]}
    return kept  # type: ignore[no-any-return] # an Event of fewer keys


def _exception(told: dict[str, Any]) -> dict[str, Any]:
    frames = (told.get("stacktrace") or {}).get("frames") or ()
    kept = {name: told[name] for name in ("type", "module") if told.get(name)}
    if told.get("type") in _OUR_WORDS:
        kept["value"] = redact(str(told.get("value") or ""))
    if frames:
        kept["stacktrace"] = {"frames": [_frame(frame) for frame in frames]}
    return kept


def _frame(frame: dict[str, Any]) -> dict[str, Any]:
    """Of code that belongs to no package the SDK gives the whole path, with the user's name in it."""
    path = PurePath(str(frame.get("filename") or ""))
    kept = {name: frame.get(name) for name in _FRAME}
    return kept | {"filename": path.name} if path.is_absolute() else kept
