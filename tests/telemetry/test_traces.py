"""Traces and metrics of a ledger, as a collector on loopback receives them."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, http_attributes, openai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes
from opentelemetry.semconv.schemas import Schemas

from dslkit.cli import main
from dslkit.errors import DslkitError, UsageError
from dslkit.ledger import Ledger
from dslkit.records import Attribution, CallEnd, CallStart, Finding, Item, Run, Usage
from dslkit.telemetry import exporting as room
from dslkit.telemetry.exporting import Exporter, exporter, exporting
from tests.analysis.receivers import receiving
from tests.telemetry.collector import OtlpReceiver, collecting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SECRET = "the prompt that nobody may see"
_numbers = count(1)


def call(home: Path, age_s: float, *, ended: bool = True, about: Attribution | None = None, **end: Any) -> str:
    """One attempt that began so long before noon and took a second."""
    number, begun = next(_numbers), NOW - timedelta(seconds=age_s)
    recorder = Ledger(home).recorder()
    start = CallStart(
        call_id=f"00000000-0000-4000-8000-{number:012}",
        attempt=end.pop("attempt", 1),
        attribution=about or Attribution(run_id="r1", item_id="a", stage="configuration", tags={"team": "blue"}),
        provider_name="openai",
        operation_name="chat",
        request_model="gpt-4o-mini",
        estimated_input_tokens=7,
        estimated_output_tokens=3,
        request_bytes=10,
        stream=end.pop("stream", False),
        throttle_wait_s=0.5,
        started_at=begun,
        content=end.pop("asked", None),
    )
    recorder.reserve(start)
    if ended:
        usage = Usage(input_tokens=1000, output_tokens=20, cache_read_input_tokens=600, reasoning_output_tokens=5)
        values = {"outcome": "ok", "latency_s": 1.0, "usage": usage, "http_status": 200, "finish_reason": "stop", **end}
        recorder.settle(
            CallEnd(call_id=start.call_id, attempt=start.attempt, ended_at=begun + timedelta(seconds=1), **values)
        )
    return start.call_id


def item(home: Path, name: str, age_s: float, **values: Any) -> None:
    made = Item(
        run_id="r1", item_id=name, key="k", model="gpt-4o-mini", mode="simple", verdict="clean", engine="not run",
        started_at=NOW - timedelta(seconds=120), ended_at=NOW - timedelta(seconds=age_s),
    )  # fmt: skip
    Ledger(home).recorder().item(replace(made, **values))


RUN = Run(run_id="r1", started_at=NOW - timedelta(seconds=130), notebook="notebooks/generate_batch.ipynb", commit="abc")


def batch(home: Path) -> None:
    """A run of two items: one with a retry, one that failed."""
    recorder = Ledger(home).recorder()
    recorder.run(RUN)
    failed = {"outcome": "error", "usage": None, "error_type": "RateLimitError", "http_status": 429}
    call(home, 100, **failed, error_message=SECRET)
    call(home, 90, attempt=2, stream=True, time_to_first_chunk_s=0.3, response_model="gpt-4o-mini-2024-07-18")
    call(home, 80, about=Attribution(run_id="r1", item_id="a", stage="quality"))
    call(home, 70, about=Attribution(run_id="r1", item_id="b", stage="configuration"))
    item(home, "a", 60, findings=(Finding(code="edge-missing", severity="error", message=SECRET),))
    item(home, "b", 50, verdict="failed", error_type="AccountError", error_message=SECRET)
    recorder.run(replace(RUN, status="completed", ended_at=NOW - timedelta(seconds=40)))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    with collecting(monkeypatch) as receiver:
        yield receiver


def export(home: Path, **options: Any) -> int:
    """A new process's export, at noon."""
    exports, sink = exporter(home, **options)
    exports._now = lambda: NOW
    try:
        return exports.export()
    finally:
        sink.close()


