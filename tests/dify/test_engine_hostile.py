"""What hostile documents, dying workers and crowds of callers do to the engine: nothing that a finding cannot say."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dslkit.dify import engine_process
from dslkit.dify.engine import Engine
from dslkit.dify.engine_process import EngineProcess, EngineStartError
from tests.dify.engine_documents import document, end, rendering, start, template

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.engine

HOSTILE = {
    "reaches for os": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "reaches for subclasses": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "reaches through format": "{{ '{0.__class__}'.format(x) }}",
    "changes a list": "{{ things.append(1) }}",
    "huge power": "{{ 10 ** 10 ** 10 }}",
    "huge repetition": "{{ 'a' * 10 ** 9 }}",
    "huge list repetition": "{{ [0] * 999999999 }}",
    "huge width": "{{ '%1000000000d' % 1 }}",
    "huge format width": "{{ '{:>10000000000}'.format(1) }}",
    "huge centre": "{{ 'a' | center(10 ** 12) }}",
    "huge indent": "{{ x | indent(10 ** 12) }}",
    "long range": "{{ range(10 ** 9) | list }}",
    "endless nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "endless output": "{% for i in range(99999) %}{% for j in range(9999) %}{{ 'a' * 1000 }}{% endfor %}{% endfor %}",
    "endless recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "doubling text": "{% set ns = namespace(a='a') %}{% for i in range(60) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
    "doubling sum": "{% set ns = namespace(a='a') %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
    "includes a file": "{% include '/etc/passwd' %}",
    "very deep": "{{ " + "(" * 2000 + "x" + ")" * 2000 + " }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates_are_findings_at_their_node(engine: Engine, name: str) -> None:
    begun = time.monotonic()
    run = engine.run(rendering(HOSTILE[name]))
    assert time.monotonic() - begun < 5
    assert run.status == "failed"
    assert [(finding.code, finding.node) for finding in run.findings] == [("engine-run-failed", "template")]
    assert engine.run(rendering("{{ x }}")).status == "ran"


BOUNDS = {
    "huge power": "too large",
    "huge repetition": "too long",
    "huge width": "width is too large",
    "long range": "Range too big",
    "endless nested loops": "still rendering",
    "reaches for subclasses": "SecurityError",
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_is_said_not_only_kept(engine: Engine, name: str) -> None:
    assert BOUNDS[name] in engine.run(rendering(HOSTILE[name])).findings[0].message


def test_long_output_stops_while_it_is_made(engine: Engine) -> None:
    run = engine.run(rendering("{% for i in range(9999) %}{{ 'a' * 100000 }}{% endfor %}"))
    assert "longer than 2,000,000 characters" in run.findings[0].message


ESCAPES = {
    "network": "import socket; socket.create_connection(('127.0.0.1', 9))",
    "names": "import socket; socket.getaddrinfo('localhost', 1)",
    "writing": "open('/tmp/never', 'w')",
    "writing by number": "import os; os.open('/tmp/never', os.O_WRONLY | os.O_CREAT)",
    "appending": "open('/tmp/never', 'ab')",
    "processes": "import subprocess; subprocess.run(['true'])",
    "a shell": "import os; os.system('true')",
    "forking": "import os; os.fork()",
    "deleting": "import os; os.remove('/tmp/never')",
    "native code": "import ctypes; ctypes.CDLL(None)",
    "signals": "import os; os.kill(1, 0)",
}


@pytest.mark.parametrize("name", ESCAPES)
def test_the_doors_are_closed_even_if_the_sandbox_were_broken(engine: Engine, name: str) -> None:
    """Run as the worker would, were there a way out of the template sandbox."""
    guard = Path(engine_process.__file__).parent / "engine_worker" / "guard.py"
    load = f"import runpy, socket, subprocess, ctypes; runpy.run_path({str(guard)!r})['close_doors']()"
    command = [engine.python, "-I", "-c", f"{load}; {ESCAPES[name]}"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "PermissionError: a dry run may not" in answer.stderr


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_secrets_of_the_user_are_not_in_the_worker(alone: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_USER", "leaked")
    alone.run(rendering("{{ x }}"))
    assert Path(f"/proc/{only(alone).pid}/environ").read_bytes() == b"MALLOC_ARENA_MAX=2\0"


def only(engine: Engine) -> EngineProcess:
    """The one idle process of an engine."""
    [process] = engine._idle
    return process


@pytest.fixture
def alone(engine: Engine) -> Iterator[Engine]:
    """An engine with one worker, for tests that hurt it."""
    with Engine(engine.python, workers=1) as found:
        yield found


SLOW = rendering("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}")


def test_a_hanging_worker_is_killed_and_its_node_named(alone: Engine) -> None:
    alone.run(rendering("{{ x }}"))
    first = only(alone).pid
    run = alone.run(SLOW, timeout_s=0.3)
    assert [(finding.code, finding.node) for finding in run.findings] == [("engine-timeout", "template")]
    assert run.status == "failed"
    assert alone.run(rendering("{{ x }}")).status == "ran"
    assert only(alone).pid != first


def test_a_killed_worker_is_replaced_and_the_job_done_again(alone: Engine) -> None:
    """kill -9 in the middle of a run is nobody's fault, so it is tried once more."""
    alone.run(rendering("{{ x }}"))
    process = only(alone)
    threading.Timer(0.3, os.kill, (process.pid, signal.SIGKILL)).start()
    run = alone.run(SLOW)
    assert [finding.code for finding in run.findings] == ["engine-run-failed"]
    assert "still rendering" in run.findings[0].message
    assert only(alone).pid != process.pid


def test_a_worker_killed_between_jobs_is_not_noticed(alone: Engine) -> None:
    alone.run(rendering("{{ x }}"))
    os.kill(only(alone).pid, signal.SIGKILL)
    assert alone.run(rendering("{{ x }}")).status == "ran"


