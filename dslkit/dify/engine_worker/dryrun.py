"""A workflow's dry run: load it as Dify's engine does, then run it until every branch was taken."""

# mypy: ignore-missing-imports
from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from graphon.dsl import importer
from graphon.dsl.errors import DslError
from graphon.engine import Engine
from graphon.engine_events import (
    GraphRunAbortedEvent,
    GraphRunFailedEvent,
    GraphRunPartialSucceededEvent,
    GraphRunPausedEvent,
    GraphRunSucceededEvent,
    NodeRunExceptionEvent,
    NodeRunFailedEvent,
    NodeRunStartedEvent,
    NodeRunSucceededEvent,
)
from graphon.graph.graph import Graph
from graphon.graph.validation import GraphValidationError
from graphon.runtime.init_params import InitParams
from graphon.runtime.runtime_state import RuntimeState
from pydantic import ValidationError

from .factory import DryRunContext, DryRunFactory, NodeDataError
from .ordering import LastFirst
from .pilot import Pilot
from .prepare import prepare, root_ids, with_kind
from .samples import sample_start_value
from .stubs import StubFileRuntime
from .variables import DryRunPool, system_values, typed_variables

MAX_RUNS: Final = 64
TERMINALS: Final = frozenset({"end", "answer", "knowledge-index"})
_LAST_EVENTS: Final = (
    GraphRunSucceededEvent,
    GraphRunPartialSucceededEvent,
    GraphRunFailedEvent,
    GraphRunAbortedEvent,
    GraphRunPausedEvent,
)
_GRAPHLESS: Final = frozenset({"chat", "agent-chat", "completion", "channel"})

_NAMED: Final = re.compile(r"(?:Edge|Node) '(.+?)(?:->.*)?' ")  # how graphon's messages begin when they know
MAX_CAUSE: Final = 300

Report = dict[str, Any]


@dataclass(slots=True)
class RunLog:
    """What one run did: node ids in the order they started, failures as (node, type, cause), outputs by name."""

    started: list[str] = field(default_factory=list)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    handled: list[tuple[str, str, str]] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    reached: bool = False
    error: str | None = None

    def take(self, event: object) -> None:
        """Note what an event says."""
        match event:
            case NodeRunStartedEvent():
                self.started.append(event.node_id)
            case NodeRunFailedEvent():
                self.failures.append((event.node_id, event.node_type, event.error[:MAX_CAUSE]))
            case NodeRunExceptionEvent():
                self.handled.append((event.node_id, event.node_type, event.error))
            case NodeRunSucceededEvent() if event.node_type in TERMINALS:
                self.reached = True
                self._give(event.node_type, event.node_run_result.outputs)
            case GraphRunFailedEvent():
                self.error = event.error

    def _give(self, kind: str, outputs: Mapping[str, Any]) -> None:
        """Outputs of end nodes by name; what answer nodes say is one text, in their order."""
        if kind == "answer":
            self.outputs["answer"] = self.outputs.get("answer", "") + str(outputs.get("answer", ""))
        else:
            self.outputs.update(outputs)


def dry_run(job: Mapping[str, Any], announce: Callable[[str], None]) -> Report:
    """Load and run ``job['document']``; never raises on what the document holds.

    ``job``: document (a mapping), outputs ({node id: {output: type}} of nodes that the engine has no model of), handles
    ({node id: [handle, …]} of nodes that fork), seconds (when to stop taking further branches).  The report: status,
    findings, outputs (one mapping a run), nodes_run, runs.
    """
    try:
        plan = _DryRun(job, announce)
    except DslError as error:
        return _failed_load([(_node_of(error.path, job), f"{error}")], error.code)
    except _NotRunnableError as error:
        return {"status": "not run", "findings": [_finding("engine-no-graph", "note", str(error))]}
    return plan.run()


class _NotRunnableError(ValueError):
    """An app without a graph: nothing is wrong with it, but there is nothing to run."""