def test_a_trace_is_run_item_agent_attempt(home: Path, collector: OtlpReceiver) -> None:
    batch(home)
    assert export(home) == 10
    spans = {span.id: span for span in collector.spans}
    assert len(spans) == 10
    assert len({span.trace for span in spans.values()}) == 1

    def way(span: Any) -> str:
        return f"{way(spans[span.parent])} / {span.name}" if span.parent else span.name

    assert sorted(way(span) for span in spans.values()) == [
        "invoke_workflow generate_batch",
        "invoke_workflow generate_batch / item a",
        "invoke_workflow generate_batch / item a / invoke_agent configuration",
        "invoke_workflow generate_batch / item a / invoke_agent configuration / chat gpt-4o-mini",
        "invoke_workflow generate_batch / item a / invoke_agent configuration / chat gpt-4o-mini",
        "invoke_workflow generate_batch / item a / invoke_agent quality",
        "invoke_workflow generate_batch / item a / invoke_agent quality / chat gpt-4o-mini",
        "invoke_workflow generate_batch / item b",
        "invoke_workflow generate_batch / item b / invoke_agent configuration",
        "invoke_workflow generate_batch / item b / invoke_agent configuration / chat gpt-4o-mini",
    ]
    attempts = [span for span in spans.values() if span.name.startswith("chat")]
    assert {span.kind for span in attempts} == {3}, "clients"
    assert sorted(span.failed for span in attempts) == [False, False, False, True]
    assert {span.end - span.start for span in attempts} == {1_000_000_000}
    run = next(span for span in spans.values() if not span.parent)
    assert run.start == round(RUN.started_at.timestamp()) * 10**9
    assert run.end - run.start == 90 * 10**9
    assert collector.resource["service.name"] == "dslkit"
    assert run.attributes["gen_ai.workflow.name"] == run.attributes["gen_ai.agent.name"] == "generate_batch"


def test_an_attempt_says_what_the_conventions_ask(home: Path, collector: OtlpReceiver) -> None:
    batch(home)
    export(home)
    failed, streamed, *_ = sorted((span for span in collector.spans if span.kind == 3), key=lambda span: span.start)
    assert (
        streamed.attributes.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.request.stream": True,
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.response.time_to_first_chunk": 0.3,
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 600,
            "gen_ai.usage.reasoning.output_tokens": 5,
            "http.response.status_code": 200,
            "dslkit.attempt": 2,
            "dslkit.tag.team": "blue",
        }.items()
    )
    assert failed.attributes["error.type"] == "RateLimitError"
    assert "gen_ai.usage.input_tokens" not in failed.attributes, "unknown is not 0"


def test_names_are_those_of_the_published_conventions(home: Path, collector: OtlpReceiver) -> None:
    published = {
        value
        for module in (gen_ai_attributes, http_attributes, openai_attributes, error_attributes)
        for value in vars(module).values()
        if isinstance(value, str)
    }
    batch(home)
    call(home, 30, asked=b'{"messages": [{"role": "user", "content": "x"}]}')
    export(home, contents=True)
    used = {name for span in collector.spans for name in span.attributes}
    assert len([name for name in used if name.startswith("gen_ai.")]) > 10
    assert sorted(name for name in used if not name.startswith("dslkit.") and name not in published) == []
    assert collector.schemas == {Schemas.V1_41_0.value}, "of the last package whose GenAI conventions are its own"
    operations = {span.attributes.get("gen_ai.operation.name") for span in collector.spans} - {None}
    assert operations <= {value.value for value in gen_ai_attributes.GenAiOperationNameValues}


def test_metrics_are_the_conventions_histograms(home: Path, collector: OtlpReceiver) -> None:
    batch(home)
    call(home, 30, cache_hit=True)
    export(home)
    metrics = collector.metrics
    tokens = metrics[gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE]
    seconds = metrics[gen_ai_metrics.GEN_AI_CLIENT_OPERATION_DURATION]
    assert (tokens.unit, seconds.unit) == ("{token}", "s")
    by_type: dict[str, float] = {}
    for point in tokens.histogram.data_points:
        kind = next(one.value.string_value for one in point.attributes if one.key == "gen_ai.token.type")
        by_type[kind] = by_type.get(kind, 0) + point.sum
    assert by_type == {"input": 3000, "output": 60}, "an answer from the cache is no call"
    assert list(tokens.histogram.data_points[0].explicit_bounds) == [4**power for power in range(14)]
    points = seconds.histogram.data_points
    assert sum(point.count for point in points) == 4
    assert list(points[0].explicit_bounds)[:4] == [0.01, 0.02, 0.04, 0.08]
    assert list(points[0].explicit_bounds)[-1] == 81.92
    assert [{one.key for one in point.attributes} for point in points if point.count == 1]


