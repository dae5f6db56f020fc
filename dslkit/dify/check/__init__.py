"""Checks any Dify document in layers; each finding says where, what, and what to do.

Layers: the document and its version; each node by itself; edges and containers; where a run can go; references and
their types; Jinja templates and code (parsed, never run); plugins; secrets.  (YAML has its own, see ``yaml_text``.)
An error cannot work, a warning may not be meant, a note is worth knowing - an older version's form is a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from dslkit.dify.check.code import check_code
from dslkit.dify.check.document import check_document
from dslkit.dify.check.edges import check_containers, check_edges
from dslkit.dify.check.plugins import check_plugins
from dslkit.dify.check.reach import check_reach
from dslkit.dify.check.references import check_references
from dslkit.dify.check.report import Report
from dslkit.dify.check.schema import check_nodes
from dslkit.dify.check.secrets import check_secrets
from dslkit.dify.check.templates import check_templates
from dslkit.dify.graph import Graph

if TYPE_CHECKING:
    from dslkit.records import EngineRun, Finding, Verdict

__all__ = ["MAX_NODES", "check", "quality_score", "verdict"]

MAX_NODES: Final = 5_000
_MARKS: Final = {"error": 0.0, "warning": 0.5, "note": 1.0}

_LAYERS: Final = (
    check_nodes,
    check_edges,
    check_containers,
    check_reach,
    check_references,
    check_templates,
    check_code,
    check_plugins,
    check_secrets,
)


def check(document: object) -> tuple[Finding, ...]:
    """Everything there is to say of a document, whatever it is.  Never raises; the same document, the same findings."""
    if not isinstance(document, Mapping):
        report = Report(Graph({}))
        report.error("document-shape", "The document is not a mapping.", "Give a Dify app export.")
        return tuple(report.findings)
    return tuple(_check_mapping(document).findings)


def _check_mapping(document: Mapping[str, Any]) -> Report:
    graph = Graph(document)
    report = Report(graph)
    if not check_document(document, report):
        return report
    if len(graph.raw_nodes) > MAX_NODES:
        message = f"The graph has more than {MAX_NODES:,} nodes; they are not checked."
        report.error("graph-too-large", message, "Split the workflow.")
        return report
    for layer in _LAYERS:
        layer(report)
    return report


def verdict(findings: Iterable[Finding], engine_run: EngineRun | None) -> Verdict:
    """``working`` only for what has no error finding and ran to the end on Dify's engine; ``clean`` is not run."""
    if any(finding.severity == "error" for finding in findings):
        return "errors"
    if engine_run is None or engine_run.status == "not run":
        return "clean"
    return "working" if engine_run.status == "ran" else "errors"


def quality_score(document: object, findings: Iterable[Finding], reached: Verdict) -> float:
    """0 to 100, for whoever wants one number; it follows from the findings and the verdict ``reached``, nothing else.

    Half is whether it works: all of it unless something is an error.  Half is the share of the nodes, and of the
    workflow as a whole beside them, that nothing is said of; a warning halves one, an error takes it.
    """
    nodes = Graph(document).nodes if isinstance(document, Mapping) else {}
    if not nodes:
        return 0.0
    marks: dict[str | None, float] = dict.fromkeys([None, *nodes], 1.0)
    for finding in findings:
        about = finding.node if finding.node in nodes else None
        marks[about] = min(marks[about], _MARKS[finding.severity])
    works = reached in {"working", "clean"}
    return round(50.0 * works + 50.0 * sum(marks.values()) / len(marks), 1)