class _DryRun:
    """One workflow: what its runs share."""

    def __init__(self, job: Mapping[str, Any], announce: Callable[[str], None]) -> None:
        document, self.notes = with_kind(job["document"])
        self.mode = _app_mode(document)
        workflow = document.get("workflow")
        self.workflow: Mapping[str, Any] = workflow if isinstance(workflow, Mapping) else {}
        self.config = _graph_config(document)
        self.nodes: list[dict[str, Any]] = self.config["nodes"]
        self.notes += prepare(self.nodes, self.config["edges"])
        self.end = time.monotonic() + float(job["seconds"])
        self.announce = announce
        ways = Counter((edge["source"], str(edge.get("sourceHandle"))) for edge in self.config["edges"])
        self.parallel = any(count > 1 for count in ways.values())
        self.context = DryRunContext(self._pilot(job), job.get("outputs") or {}, announce)
        self.context.handles = {node: tuple(handles) for node, handles in (job.get("handles") or {}).items()}

    def _pilot(self, job: Mapping[str, Any]) -> Pilot:
        edges = [(e["source"], str(e.get("sourceHandle", "source")), e["target"]) for e in self.config["edges"]]
        entries = {n["id"]: str(n["data"]["start_node_id"]) for n in self.nodes if n["data"].get("start_node_id")}
        pilot = Pilot(edges, entries)
        for node, handles in (job.get("handles") or {}).items():
            pilot.expect(node, handles)
        return pilot

    def run(self) -> Report:
        logs: list[RunLog] = []
        try:
            for root in self._roots():
                logs += self._runs_from(root)
        except NodeDataError as error:
            return self._with_notes(_failed_load(list(error.problems), "node data"))
        except (GraphValidationError, DslError, ValidationError, ValueError, TypeError, KeyError) as error:
            return self._with_notes(_failed_load(self._blame(error), "graph"))
        return self._with_notes(_report(logs, self.context.pilot.unvisited()))

    def _roots(self) -> list[str]:
        roots = root_ids(self.nodes)
        starts = [node["id"] for node in self.nodes if node["id"] in roots and node["data"]["type"] == "start"]
        if len(starts) > 1 or not roots:
            raise DslError("a workflow needs exactly one start node, or triggers", code="graph.root_ambiguous")
        return roots

    def _runs_from(self, root: str) -> Iterator[RunLog]:
        for _ in range(MAX_RUNS):
            before = self.context.pilot.unvisited()
            yield self._run_once(root)
            after = self.context.pilot.unvisited()
            if after in (0, before) or time.monotonic() > self.end:
                break
        if self.parallel:
            yield self._run_once(root, forward=False)

    def _run_once(self, root: str, *, forward: bool = True) -> RunLog:
        self.announce("")
        pool = self._pool(root)
        tasks = LastFirst(forward=forward)
        state = RuntimeState(variable_pool=pool, start_at=time.time(), workflow_id="dry-run", ready_queue=tasks)
        params = InitParams(workflow_id="dry-run", graph_config=self.config, run_context={}, call_depth=0)
        factory = DryRunFactory(self.config, params, state, self.context)
        graph = Graph.init(graph_config=self.config, node_factory=factory, root_node_id=root)
        engine = Engine(graph=graph, runtime_state=state, workers=1, file_runtime=StubFileRuntime())
        tasks.follow(engine._dispatcher._dispatch_queue)  # noqa: SLF001 -- no public way; the version is pinned
        log = RunLog()
        try:
            for event in engine.run():
                log.take(event)
                if isinstance(event, _LAST_EVENTS):
                    tasks.close()
        except Exception as error:  # noqa: BLE001 -- the engine raises whatever a node raised
            log.error = log.error or str(error)
        return log

    def _pool(self, root: str) -> DryRunPool:
        pool = DryRunPool()
        pool.expect_lists(n["data"].get(key) for n in self.nodes for key in ("iterator_selector", "variable"))
        for name, value in system_values(self.mode, self.workflow.get("features")).items():
            pool.add(("sys", name), value)
        for namespace, key in (("env", "environment_variables"), ("conversation", "conversation_variables")):
            for selector, value in typed_variables(namespace, self.workflow.get(key)):
                pool.add(selector, value)
        start = next(node["data"] for node in self.nodes if node["id"] == root)
        for variable in start.get("variables") or () if start["type"] == "start" else ():
            if isinstance(variable, Mapping) and isinstance(variable.get("variable"), str):
                pool.add((root, variable["variable"]), sample_start_value(variable))
        return pool

    def _blame(self, error: Exception) -> list[tuple[str | None, str]]:
        """Name the node where the error says which."""
        if isinstance(error, GraphValidationError):
            return [(issue.node_id, issue.message) for issue in error.issues]
        if isinstance(error, ValidationError):
            return [(self._node_at(each["loc"]), f"{each['loc']}: {each['msg']}") for each in error.errors()[:5]]
        named = _NAMED.match(str(error))
        return [(named[1] if named else None, str(error))]

    def _node_at(self, location: tuple[Any, ...]) -> str | None:
        index = location[0] if location else None
        return self.nodes[index]["id"] if isinstance(index, int) and index < len(self.nodes) else None

    def _with_notes(self, report: Report) -> Report:
        notes = [_finding("engine-old-form", "note", text, node) for node, text in self.notes]
        return {**report, "findings": [*report["findings"], *notes]}


