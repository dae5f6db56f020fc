"""What is recorded is what is read, whatever is recorded."""

from __future__ import annotations

import json
import os
import threading
from datetime import timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_writing import NOON, call, end, in_process, item, run, start

from dslkit.errors import LedgerError, UsageError
from dslkit.ledger import Ledger, journal
from dslkit.ledger.meanings import MEANINGS
from dslkit.records import Finding, Judgement, Repair, Usage

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = """call_id, attempt, run_id, item_id, stage, tags, provider_name, operation_name, request_model,
response_model,
response_id, input_tokens, cache_read_input_tokens, cache_creation_input_tokens, output_tokens, reasoning_output_tokens,
usage_source, cost_usd, price_source, price_version, started_at, ended_at, latency_s, time_to_first_chunk_s,
throttle_wait_s, request_bytes, stream, cache_hit, service_tier, outcome, http_status, finish_reason, error_type,
error_message, server_request_id, estimated_input_tokens, estimated_output_tokens, host, pid, booked_cost_usd"""


def rows(ledger: Ledger, query: str) -> list[dict[str, Any]]:
    relation = ledger.sql(query)
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def test_an_empty_ledger_reads_as_empty_tables(ledger: Ledger, home: Path) -> None:
    """With all columns, and without making anything."""
    assert ledger.calls().columns == COLUMNS.replace("\n", " ").split(", ")
    assert ledger.calls().fetchall() == ledger.runs().fetchall() == ledger.items().fetchall() == []
    assert ledger.usage().total_requests == 0
    assert not home.exists()


def test_every_column_is_documented(ledger: Ledger) -> None:
    """For notebooks by ``columns``, for other tools as comments in ``ledger.duckdb``; no meaning without its column."""
    ledger.recorder()
    with duckdb.connect(str(ledger.home / "ledger.duckdb"), read_only=True) as connection:
        for view, meanings in MEANINGS.items():
            names = ledger.sql(f"FROM {view}").columns
            assert sorted(meanings) == sorted(names)
            found = ledger.columns(view).fetchall()
            assert [(name, meanings[name]) for name in names] == [(name, meaning) for name, _, meaning in found]
            query = "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = ?"
            assert dict(connection.execute(query, [view]).fetchall()) == meanings
    with pytest.raises(UsageError, match="calls, runs"):
        ledger.columns("nothing")


def test_relations_and_usage_show_well_in_a_notebook(ledger: Ledger) -> None:
    """As tables, whatever a model or a server wrote into them."""
    call(ledger.recorder(), stage="<script>", request_model="<b>", ending={"response_model": "<b>"})
    for shown in (ledger.calls()._repr_mimebundle_()["text/html"], ledger.usage(by="stage")._repr_html_()):
        assert "<table" in shown
        assert "&lt;" in shown
        assert "<script>" not in shown
        assert "<b>" not in shown
    assert "$0.0000 + 1 attempt of unknown price" in ledger.usage()._repr_html_()