def test_a_crash_that_repeats_is_a_finding(alone: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fatal(self: EngineProcess, job: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        os.kill(self.pid, signal.SIGKILL)
        return ask(self, job, timeout_s)

    ask = EngineProcess.ask
    monkeypatch.setattr(EngineProcess, "ask", fatal)
    run = alone.run(rendering("{{ x }}"))
    assert (run.status, [finding.code for finding in run.findings]) == ("failed", ["engine-crashed"])
    assert "SIGKILL" in run.findings[0].message


@pytest.mark.parametrize(
    "text", ["exit 3", "echo not json; sleep 5", 'echo \'{"hello": null, "error": "no graphon"}\'']
)
def test_an_interpreter_that_cannot_serve_means_not_run(tmp_path: Path, text: str) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    fake.chmod(0o755)
    with Engine(fake) as engine:
        run = engine.run(rendering("{{ x }}"))
    assert run.status == "not run"
    assert [(finding.code, finding.severity) for finding in run.findings] == [("engine-unavailable", "warning")]


def test_a_missing_interpreter_means_not_run(tmp_path: Path) -> None:
    run = Engine(tmp_path / "gone").run(rendering("{{ x }}"))
    assert (run.status, run.findings[0].code) == ("not run", "engine-unavailable")
    assert "dslkit engine install" in run.findings[0].remedy


def test_a_start_that_hangs_is_given_up(tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nexec sleep 30\n", encoding="utf-8")
    fake.chmod(0o755)
    with pytest.raises(EngineStartError, match="cannot run"):
        EngineProcess(fake, start_timeout_s=0.2)


def test_a_crowd_shares_the_workers(engine: Engine) -> None:
    with Engine(engine.python, workers=2) as shared, ThreadPoolExecutor(50) as crowd:
        runs = list(crowd.map(lambda i: shared.run(rendering(f"{i} {{{{ x }}}}")), range(200)))
        assert len(shared._idle) <= 2
    assert [run.outputs[0]["out"] for run in runs] == [f"{i} sample text" for i in range(200)]


def test_workers_are_renewed(engine: Engine) -> None:
    with Engine(engine.python, workers=1, jobs_per_process=2) as short:
        pids = []
        for _ in range(3):
            short.run(rendering("{{ x }}"))
            pids += [process.pid for process in short._idle]
        assert len(set(pids)) == 2


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_what_was_run(alone: Engine) -> None:
    sizes = []
    for i in range(90):
        alone.run(rendering(f"{i} {{{{ x }}}}"))
        sizes.append(int(Path(f"/proc/{only(alone).pid}/statm").read_text().split()[1]) * 4096)
    assert sizes[-1] - sizes[30] < 1_500_000


def test_closing_ends_the_processes(engine: Engine) -> None:
    with Engine(engine.python, workers=1) as short:
        short.run(rendering("{{ x }}"))
        process = short._idle[0]
    assert process._process.poll() is not None


def test_an_engine_that_is_forgotten_ends_its_processes(engine: Engine) -> None:
    forgotten = Engine(engine.python, workers=1)
    forgotten.run(rendering("{{ x }}"))
    process = forgotten._idle[0]
    del forgotten
    assert process._process.poll() is not None


def bomb() -> Any:
    value: Any = ["lol"]
    for _ in range(30):
        value = [value] * 10
    return value


CYCLE: dict[str, Any] = {"kind": "app"}
CYCLE["app"] = CYCLE

MALFORMED = {
    "alias bomb": document([start(), end()], "start->end", features={"x": bomb()}),
    "cycle": CYCLE,
    "empty": {},
    "no graph": {"kind": "app", "app": {"mode": "workflow"}, "workflow": {}},
    "nodes of nonsense": {
        "kind": "app",
        "app": {"mode": "workflow"},
        "workflow": {"graph": {"nodes": [1, None, "a", {"id": 5}, {"id": "x", "data": "y"}], "edges": 3}},
    },
    "an edge of nonsense": {**document([start(), end()], ""), "workflow": {"graph": {"nodes": [], "edges": [None]}}},
    "handles of nonsense": document(
        [start(), {"id": "i", "data": {"type": "if-else", "cases": [{"case_id": []}], "error_strategy": 5}}, end()],
        "start->i i:true->end",
    ),
    "YAML of nothing": "",
    "YAML of a list": "- a",
    "broken YAML": "a: [",
    "YAML of tags": "!!python/object/apply:os.system ['id']",
    "YAML bomb": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
    ),
    "deep YAML": "[" * 5000,
    "binary": "\x00\x01\x02",
    "too long": "a" * 10_000_001,
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_documents_are_findings(engine: Engine, name: str) -> None:
    begun = time.monotonic()
    run = engine.run(MALFORMED[name])
    assert time.monotonic() - begun < 5
    assert run.status == "failed"
    assert {finding.code for finding in run.findings} <= {"engine-load-failed", "engine-crashed"}
    assert all(finding.severity == "error" for finding in run.findings)


def row(count: int) -> dict[str, Any]:
    names = [f"t{i}" for i in range(count)]
    chain = " ".join(f"{a}->{b}" for a, b in zip(["start", *names], [*names, "end"], strict=True))
    return document([start(), *(template(name, "a") for name in names), end()], chain)


def test_long_workflows_run(engine: Engine) -> None:
    assert len(engine.run(row(200)).nodes_run) == 202


def test_workflows_beyond_all_reason_are_not_run(engine: Engine) -> None:
    begun = time.monotonic()
    run = engine.run(row(5000))
    assert time.monotonic() - begun < 5
    assert (run.status, run.findings[0].code, run.findings[0].severity) == ("not run", "engine-too-large", "warning")
