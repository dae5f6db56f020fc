"""Workflows held against requirements, and verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from dslkit.dify.check import verdict
from dslkit.dify.judge import judge, judgement_findings
from dslkit.records import EngineRun, Finding, Judgement, Requirement

from .workflow_samples import codes, edges, rich

INPUTS = ("papers", "topic", "count", "brief", "report")
OUTPUTS = (("first", "text", "file"), ("text",))


def _asked(**fields: Any) -> Requirement:
    return Requirement(id="r", messages=("Do it.",), **fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Judgement()),
        ({"inputs": INPUTS}, Judgement(inputs_exact=True)),
        ({"inputs": INPUTS[1:]}, Judgement(inputs_exact=False)),
        ({"outputs": OUTPUTS}, Judgement(outputs_exact=True)),
        ({"outputs": (("text", "file"), ("first",))}, Judgement(outputs_exact=True)),
        ({"outputs": (("text", "file"),)}, Judgement(outputs_exact=False)),
        ({"outputs": ()}, Judgement(outputs_exact=False)),
        (
            {"related_nodes": ("llm", "markdown-exporter", "tool", "template", "iteration")},
            Judgement(related_nodes_held=True),
        ),
        ({"related_nodes": ("tts",)}, Judgement(related_nodes_held=False)),
    ],
)
def test_names_and_nodes_are_compared(fields: dict[str, Any], expected: Judgement) -> None:
    assert judge(rich(), _asked(**fields)) == expected


@pytest.mark.parametrize(("source", "target"), [("9", "10"), ("10", "12")])
def test_a_node_must_be_reached_and_lead_to_an_end(source: str, target: str) -> None:
    document = rich()
    asked = _asked(related_nodes=("http-request",))
    assert judge(document, asked).related_nodes_held is True
    edges(document)[:] = [e for e in edges(document) if (e["source"], e["target"]) != (source, target)]
    assert judge(document, asked).related_nodes_held is False


def test_the_same_as_findings() -> None:
    asked = _asked(inputs=("topic",), outputs=(("x",),), related_nodes=("tts",))
    findings = judgement_findings(rich(), asked)
    assert codes(findings) == ["requirement-inputs", "requirement-outputs", "requirement-node"]
    assert {finding.severity for finding in findings} == {"warning"}
    assert judgement_findings(rich(), _asked(inputs=INPUTS, outputs=OUTPUTS, related_nodes=("llm",))) == ()


def test_an_empty_document_holds_nothing() -> None:
    assert judge({}, _asked(inputs=("a",), outputs=(("b",),), related_nodes=("llm",))) == Judgement(
        inputs_exact=False, outputs_exact=False, related_nodes_held=False
    )


ERROR = Finding(code="x", severity="error", message="m")
WARNING = Finding(code="x", severity="warning", message="m")


@pytest.mark.parametrize(
    ("findings", "run", "expected"),
    [
        ((), None, "clean"),
        ((), EngineRun(status="not run"), "clean"),
        ((WARNING,), EngineRun(status="ran"), "working"),
        ((), EngineRun(status="failed"), "errors"),
        ((ERROR,), EngineRun(status="ran"), "errors"),
    ],
)
def test_working_means_clean_and_run(findings: tuple[Finding, ...], run: EngineRun | None, expected: str) -> None:
    assert verdict(findings, run) == expected