def test_every_column_of_a_call(ledger: Ledger) -> None:
    """As asked and as answered."""
    recorder = ledger.recorder()
    one = start(stream=True, service_tier="flex", request_model="gpt-5", operation_name="chat")
    usage = Usage(
        input_tokens=1000,
        output_tokens=500,
        cache_read_input_tokens=200,
        cache_creation_input_tokens=0,
        reasoning_output_tokens=300,
    )
    recorder.reserve(one)
    recorder.settle(
        end(
            one,
            usage=usage,
            response_model="gpt-5-2025-08-07",
            response_id="resp-1",
            time_to_first_chunk_s=0.5,
            server_request_id="req-1",
        )
    )
    assert rows(ledger, "FROM calls") == [
        {
            "call_id": one.call_id,
            "attempt": 1,
            "run_id": "run-1",
            "item_id": "item-1",
            "stage": "configuration",
            "tags": {"team": "blue"},
            "provider_name": "openai",
            "operation_name": "chat",
            "request_model": "gpt-5",
            "response_model": "gpt-5-2025-08-07",
            "response_id": "resp-1",
            "input_tokens": 1000,
            "cache_read_input_tokens": 200,
            "cache_creation_input_tokens": 0,
            "output_tokens": 500,
            "reasoning_output_tokens": 300,
            "usage_source": "reported",
            "cost_usd": Decimal("0.003012500"),  # flex: 800 x 0.625 + 200 x 0.0625 + 500 x 5, per million
            "price_source": "genai-prices",
            "price_version": rows(ledger, "SELECT price_version FROM calls")[0]["price_version"],
            "started_at": NOON,
            "ended_at": NOON + timedelta(seconds=2),
            "latency_s": 2.0,
            "time_to_first_chunk_s": 0.5,
            "throttle_wait_s": 0.25,
            "request_bytes": 1234,
            "stream": True,
            "cache_hit": False,
            "service_tier": "flex",
            "outcome": "ok",
            "http_status": 200,
            "finish_reason": "stop",
            "error_type": None,
            "error_message": None,
            "server_request_id": "req-1",
            "estimated_input_tokens": 100,
            "estimated_output_tokens": 50,
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "booked_cost_usd": Decimal("0.003012500"),
        }
    ]


def test_a_call_under_way_is_of_unknown_outcome(ledger: Ledger) -> None:
    """Visible from the moment before it leaves; its usage is unknown, not zero."""
    recorder = ledger.recorder()
    one = start()
    recorder.reserve(one)
    known = "SELECT outcome, input_tokens, cost_usd, ended_at FROM calls"
    assert ledger.sql(known).fetchall() == [("unknown", None, None, None)]
    recorder.settle(end(one))
    assert ledger.sql(known).fetchall() == [("ok", 1000, Decimal("0.000210000"), NOON + timedelta(seconds=2))]


def test_each_attempt_is_a_row(ledger: Ledger) -> None:
    """A retried call has one id and several rows."""
    recorder = ledger.recorder()
    first = start()
    again = start(first.call_id, attempt=2)
    recorder.reserve(first)
    recorder.settle(end(first, outcome="error", http_status=429, usage=None, error_type="rate_limit"))
    recorder.reserve(again)
    recorder.settle(end(again))
    found = ledger.sql("SELECT call_id, attempt, outcome, http_status, cost_usd FROM calls ORDER BY attempt").fetchall()
    assert found == [(first.call_id, 1, "error", 429, None), (first.call_id, 2, "ok", 200, Decimal("0.000210000"))]


def test_an_answer_from_the_cache_costs_nothing(ledger: Ledger) -> None:
    """And says why."""
    call(ledger.recorder(), ending={"cache_hit": True})
    known = "SELECT cache_hit, cost_usd, price_source, input_tokens FROM calls"
    assert ledger.sql(known).fetchall() == [(True, Decimal(0), "cache", 1000)]


def test_the_model_asked_for_prices_an_answer_that_names_none_known(ledger: Ledger) -> None:
    """Compatible servers answer with a path or a name of their own."""
    call(ledger.recorder(), ending={"response_model": "/models/x.gguf"})
    call(ledger.recorder(), request_model="deployment-7", ending={"response_model": "gpt-4o-mini"})
    assert ledger.sql("SELECT DISTINCT cost_usd FROM calls").fetchall() == [(Decimal("0.000210000"),)]


