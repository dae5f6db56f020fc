"""Dify's own engine, asked for dry runs.  It lives in an environment of its own and is never imported here.

``Engine.find`` gives an engine or None; ``run`` is thread-safe.  ``install`` makes the environment, ``status`` tells.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from dslkit.dify.engine_install import (
    EngineInstallation,
    graphon_of,
    install,
    installed_python,
    pinned_version,
    status,
)
from dslkit.dify.engine_process import EngineGoneError, EngineProcess, EngineStartError, EngineTimeoutError
from dslkit.dify.graph import Graph
from dslkit.dify.nodes import FAIL_HANDLE, handles_of, node_kind, outputs_of
from dslkit.records import EngineRun, Finding

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Engine", "EngineInstallation", "install", "status"]

TIMEOUT_S: Final = 10.0
WORKERS: Final = 2
JOBS_PER_PROCESS: Final = 500  # then a fresh one: what a foreign library may leak stays bounded
MAX_VALUES: Final = 500_000
MAX_NODES: Final = 2_000  # about 1 ms each and run; nobody draws more
MAX_TEXT: Final = 10_000_000
_BRANCH_SHARE: Final = 0.6  # of the time: after it no further branch is begun

_REMEDIES: Final[Mapping[str, str]] = {
    "engine-load-failed": "correct the field or edge the engine names; it refuses the whole workflow until then",
    "engine-run-failed": "correct this node: in Dify the run would stop here in the same way",
    "engine-no-output": "connect every branch to an end or answer node",
    "engine-timeout": "look for a template or loop that never ends at this node",
    "engine-crashed": "look for a template that builds something huge at this node",
    "engine-node-failed": "correct this node, unless its failure is intended",
    "engine-branches-unvisited": "split the workflow, or give the dry run more time",
    "engine-too-large": "split the workflow: call one from another as a tool",
    "engine-unavailable": "run: dslkit engine install",
}


class Engine:
    """A pool of worker processes, started when first needed, replaced when they hang, crash or grow old."""

    def __init__(self, python: Path, *, workers: int = WORKERS, jobs_per_process: int = JOBS_PER_PROCESS) -> None:
        """Take an interpreter that has graphon; nothing is started yet."""
        if workers < 1 or jobs_per_process < 1:
            raise ValueError("workers and jobs_per_process must be at least 1")
        self.python = python
        self._jobs_per_process = jobs_per_process
        self._slots = threading.BoundedSemaphore(workers)
        self._idle: list[EngineProcess] = []
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._finalizer = weakref.finalize(self, _kill_all, self._idle)

    @classmethod
    def find(cls, python: Path | str | None = None, *, workers: int = WORKERS) -> Engine | None:
        """The engine to use: ``python`` when it is given (UsageError if it has no graphon), else the installed one."""
        if python is not None:
            graphon_of(Path(python))
            return cls(Path(python), workers=workers)
        found = installed_python()
        return None if found is None else cls(found, workers=workers)

    def run(self, document: Mapping[str, Any] | str, *, timeout_s: float = TIMEOUT_S) -> EngineRun:
        """Dry-run a workflow, given as a document or as its YAML; whatever it holds, the answer is an EngineRun.

        ``ran`` only when every branch was run to its end and reached an end or answer node; ``not run`` when there
        is no graph to run or no engine to run it, with a finding that says so.
        """
        started = time.monotonic()
        with self._slots:
            report = self._report(document, timeout_s)
        return _engine_run(report, time.monotonic() - started)

    def close(self) -> None:
        """End the worker processes; a later run starts new ones."""
        with self._lock:
            idle, self._idle[:] = list(self._idle), []
        _kill_all(idle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _report(self, document: Mapping[str, Any] | str, timeout_s: float) -> dict[str, Any]:
        if _too_large(document):
            return _refusal("engine-load-failed", f"larger than a dry run takes ({MAX_VALUES:,} values)")
        if isinstance(document, str):
            answer = self._ask({"do": "parse", "text": document, "most": MAX_VALUES}, timeout_s)
            parsed = answer.get("document")
            if not isinstance(parsed, Mapping):
                return answer if "findings" in answer else _refusal("engine-load-failed", "the YAML is not a mapping")
            return self._report(parsed, timeout_s)
        job = _job(document)
        if job["nodes"] > MAX_NODES:
            refusal = _refusal("engine-too-large", f"more than {MAX_NODES:,} nodes: not run", severity="warning")
            return {**refusal, "status": "not run"}
        return self._ask(job, timeout_s)

    def _ask(self, job: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """One job; a crash is tried once more on a fresh process, for somebody may have killed the first."""
        job = {**job, "seconds": timeout_s * _BRANCH_SHARE}
        for last in (False, True):
            try:
                with self._process() as process:
                    reply = process.ask(job, timeout_s)
            except EngineTimeoutError as error:
                return _refusal("engine-timeout", f"the dry run gave {error}", error.node)
            except EngineStartError as error:
                return {**_refusal("engine-unavailable", str(error), severity="warning"), "status": "not run"}
            except EngineGoneError as error:
                if last:
                    return _refusal("engine-crashed", f"the dry run crashed twice: {error}", error.node)
            else:
                return _reply_report(reply, process.version)
        raise AssertionError("unreachable")

    @contextmanager
    def _process(self) -> Iterator[EngineProcess]:
        process = self._take()
        healthy = False
        try:
            yield process
            healthy = process.jobs < self._jobs_per_process
        finally:
            if healthy:
                with self._lock:
                    self._idle.append(process)
            else:
                process.kill()

    def _take(self) -> EngineProcess:
        with self._lock:
            if self._owner != os.getpid():  # after a fork the pipes belong to the parent
                self._owner = os.getpid()
                self._idle.clear()
            if self._idle:
                return self._idle.pop()
        return EngineProcess(self.python)


def _kill_all(processes: list[EngineProcess]) -> None:
    for process in list(processes):
        process.kill()


def _too_large(document: Mapping[str, Any] | str) -> bool:
    """Whether a document has more values than anybody writes; aliases are counted as often as they are used."""
    if isinstance(document, str):
        return len(document) > MAX_TEXT
    pending: list[Any] = [document]
    values = 0
    while pending:
        current = pending.pop()
        values += 1 + (len(current) // 64 if isinstance(current, str) else 0)
        if values + len(pending) > MAX_VALUES:
            return True
        if isinstance(current, Mapping):
            pending.extend(current.values())
        elif isinstance(current, list | tuple):
            pending.extend(current)
    return False


def _job(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the worker cannot know by itself: what unmodelled nodes give, and how nodes fork."""
    outputs: dict[str, dict[str, str]] = {}
    handles: dict[str, list[str]] = {}
    nodes = Graph(document).nodes
    for node in nodes.values():
        kind = node_kind(node.type)
        if kind and (kind.open_outputs or kind.type == "knowledge-retrieval"):
            outputs[node.id] = outputs_of(node.data)
        if kind and (kind.branches or node.data.get("error_strategy") == FAIL_HANDLE):
            handles[node.id] = list(handles_of(node.data))
    return {"do": "run", "document": document, "nodes": len(nodes), "outputs": outputs, "handles": handles}


def _refusal(code: str, message: str, node: str | None = None, severity: str = "error") -> dict[str, Any]:
    return {"status": "failed", "findings": [{"code": code, "severity": severity, "message": message, "node": node}]}


def _reply_report(reply: Mapping[str, Any], version: str) -> dict[str, Any]:
    report = reply.get("report")
    if not isinstance(report, dict):
        return _refusal("engine-load-failed", f"the engine refuses this document: {reply.get('error')}")
    if version != pinned_version():
        note = f"run on graphon {version}; dslkit was tested with {pinned_version()}"
        finding = {"code": "engine-other-version", "severity": "note", "message": note, "node": None}
        report["findings"] = [*report.get("findings", []), finding]
    return report


def _engine_run(report: Mapping[str, Any], seconds: float) -> EngineRun:
    return EngineRun(
        status=report["status"],
        findings=tuple(
            Finding(**{"remedy": _REMEDIES.get(finding["code"], ""), **finding}) for finding in report["findings"]
        ),
        outputs=tuple(report.get("outputs", ())),
        nodes_run=tuple(report.get("nodes_run", ())),
        seconds=seconds,
    )