def test_nothing_that_was_said_leaves_unless_asked_for(home: Path, collector: OtlpReceiver) -> None:
    asked = json.dumps({"messages": [{"role": "user", "content": SECRET}]}).encode()
    told = json.dumps({"choices": [{"message": {"role": "assistant", "content": SECRET}, "finish_reason": "stop"}]})
    batch(home)
    call(home, 30, asked=asked, content=told.encode())
    export(home)
    assert SECRET.encode() not in b"".join(collector.server.bodies)
    (home / "telemetry" / "cursor.json").unlink()
    export(home, contents=True)
    said = [span.attributes for span in collector.spans if "gen_ai.input.messages" in span.attributes]
    part = {"type": "text", "content": SECRET}
    assert json.loads(said[0]["gen_ai.input.messages"]) == [{"role": "user", "parts": [part]}]
    assert json.loads(said[0]["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [part], "finish_reason": "stop"}
    ]
    bodies = b"".join(collector.server.bodies)
    assert bodies.count(SECRET.encode()) == 2, "what errors and findings say still stays"


def test_each_span_goes_once(home: Path, collector: OtlpReceiver) -> None:
    batch(home)
    assert (export(home), export(home)) == (10, 0)
    call(home, 5, about=Attribution())
    assert export(home) == 1
    assert collector.spans[-1].parent == ""


def test_what_a_collector_did_not_take_goes_again_with_the_same_ids(home: Path, collector: OtlpReceiver) -> None:
    batch(home)
    collector.server.statuses = [400, 200]
    with pytest.raises(DslkitError, match=r"did not take the traces: .*400"):
        export(home)
    first = {span.id for span in collector.spans}
    assert export(home) == 10
    assert {span.id for span in collector.spans} == first
    assert len(collector.spans) == 20


def test_a_run_that_grows_is_exported_as_it_does(home: Path, collector: OtlpReceiver) -> None:
    recorder = Ledger(home).recorder()
    recorder.run(RUN)
    call(home, 100)
    assert export(home) == 1
    item(home, "a", 50)
    assert export(home) == 2
    recorder.run(replace(RUN, status="completed", ended_at=NOW - timedelta(seconds=10)))
    assert export(home) == 1
    ids = {span.id for span in collector.spans}
    assert all(span.parent in ids for span in collector.spans if span.parent)


class Kept:
    """A collector in memory, which may refuse after some requests."""

    problem = "enough"

    def __init__(self, takes: int = 10**9) -> None:
        self.spans: list[Any] = []
        self._takes = takes

    def send(self, spans: Any) -> bool:
        self._takes -= 1
        if self._takes >= 0:
            self.spans += spans
        return self._takes >= 0

    def measure(self, spans: Any) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_killed_process_is_exported_too(home: Path) -> None:
    """Its run has no end and its call no answer; both are told when they are found."""
    from tests.ledger.ledger_writing import in_process

    began = RUN.started_at.isoformat()
    body = f"""
from datetime import datetime
begun = datetime.fromisoformat({began!r})
recorder.run(run("r1", started_at=begun, notebook="x/nightly.ipynb"))
recorder.reserve(start(run_id="r1", item_id="a", stage="quality", started_at=begun))
recorder.flush()
os.kill(os.getpid(), 9)
"""
    assert in_process(home, body).returncode == -9
    kept = Kept()
    exports = Exporter(home, kept, now=lambda: NOW)
    assert exports.export() == 3
    attempt, agent, run = sorted(kept.spans, key=lambda span: span.name)
    assert (attempt.name, attempt.error, attempt.parent_id) == ("chat gpt-4o-mini", "unknown_outcome", agent.span_id)
    assert (run.name, run.error, agent.parent_id) == ("invoke_workflow nightly", "interrupted", run.span_id)
    assert exports.export() == 0


def test_a_long_history_goes_in_pieces_and_on_from_where_it_broke_off(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = room.gather
    monkeypatch.setattr(room, "gather", lambda views, **values: real(views, most=7, **values))
    monkeypatch.setattr(room, "CHUNK", 5)
    for age in range(3600, 0, -90):
        call(home, age, about=Attribution())
    item(home, "late", 30)
    kept = Kept(takes=3)
    with pytest.raises(DslkitError, match="enough"):
        Exporter(home, kept, now=lambda: NOW).export()
    assert 0 < len(kept.spans) <= 15
    more = Kept()
    assert Exporter(home, more, now=lambda: NOW).export() == 41 - len(kept.spans)
    ids = [span.span_id for span in (*kept.spans, *more.spans)]
    assert len(ids) == len(set(ids)) == 41


def test_a_count_changes_nothing(home: Path) -> None:
    batch(home)
    dry = Exporter(home, None, now=lambda: NOW)
    assert (dry.export(), dry.export()) == (10, 10)
    assert Exporter(home, Kept(), now=lambda: NOW).export() == 10
    assert dry.export() == 0


def test_a_damaged_cursor_sends_all_again(home: Path) -> None:
    call(home, 10)
    kept = Kept()
    exports = Exporter(home, kept, now=lambda: NOW)
    exports.export()
    (home / "telemetry" / "cursor.json").write_text("{", encoding="utf-8")
    assert exports.export() == 1


def test_a_first_export_may_begin_late(home: Path) -> None:
    call(home, 7200)
    call(home, 10)
    assert Exporter(home, Kept(), since=NOW - timedelta(hours=1), now=lambda: NOW).export() == 1


def test_meanwhile_what_is_recorded_is_exported(home: Path, collector: OtlpReceiver) -> None:
    said: list[str] = []
    with exporting(home, said.append):
        begun = datetime.now(UTC) - NOW
        call(home, -begun.total_seconds() + 2, about=Attribution())
    assert (len(collector.spans), said) == (1, [])


def test_a_collector_that_hangs_delays_nothing(
    home: Path, collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, released = threading.Event(), threading.Event()

    class Hanging(Kept):
        def send(self, _spans: Any) -> bool:
            hanging.set()
            return not released.wait(60)

    hangs = Hanging()
    monkeypatch.setattr(room, "exporter", lambda home, **_options: (Exporter(home, hangs, now=lambda: NOW), hangs))
    monkeypatch.setattr(room, "INTERVAL_S", 0.0)
    monkeypatch.setattr(room, "FAREWELL_S", 0.05)
    call(home, 10)
    said: list[str] = []
    try:
        with exporting(home, said.append):
            assert hanging.wait(60)
    finally:
        released.set()
    assert said == ["telemetry: The collector takes its time. What is missing goes with the next export."]
    for thread in threading.enumerate():
        if thread.name == "telemetry":
            thread.join(60)


def test_a_collector_that_refuses_fails_nothing(home: Path, collector: OtlpReceiver) -> None:
    collector.server.statuses = [400]
    said: list[str] = []
    begun = datetime.now(UTC) - NOW
    with exporting(home, said.append):
        call(home, -begun.total_seconds() + 2, about=Attribution())
    assert len(said) == 1
    assert said[0].startswith("telemetry: The collector did not take the traces: ")


@pytest.mark.parametrize(("retry_after", "first"), [("0", 10), ("3600", None)])
def test_a_collector_that_is_busy_gets_all_once(
    home: Path, collector: OtlpReceiver, retry_after: str, first: int | None
) -> None:
    """After the time it asks for, where an export may last so long (OTEL_EXPORTER_OTLP_TIMEOUT); else by the next."""
    batch(home)
    collector.server.statuses, collector.server.retry_after = [429, 200], retry_after
    if first is None:
        with pytest.raises(DslkitError, match="did not take the traces"):
            export(home)
    else:
        assert export(home) == first
    assert export(home) == (0 if first else 10)
    del collector.server.bodies[0], collector.server.paths[0]  # what was refused
    ids = [span.id for span in collector.spans]
    assert (len(ids), len(set(ids))) == (10, 10)


def test_a_collector_that_was_away_gets_what_it_missed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes back at the same address, and has all once, from one exporter that outlives it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.7")  # less than the SDK would wait before it tries again
    with collecting(monkeypatch) as before:
        port = int(before.server.url.rpartition(":")[2])
        exports, sink = exporter(home)
        exports._now = lambda: NOW
        batch(home)
        assert exports.export() == 10
    call(home, 5, about=Attribution())
    with pytest.raises(DslkitError, match="did not take the traces"):
        exports.export()
    call(home, 4, about=Attribution())
    with receiving(port=port) as server:
        assert (exports.export(), exports.export()) == (2, 0)
        assert len(OtlpReceiver(server).spans) == 2
    sink.close()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://me:{secret}@127.0.0.1:{port}/{secret}?key={secret}", "http://127.0.0.1:{port}: Connection refused."),
        ("http://me:{secret}@127.0.0.1:{port}0000/", "http://127.0.0.1:{port}0000: "),
        ("me:{secret}@127.0.0.1:{port}", "its address is none of HTTP's."),
        ("http://[{secret}", "its address is none of HTTP's."),
    ],
)
def test_a_collector_that_cannot_be_reached_is_named_without_secrets(
    home: Path, monkeypatch: pytest.MonkeyPatch, address: str, told: str
) -> None:
    with receiving() as server:
        port = server.url.rpartition(":")[2]
    secret = "hidden0123"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address.format(port=port, secret=secret))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    call(home, 10)
    with pytest.raises(DslkitError, match="did not take the traces") as refused:
        export(home)
    assert str(refused.value).startswith("The collector did not take the traces: " + told.format(port=port))
    assert secret not in str(refused.value)