def test_runs_and_items(ledger: Ledger) -> None:
    """The latest record of a run and of an item counts; lists of findings come back as they went."""
    recorder = ledger.recorder()
    recorder.run(run(notebook="a.ipynb", parameters={"n": 3, "deep": {"a": [1]}}, commit="c0ffee", dirty=True))
    error, warning = (
        Finding(code="E1", severity="error", message="no end"),
        Finding(code="W1", severity="warning", message="?"),
    )
    recorder.item(item(verdict="errors"))
    recorder.item(
        item(
            findings=(error, warning, warning),
            repairs=(Repair(code="R1", message="done", node="a"),),
            judgement=Judgement(inputs_exact=True, outputs_exact=False),
            tags={"team": "red"},
        )
    )
    assert ledger.sql("SELECT status, ended_at FROM runs").fetchall() == [("running", None)]
    recorder.run(run(status="completed", ended_at=NOON, parameters={"n": 3}, cells=({"seconds": 1.5},)))
    (found,) = rows(ledger, "FROM runs")
    assert (found["status"], json.loads(found["parameters"]), json.loads(found["cells"])) == (
        "completed",
        {"n": 3},
        [{"seconds": 1.5}],
    )
    (one,) = rows(ledger, "FROM items")
    assert [finding["code"] for finding in one["findings"]] == ["E1", "W1", "W1"]
    assert one["repairs"] == [{"code": "R1", "message": "done", "node": "a"}]
    assert (one["error_findings"], one["warning_findings"], one["seconds"]) == (1, 2, 9.5)
    assert (one["inputs_exact"], one["outputs_exact"], one["related_nodes_held"]) == (True, False, None)
    assert one["tags"] == {"team": "red"}


def test_instants_are_kept_in_utc(ledger: Ledger) -> None:
    """Whatever zone the clock of the caller is in."""
    tokyo = timezone(timedelta(hours=9))
    call(ledger.recorder(), started_at=NOON.astimezone(tokyo))
    call(ledger.recorder(), started_at=NOON.replace(tzinfo=None))
    assert ledger.sql("SELECT DISTINCT started_at FROM calls").fetchall() == [(NOON,)]
    assert str(ledger.sql("SELECT started_at FROM calls LIMIT 1").fetchall()[0][0]).endswith("+00:00")


text = st.text(max_size=40) | st.sampled_from(["\ud800", "\x00", "\n", '"', "\\", "\u2028", "𝔘", "\ufffe"])
count = st.integers(-(2**70), 2**70) | st.none() | st.floats()
seconds = st.floats() | st.none()


@given(messages=text, identity=text, counts=count, waits=seconds, tags=st.dictionaries(text, text, max_size=3))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_too_odd_to_be_recorded(
    tmp_path_factory: pytest.TempPathFactory,
    messages: str,
    identity: str,
    counts: Any,
    waits: Any,
    tags: dict[str, str],
) -> None:
    """Journal round trip: each attempt, run and item is one row, whatever a server or a user put into its fields."""
    ledger = Ledger(tmp_path_factory.mktemp("odd"))
    recorder = ledger.recorder()
    odd = start(
        identity,
        tags=tags,
        run_id=messages,
        throttle_wait_s=waits,
        estimated_input_tokens=counts,
        request_model=messages,
    )
    recorder.reserve(odd)
    usage = Usage(input_tokens=counts, output_tokens=counts, cache_read_input_tokens=counts)
    recorder.settle(
        end(odd, usage=usage, latency_s=waits, error_message=messages, http_status=counts, response_model=identity)
    )
    recorder.run(run(messages, parameters={messages: waits, "x": object()}, error_message=messages))
    recorder.item(item(messages, findings=(Finding(code=messages, severity="error", message=messages),)))
    outcomes = ledger.sql("SELECT outcome, pid FROM calls").fetchall()
    assert outcomes == [("ok", os.getpid())]
    assert len(ledger.runs()) == len(ledger.items()) == 1
    recorder.run(run(messages, status="completed"))
    recorder.close()
    ledger.compact()
    assert ledger.sql("SELECT outcome, pid FROM calls").fetchall() == outcomes
    assert len(ledger.runs()) == len(ledger.items()) == 1


def test_from_many_threads(ledger: Ledger) -> None:
    """Nothing lost, nothing torn."""
    recorder = ledger.recorder()

    def work(number: int) -> None:
        for _ in range(100):
            call(recorder, stage=str(number))
        recorder.flush()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = ledger.sql(
        "SELECT stage, count(*), count(DISTINCT call_id), sum(cost_usd) FROM calls GROUP BY ALL"
    ).fetchall()
    assert sorted(found) == [(str(number), 100, 100, Decimal("0.021000000")) for number in range(6)]


