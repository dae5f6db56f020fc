"""One number for a workflow: half for working, half for the nodes that nothing is said of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dslkit.dify.check import quality_score, verdict
from dslkit.records import EngineRun, Finding

from .workflow_samples import compiled, small

if TYPE_CHECKING:
    from dslkit.records import Severity

DOCUMENT = compiled(small()).document  # three nodes; with the whole, four parts
RAN = EngineRun(status="ran")


def found(severity: Severity, node: str | None) -> Finding:
    return Finding(code="x", severity=severity, message="x", node=node)


@pytest.mark.parametrize(
    ("findings", "score"),
    [
        ([], 100.0),
        ([found("note", "1"), found("note", None)], 100.0),
        ([found("warning", "1")], 93.8),
        ([found("warning", "1"), found("warning", "1")], 93.8),
        ([found("warning", "1"), found("warning", None)], 87.5),
        ([found("error", "2")], 37.5),
        ([found("error", "2"), found("warning", "2"), found("error", "unheard of")], 25.0),
        ([found("error", node) for node in ("1", "2", "3", None)], 0.0),
    ],
)
def test_what_it_is_made_of(findings: list[Finding], score: float) -> None:
    assert quality_score(DOCUMENT, findings, verdict(findings, RAN)) == score


@pytest.mark.parametrize("nothing", [None, {}, {"workflow": {"graph": {"nodes": "none"}}}])
def test_no_workflow_is_worth_nothing(nothing: Any) -> None:
    assert quality_score(nothing, [], "clean") == 0.0


def test_what_did_not_run_to_the_end_is_worth_no_more_than_half() -> None:
    failed = [found("error", "2")]
    assert quality_score(DOCUMENT, failed, verdict(failed, EngineRun(status="failed"))) < 50