def _app_mode(document: Mapping[str, Any]) -> str:
    app = document.get("app")
    mode = str(app.get("mode") or "") if isinstance(app, Mapping) else ""
    if mode in _GRAPHLESS:
        raise _NotRunnableError(f"an app of mode {mode!r} has no graph to run")
    return mode


def _graph_config(document: Mapping[str, Any]) -> dict[str, Any]:
    """The graph as the engine's own importer takes it; DslError where that refuses."""
    kind = importer._resolve_kind(document, source_kind=None)  # noqa: SLF001 -- ``inspect`` wants YAML; the version is pinned
    config = importer._build_plan(document, kind=kind).document.graph_config  # noqa: SLF001 -- ``inspect`` wants YAML; the version is pinned
    if config is None:
        raise DslError("the document holds no graph to run", code="graph.missing")
    return dict(config)


def _node_of(path: str | None, job: Mapping[str, Any]) -> str | None:
    """``/workflow/graph/nodes/3/data`` -> the id of the fourth node; of an edge, the node it leaves."""
    parts = (path or "").split("/")
    key = {"nodes": "id", "edges": "source"}.get(parts[3]) if len(parts) > _INDEX_AT else None
    if key is None or not parts[_INDEX_AT].isdigit():
        return None
    entry = job["document"]["workflow"]["graph"][parts[3]][int(parts[_INDEX_AT])]
    return str(entry[key]) if isinstance(entry, Mapping) and entry.get(key) else None


_INDEX_AT: Final = 4  # '', 'workflow', 'graph', 'nodes', index


def _finding(code: str, severity: str, message: str, node: str | None = None) -> dict[str, Any]:
    return {"code": code, "severity": severity, "message": message, "node": node or None}


def _failed_load(problems: list[tuple[str | None, str]], where: str) -> Report:
    findings = [
        _finding("engine-load-failed", "error", f"the engine cannot load this ({where}): {text}", node)
        for node, text in problems
    ]
    return {"status": "failed", "findings": findings, "outputs": [], "nodes_run": [], "runs": 0}


def _report(logs: list[RunLog], unvisited: int) -> Report:
    findings = [finding for log in logs for finding in _findings_of(log)]
    unique = list({(f["code"], f["node"], f["message"]): f for f in findings}.values())
    status = "failed" if any(finding["severity"] == "error" for finding in unique) else "ran"
    if unvisited and status == "ran":
        text = (
            f"{unvisited} branches were not visited: no run leads there within the time and the {MAX_RUNS} runs given"
        )
        unique.append(_finding("engine-branches-unvisited", "warning", text))
    return {
        "status": status,
        "findings": unique,
        "outputs": [log.outputs for log in logs],
        "nodes_run": list(dict.fromkeys(node for log in logs for node in log.started)),
        "runs": len(logs),
    }


def _findings_of(log: RunLog) -> Iterator[dict[str, Any]]:
    if log.error is not None:
        node, kind, cause = log.failures[0] if log.failures else (None, "engine", log.error)
        yield _finding("engine-run-failed", "error", f"a run failed at this {kind} node: {cause}", node)
        return
    for node, kind, cause in log.failures:
        yield _finding(
            "engine-node-failed", "warning", f"this {kind} node failed, its container went on: {cause}", node
        )
    for node, kind, cause in log.handled:
        if cause != "a failure, to try the fail branch":
            yield _finding(
                "engine-node-failed", "warning", f"this {kind} node failed, its error branch was taken: {cause}", node
            )
    if not log.reached:
        last = log.started[-1] if log.started else None
        yield _finding("engine-no-output", "error", "a run ended without reaching an end or answer node", last)
