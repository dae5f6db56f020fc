"""An OTLP receiver on loopback: takes protobuf over HTTP, and says what came in plain values."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.analysis.receivers import Received, receiving

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


@dataclass(frozen=True)
class Seen:
    """A span as it arrived."""

    trace: str
    id: str
    parent: str
    name: str
    kind: int
    failed: bool
    start: int
    end: int
    attributes: dict[str, Any]


class OtlpReceiver:
    """What a server got."""

    def __init__(self, server: Received) -> None:
        self.server = server

    @property
    def spans(self) -> list[Seen]:
        return [
            Seen(
                span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.name, span.kind,
                span.status.code == 2, span.start_time_unix_nano, span.end_time_unix_nano, _values(span.attributes),
            )
            for request in self._of("/v1/traces", ExportTraceServiceRequest)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]  # fmt: skip

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics of the last request, by name."""
        requests = self._of("/v1/metrics", ExportMetricsServiceRequest)
        scopes = [scope for resource in requests[-1].resource_metrics for scope in resource.scope_metrics]
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    @property
    def resource(self) -> dict[str, Any]:
        return _values(self._of("/v1/traces", ExportTraceServiceRequest)[0].resource_spans[0].resource.attributes)

    @property
    def schemas(self) -> set[str]:
        requests = self._of("/v1/traces", ExportTraceServiceRequest)
        return {
            scope.schema_url for one in requests for resource in one.resource_spans for scope in resource.scope_spans
        }

    def _of(self, path: str, kind: Any) -> list[Any]:
        received = zip(self.server.paths, self.server.bodies, strict=True)
        return [kind.FromString(body) for at, body in received if at == path]


@contextlib.contextmanager
def collecting(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    """A receiver that the environment names."""
    with receiving() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        yield OtlpReceiver(server)


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)
