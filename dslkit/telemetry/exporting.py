"""The ledger's traces on their way to a collector: at least once, from where the last export ended.

The hot path pays nothing: what is exported is what the ledger recorded, by whatever process, also one that was killed.
``home/telemetry/cursor.json`` holds how far everything has arrived; one process at a time moves it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from filelock import FileLock, Timeout

from dslkit.batch.artefact import write_whole
from dslkit.errors import DslkitError, LedgerError, UsageError
from dslkit.ledger import Ledger
from dslkit.ledger.background import Background
from dslkit.telemetry.gathering import gather

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from dslkit.telemetry.spans import Span

INTERVAL_S = 5.0
LONGEST_S = 60.0
REST = 50  # an export may take one part in so many of the time; reading a ledger with much uncompacted is dear
FAREWELL_S = 3.0  # a job that is done does not wait longer for a collector
CHUNK = 512
OVERLAP = timedelta(minutes=2)  # a line reaches the ledger soon after the instant it names, but not in that instant
CONTENT_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
MISSING = "OpenTelemetry is not installed: pip install 'dslkit[otel]'."
PROTOCOL = "http/protobuf"
_INSTEAD = "Name the collector's port for that (4318) and unset it."
_NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_METRICS_ENDPOINT = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
_UNNAMED = "No collector is named, so nothing is sent: name one with OTEL_EXPORTER_OTLP_ENDPOINT (http://HOST:4318)."
_log = logging.getLogger(__name__)


class Collector(Protocol):
    """Takes spans."""

    @property
    def problem(self) -> str:
        """What went wrong last."""

    def send(self, spans: Iterable[Span]) -> bool:
        """Whether they have arrived."""

    def measure(self, spans: Iterable[Span]) -> None:
        """Count what is in them."""

    def close(self) -> None:
        """Nothing more comes."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """All that was whole before ``until`` has arrived, and of the last minutes before it what is in ``sent``."""

    until: datetime
    sent: Mapping[int, datetime]
    open_runs: Collection[str] = frozenset()

    def after(self, spans: Iterable[Span], until: datetime) -> Cursor:
        """Moved on past these spans."""
        known = {**self.sent, **{span.span_id: span.done_at for span in spans}}
        recent = {span_id: done for span_id, done in known.items() if done >= until - OVERLAP}
        return replace(self, until=max(until, self.until), sent=recent)

    def as_json(self) -> str:
        """To be kept."""
        sent = {f"{span_id:016x}": done.isoformat() for span_id, done in self.sent.items()}
        return json.dumps({"until": self.until.isoformat(), "sent": sent, "open_runs": sorted(self.open_runs)})


class Exporter:
    """Exports the ledger of a home.

    Args:
        home: of the ledger.
        collector: takes the spans; None: they are counted, and nothing changes.
        contents: with prompts and answers, where they were stored.
        since: where to begin when nothing was exported before.
        now: the time of day.
        clock: seconds that pass.
    """

    def __init__(
        self,
        home: Path,
        collector: Collector | None,
        *,
        contents: bool = False,
        since: datetime | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rest_s = INTERVAL_S  # how long to leave ledger and collector alone before the next export
        self._clock = clock
        self._ledger = Ledger(home)
        self._collector = collector
        self._contents = contents
        self._since = since or datetime.fromtimestamp(0, UTC)
        self._now = now
        self._path = home / "telemetry" / "cursor.json"

    def export(self, *, wait_s: float = 30.0) -> int:
        """Send what is new; the number of spans.

        Raises:
            DslkitError: the collector did not take them (what it took before counts), or the ledger cannot be read.
            Timeout: another process was at it all the while.
        """
        if self._collector is None:
            return self._export(self._read())
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(
                f"{self._path.parent}: no such folder can be made ({error.strerror}). Name another with DSLKIT_HOME."
            ) from error
        with FileLock(self._path.with_suffix(".lock"), timeout=wait_s):
            begun = self._clock()
            try:
                return self._export(self._read())
            finally:
                self.rest_s = min(max(INTERVAL_S, REST * (self._clock() - begun)), LONGEST_S)

    def _export(self, cursor: Cursor) -> int:
        before, views, count, more = cursor, self._ledger.snapshot(), 0, True
        now = self._now()
        while more:
            found = gather(
                views,
                since=cursor.until - OVERLAP,
                now=now,
                sent=cursor.sent,
                open_runs=cursor.open_runs,
                contents=self._contents,
            )
            cursor = replace(cursor, open_runs=found.pending)
            for begin in range(0, len(found.spans), CHUNK):
                chunk = found.spans[begin : begin + CHUNK]
                self._send(chunk)
                cursor = cursor.after(chunk, min(chunk[-1].done_at, now))
                self._write(cursor)
            count, more = count + len(found.spans), found.more
            cursor = replace(cursor, open_runs=found.open_runs)
        if self._collector is not None and (count or cursor.open_runs != before.open_runs):
            write_whole(self._path, cursor.after((), now).as_json())
        return count

    def _send(self, spans: Sequence[Span]) -> None:
        if self._collector is None:
            return
        if not self._collector.send(spans):
            raise DslkitError(f"The collector did not take the traces: {self._collector.problem.rstrip('.')}.")
        self._collector.measure(spans)

    def _read(self) -> Cursor:
        try:
            entry = json.loads(self._path.read_text(encoding="utf-8"))
            sent = {int(span_id, 16): datetime.fromisoformat(done) for span_id, done in entry["sent"].items()}
            return Cursor(datetime.fromisoformat(entry["until"]), sent, frozenset(entry["open_runs"]))
        except (FileNotFoundError, NotADirectoryError):
            return Cursor(self._since, {})
        except (ValueError, KeyError, TypeError, AttributeError):
            _log.warning("%s is damaged: all is exported again", self._path)
            return Cursor(self._since, {})

    def _write(self, cursor: Cursor) -> None:
        """On the way whole but not durably: a power cut costs no more than sending something twice."""
        if self._collector is None:
            return
        aside = self._path.with_suffix(".new")
        aside.write_text(cursor.as_json(), encoding="utf-8")
        aside.replace(self._path)


def exporter(home: Path, *, contents: bool = False, since: datetime | None = None) -> tuple[Exporter, Collector]:
    """An exporter to where the ``OTEL_*`` variables say, and its collector to close.

    Raises:
        UsageError: OpenTelemetry is not installed, or the environment names no collector or asks for another protocol.
    """
    if problem := obstacle(os.environ):
        raise UsageError(problem)
    if not any(os.environ.get(name, "").strip() for name in (*_ENDPOINTS, _METRICS_ENDPOINT)):
        raise UsageError(_UNNAMED)
    from dslkit.telemetry.otlp import Otlp  # noqa: PLC0415 - an extra, and 0.4 s

    collector = Otlp()
    return Exporter(home, collector, contents=contents, since=since), collector


def obstacle(environment: Mapping[str, str]) -> str:
    """What keeps traces from being sent, whatever the collector: the extra, or another protocol; empty if nothing."""
    if not _is_installed():
        return MISSING
    others = (name for name in _PROTOCOLS if environment.get(name, "").strip() not in {"", PROTOCOL})
    return next((f"{name}: dslkit sends {PROTOCOL}. {_INSTEAD}" for name in others), "")


def _is_installed() -> bool:
    """All of it: a dependency brings OpenTelemetry's API, and may bring its SDK, without an exporter over HTTP."""
    try:
        return all(importlib.util.find_spec(name) is not None for name in _NEEDED)
    except ModuleNotFoundError:  # of a package above
        return False


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment names a collector."""
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not disabled and any(environment.get(name, "").strip() for name in _ENDPOINTS)


def contents_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment asks for prompts and answers in traces."""
    return environment.get(CONTENT_VARIABLE, "").strip().lower() in {"true", "1", "span_only", "span_and_event"}