def test_one_recorder_a_process_and_home(ledger: Ledger, home: Path, tmp_path: Path) -> None:
    """Shared by all who ask, however they spell the path."""
    assert ledger.recorder() is Ledger(str(home / ".." / home.name)).recorder()
    assert ledger.recorder() is not Ledger(tmp_path / "other").recorder()


def test_after_close_recording_goes_on(ledger: Ledger, home: Path) -> None:
    """In a new segment; the old one is sealed, and everything is there."""
    recorder = ledger.recorder()
    call(recorder)
    recorder.close()
    assert [path.suffix for path in (home / "ledger" / "journal").glob("*-*")] == [".jsonl"]
    call(recorder)
    assert ledger.usage().total_requests == 2


def test_close_leaves_alone_what_others_have_open(ledger: Ledger) -> None:
    """The recorder is shared: one who closes does not end the calls of another."""
    recorder = ledger.recorder()
    one = start()
    recorder.reserve(one)
    recorder.close()
    recorder.settle(end(one))
    ledger.compact()
    assert ledger.sql("SELECT outcome FROM calls").fetchall() == [("ok",)]


def test_a_child_writes_its_own_segment(home: Path, ledger: Ledger) -> None:
    """Fork in the middle: what the parent has open stays the parent's, and dies with it, whatever the child does."""
    body = """
one = start()
recorder.reserve(one)
child = os.fork()
if child == 0:
    call(recorder, stage="child")
    recorder.flush()
    os._exit(0)
os.waitpid(child, 0)
call(recorder, stage="parent")
recorder.settle(end(one))
recorder.flush()
os._exit(0)
"""
    done = in_process(home, body)
    assert done.returncode == 0, done.stderr
    found = ledger.sql("SELECT stage, outcome, count(DISTINCT pid) FROM calls GROUP BY ALL ORDER BY ALL").fetchall()
    assert found == [("child", "ok", 1), ("configuration", "ok", 1), ("parent", "ok", 1)]
    assert len(ledger.sql("SELECT DISTINCT pid FROM calls").fetchall()) == 2


def test_a_killed_process_leaves_a_call_of_unknown_outcome(home: Path, ledger: Ledger) -> None:
    """And an interrupted run; what was settled stays."""
    body = """
recorder.run(run())
call(recorder)
recorder.reserve(start(stage="never settled"))
os.kill(os.getpid(), 9)
"""
    assert in_process(home, body).returncode == -9
    for _ in range(2):
        assert ledger.sql("SELECT status FROM runs").fetchall() == [("interrupted",)]
        found = ledger.sql("SELECT stage, outcome FROM calls ORDER BY ALL").fetchall()
        assert found == [("configuration", "ok"), ("never settled", "unknown")]
        ledger.compact()


def test_a_run_under_way_in_another_process_is_running(ledger: Ledger) -> None:
    """Its writer holds the lock of its segment; this process plays the other."""
    recorder = ledger.recorder()
    recorder.run(run())
    assert Ledger(ledger.home).sql("SELECT status FROM runs").fetchall() == [("running",)]


def test_no_secret_is_stored(ledger: Ledger, home: Path) -> None:
    """Not in messages, not in parameters, not in any file of the ledger."""
    secrets = [
        "sk-proj-Abc123Def456Ghi789",
        "eyJhbGciOi.eyJzdWIiOiIx.c2lnbmF0dXJl",
        "hunter2hunter2",
        "gsk_0123456789abcdef",
    ]
    recorder = ledger.recorder()
    message = (
        f"401: wrong key {secrets[0]} in Authorization: Bearer {secrets[1]}; api_key={secrets[2]} "
        f"at https://user:{secrets[2]}@host/v1 ({secrets[3]})"
    )
    call(recorder, ending={"outcome": "error", "error_message": message, "http_status": 401})
    recorder.run(
        run(
            parameters={"api_key": secrets[0], "nested": [f"Bearer {secrets[1]}"]},
            status="failed",
            error_message=message,
        )
    )
    recorder.item(item(error_message=message))
    recorder.close()
    ledger.compact()
    stored = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file() and path.suffix != ".gz")
    stored += json.dumps(
        [ledger.calls().fetchall(), ledger.runs().fetchall(), ledger.items().fetchall()], default=str
    ).encode()
    for secret in secrets:
        assert secret.encode() not in stored
    assert b"401: wrong key [removed]" in stored


