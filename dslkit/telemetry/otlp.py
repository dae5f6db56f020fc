"""Spans and metrics over OTLP/HTTP, by OpenTelemetry's own SDK, which honours the ``OTEL_*`` variables."""

from __future__ import annotations

import logging
import math
import os
import uuid
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision

from dslkit.ledger.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from dslkit.telemetry.spans import Span

SCOPE = "dslkit"
SCHEMA = "https://opentelemetry.io/schemas/1.41.0"  # the last that had the GenAI conventions, whose names these are
# As the conventions have them.
TOKEN_BUCKETS = [4**power for power in range(14)]
DURATION_BUCKETS = [0.01 * 2**power for power in range(14)]
_ABOUT = (
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.model",
)
_KINDS = {"client": trace.SpanKind.CLIENT, "internal": trace.SpanKind.INTERNAL}
_SAMPLED, _DROPPED = trace.TraceFlags(trace.TraceFlags.SAMPLED), trace.TraceFlags(trace.TraceFlags.DEFAULT)


class _Given(IdGenerator):
    """Gives the ids that are wanted next."""

    trace_id = span_id = 0

    def generate_span_id(self) -> int:
        return self.span_id

    def generate_trace_id(self) -> int:
        return self.trace_id


class _LastWord(logging.Handler):
    """Keeps what the exporters have to say, instead of printing it into somebody's batch.

    ``cause`` is why the server could not be reached: said of each try, but not by the last word on all of them.
    """

    words = cause = ""

    def emit(self, record: logging.LogRecord) -> None:
        args = record.args if isinstance(record.args, tuple) else ()
        self.cause = next((_root(arg) for arg in args if isinstance(arg, Exception)), self.cause)
        self.words = record.getMessage()

    def forget(self) -> None:
        """Of what was sent before."""
        self.words = self.cause = ""


class Otlp:
    """Where the ``OTEL_*`` variables say that traces and metrics go.  ``problem`` says what went wrong last."""

    def __init__(self) -> None:
        self._heard = _listen()
        resource = _resource()
        self._ids, self._made = _Given(), InMemorySpanExporter()
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self._made))
        self._tracer = self._provider.get_tracer(SCOPE, version("dslkit"), SCHEMA)
        self._exporter = OTLPSpanExporter() if _wanted("TRACES") else None
        self._meters = _meters(resource) if _wanted("METRICS") else None
        if self._meters is not None:
            meter = self._meters.get_meter(SCOPE, version("dslkit"), SCHEMA)
            self._tokens = meter.create_histogram(
                "gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.",
                explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
            )  # fmt: skip
            self._durations = meter.create_histogram(
                "gen_ai.client.operation.duration", "s", "GenAI operation duration.",
                explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
            )  # fmt: skip

    @property
    def problem(self) -> str:
        """Why the server could not be reached, or else the last complaint of an exporter; after the server's name."""
        named = _named()
        server, said = _server(named), self._heard.cause or self._heard.words
        return redact(f"{server}: {said.replace(named, server)}") if server else "its address is none of HTTP's"

    def send(self, spans: Iterable[Span]) -> bool:
        """Whether the traces have arrived; waits for the answer, as long as OTEL_EXPORTER_OTLP_TIMEOUT says."""
        if self._exporter is None:
            return True
        for span in spans:
            self._make(span)
        made = self._made.get_finished_spans()
        self._made.clear()
        self._heard.forget()
        return not made or self._exporter.export(made) is SpanExportResult.SUCCESS

    def measure(self, spans: Iterable[Span]) -> None:
        """Add attempts to the histograms, and send these as they are now."""
        if self._meters is None:
            return
        for span in spans:
            if span.measures:
                self._record(span)
        self._meters.force_flush()

    def close(self) -> None:
        """Send what is left of the metrics, and close connections."""
        if self._exporter is not None:
            self._exporter.shutdown()  # type: ignore[no-untyped-call] # the SDK left it so
        if self._meters is not None:
            self._meters.shutdown()
        self._provider.shutdown()

    def _make(self, span: Span) -> None:
        self._ids.trace_id, self._ids.span_id = span.trace_id, span.span_id
        made = self._tracer.start_span(
            span.name,
            context=self._context(span),
            kind=_KINDS[span.kind],
            attributes=dict(span.attributes),
            start_time=_nanoseconds(span.started_at),
        )
        if span.error is not None:
            made.set_status(trace.StatusCode.ERROR, span.error)
        made.end(_nanoseconds(max(span.ended_at, span.started_at)))

    def _context(self, span: Span) -> Any:
        """Of the parent, which is sampled or not as the whole trace is."""
        if span.parent_id is None:
            return trace.set_span_in_context(trace.INVALID_SPAN)
        decision = self._provider.sampler.should_sample(None, span.trace_id, span.name).decision
        kept = decision is Decision.RECORD_AND_SAMPLE
        flags = _SAMPLED if kept else _DROPPED
        context = trace.SpanContext(span.trace_id, span.parent_id, is_remote=True, trace_flags=flags)
        return trace.set_span_in_context(trace.NonRecordingSpan(context))

    def _record(self, span: Span) -> None:
        about = {name: span.attributes[name] for name in _ABOUT if name in span.attributes}
        for kind in ("input", "output"):
            if span.measures[f"{kind}_tokens"] is not None:
                self._tokens.record(span.measures[f"{kind}_tokens"], {**about, "gen_ai.token.type": kind})
        if span.measures["latency_s"] is not None:
            failed = {"error.type": span.error} if span.error is not None else {}
            self._durations.record(span.measures["latency_s"], {**about, **failed})


def _resource() -> Resource:
    """Each process has an instance id of its own: its counts are another series than those of the one before."""
    resource = Resource.create({"service.instance.id": str(uuid.uuid4())})
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "dslkit", "service.version": version("dslkit")}))
    return resource


def _meters(resource: Resource) -> MeterProvider:
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=math.inf)
    return MeterProvider([reader], resource=resource, shutdown_on_exit=False)


def _wanted(signal: str) -> bool:
    return os.environ.get(f"OTEL_{signal}_EXPORTER", "").strip().lower() != "none"


def _named() -> str:
    """Where traces go, as the environment has it; where it has nothing, to where the SDK sends them."""
    names = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    named = next((os.environ[name] for name in names if os.environ.get(name)), "http://localhost:4318")
    return named.strip().rstrip("/")


def _server(address: str) -> str:
    """Without what may be secret in an address: user, password, path, query; empty where it names no HTTP server."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if parts.scheme in {"http", "https"} and host else ""


def _root(error: BaseException) -> str:
    """What is at the root of it, as the operating system has it where it is from there: ``Connection refused``."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _listen() -> _LastWord:
    heard = _LastWord()
    for name in ("opentelemetry.exporter", "opentelemetry.sdk.metrics"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [heard], False
    return heard


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000) * 1000