@contextlib.contextmanager
def exporting(home: Path, say: Callable[[str], object], environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Meanwhile export what is recorded, if the environment names a collector; never delays or fails what is inside.

    A collector that cannot be reached is said once, at the end; what did not arrive goes with the next export.
    """
    if not is_wanted(environment):
        yield
        return
    if problem := obstacle(environment):
        say(f"telemetry: {problem}")
        yield
        return
    worker = _Worker(home, datetime.now(UTC), contents=contents_wanted(environment))
    try:
        yield
    finally:
        problem = worker.stop(FAREWELL_S)
        if problem:
            say(f"telemetry: {problem} What is missing goes with the next export.")


class _Worker:
    """Exports now and then, and once more when told to stop."""

    def __init__(self, home: Path, since: datetime, *, contents: bool) -> None:
        self._options: dict[str, Any] = {"home": home, "since": since, "contents": contents}
        self._over = threading.Event()
        self._problem = ""
        self._thread = Background(self._run, name="telemetry")
        self._thread.start()

    def _run(self) -> None:
        """Until told to stop; whatever goes wrong is kept to be said."""
        try:
            export, collector = None, None
            over = False
            while not over:
                over = self._over.wait(INTERVAL_S if export is None else export.rest_s)
                if export is None:
                    export, collector = exporter(**self._options)
                self._problem = _attempt(export, wait_s=FAREWELL_S if over else 0)
            if collector is not None:
                collector.close()
        except Exception as error:  # noqa: BLE001 - telemetry must not end what it watches
            self._problem = _told(error)

    def stop(self, wait_s: float) -> str:
        """Export once more, but do not wait longer for it; what went wrong."""
        self._over.set()
        self._thread.join(wait_s)
        return "The collector takes its time." if self._thread.is_alive() else self._problem


def _attempt(export: Exporter, wait_s: float) -> str:
    """Try; what went wrong."""
    try:
        export.export(wait_s=wait_s)
    except Timeout:
        return ""  # another process exports this home
    except Exception as error:  # noqa: BLE001 - telemetry must not end what it watches
        _log.info("No export this time", exc_info=True)
        return _told(error)
    return ""


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, DslkitError) else f"{type(error).__name__}: {error}"