def test_long_messages_are_cut(ledger: Ledger) -> None:
    """The ledger explains; it is no log of bodies.  A secret at the cut is removed before the cut."""
    call(ledger.recorder(), ending={"error_message": "x" * 490 + " sk-1234567890abcdef"})
    ((message,),) = ledger.sql("SELECT error_message FROM calls").fetchall()
    assert len(message) == 500
    assert "sk-" not in message


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    """When the recorder is asked for, not at the first call."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="DSLKIT_HOME"):
        Ledger(tmp_path / "file").recorder()


BUSY = """
for _ in range(200):
    call(recorder)
recorder.flush()
call(recorder)
recorder.flush()
{end}
"""


@pytest.mark.parametrize(("end", "left"), [("os._exit(1)", True), ("recorder.close()", False)])
def test_a_busy_segment_has_room_ahead(home: Path, ledger: Ledger, end: str, *, left: bool) -> None:
    """It does not grow with each line; a closed one ends with its last line, and a dead writer's room is no damage."""
    in_process(home, BUSY.format(end=end))
    (path,) = (home / "ledger/journal").glob("*-*.*")
    content = path.read_bytes()
    assert content.endswith(b"\0") == left
    assert content.rstrip(b"\0").endswith(b"}\n")
    assert ledger.usage().total_requests == 201
    ledger.compact()
    assert ledger.usage().total_requests == 201
    assert not [finding for finding in ledger.verify().findings if finding.code == "torn"]


@pytest.mark.parametrize(
    "label", ["chatcmpl-skQ3v8XyZ0aB1cD2eF3g", "req_ak9f8e7d6c5b4a39281706", "gpt-4o-mini-2024-07-18"]
)
def test_ids_are_kept_though_they_begin_as_keys_do(ledger: Ledger, label: str) -> None:
    """A key has its dash or underscore; two letters are no reason to lose an id."""
    call(ledger.recorder(), ending={"response_id": label, "server_request_id": label})
    assert ledger.sql("SELECT response_id, server_request_id FROM calls").fetchall() == [(label, label)]


@pytest.mark.parametrize("label", ["sk-proj-Abc123Def456Ghi789", "req-sk-Abc123Def456Ghi789", "AIzaSyA1b2C3d4E5f6G7h8"])
def test_keys_are_not_kept_as_ids(ledger: Ledger, label: str) -> None:
    """Whatever a server repeats."""
    call(ledger.recorder(), ending={"response_id": label})
    ((kept,),) = ledger.sql("SELECT response_id FROM calls").fetchall()
    assert "[removed]" in kept


def test_what_settles_in_the_middle_of_a_write_is_recorded_too(
    home: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector of garbage may close a stream, which settles, between the write of a line and what follows it."""
    recorder = ledger.recorder()
    streams = [start(stream=True, stage="s" * number) for number in range(300)]
    for stream in streams:
        recorder.reserve(stream)
    collected = 0

    def pwrite(descriptor: int, data: bytes, at: int) -> int:
        nonlocal collected
        written = os.pwrite(descriptor, data, at)
        if streams:
            collected += 1
            recorder.settle(end(streams.pop()))
        return written

    monkeypatch.setattr(journal, "os", SimpleNamespace(**{**vars(os), "pwrite": pwrite}))
    while streams:
        call(recorder)
        recorder.flush()  # makes room, too
    calls = ledger.usage().total_requests
    recorder.close()
    ledger.compact()
    assert ledger.verify().findings == ()
    assert ledger.usage().total_requests == calls
    assert ledger.sql("SELECT DISTINCT outcome FROM calls").fetchall() == [("ok",)]
    assert collected == 300