def test_without_a_collector_named_nothing_is_sent(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even to the port of this machine that the SDK takes by itself; a count needs no collector."""
    monkeypatch.setenv("DSLKIT_HOME", str(home))
    call(home, 10)
    call(home, 20)
    found = []
    for words in (["--dry-run"], []):
        monkeypatch.setattr(sys, "argv", ["dslkit", "telemetry", "export", *words])
        with pytest.raises(SystemExit) as end:
            main()
        found.append((end.value.code or 0, *capsys.readouterr()))
    assert found[0] == (0, "2 spans would be sent\n", "")
    assert found[1][:2] == (2, "")
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in found[1][2]


def test_an_export_that_is_dear_is_made_less_often(home: Path) -> None:
    clock, takes = [0.0], iter((0.01, 0.4, 30.0))

    class Slow(Kept):
        def send(self, spans: Any) -> bool:
            clock.append(clock[-1] + next(takes))
            return super().send(spans)

    exports = Exporter(home, Slow(), now=lambda: NOW, clock=lambda: clock[-1])
    rests = []
    for age in (9, 8, 7):
        call(home, age, about=Attribution())
        exports.export()
        rests.append(exports.rest_s)
    assert rests == [5.0, pytest.approx(20.0), 60.0]


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"])
def test_another_protocol_is_refused_and_not_ignored(
    home: Path, collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "grpc")
    with pytest.raises(UsageError, match=f"^{name}: dslkit sends http/protobuf"):
        exporter(home)
    said: list[str] = []
    with exporting(home, said.append):
        pass
    assert said[0].startswith(f"telemetry: {name}: dslkit sends http/protobuf")


def test_without_a_collector_nothing_is_loaded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_Worker", None)
    for environment in ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}):
        with exporting(home, pytest.fail, environment):
            pass


@pytest.mark.parametrize("part", ["opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http", "opentelemetry"])
def test_without_the_extra_it_says_how_to_get_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    """A dependency brings other parts of OpenTelemetry, with which nothing can be sent."""
    for name in [name for name in sys.modules if name == part or name.startswith(f"{part}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, part, None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    said: list[str] = []
    with exporting(home, said.append):
        pass
    assert said == ["telemetry: OpenTelemetry is not installed: pip install 'dslkit[otel]'."]
    with pytest.raises(UsageError, match=r"dslkit\[otel\]"):
        exporter(home)
    monkeypatch.setattr(sys, "argv", ["dslkit", "telemetry", "export"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err == "dslkit: OpenTelemetry is not installed: pip install 'dslkit[otel]'.\n"


@pytest.mark.parametrize("signal", ["TRACES", "METRICS"])
def test_a_signal_can_be_left_out(
    home: Path, collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, signal: str
) -> None:
    monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")
    batch(home)
    export(home)
    assert set(collector.server.paths) == {"/v1/metrics" if signal == "TRACES" else "/v1/traces"}


def test_a_trace_is_sampled_whole(home: Path, collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    batch(home)
    export(home)
    assert collector.spans == []
