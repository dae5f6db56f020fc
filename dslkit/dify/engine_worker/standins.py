"""Nodes of our own for what graphon cannot run without a Dify behind it."""

# mypy: ignore-missing-imports, allow-subclassing-any
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphon.entities.base_node_data import BaseNodeData
from graphon.enums import NodeExecutionType, WorkflowNodeExecutionStatus
from graphon.node_events.base import NodeRunResult
from graphon.nodes.base.node import Node
from graphon.nodes.document_extractor import DocumentExtractorNode
from graphon.nodes.document_extractor.exc import DocumentExtractorError
from graphon.nodes.list_operator.node import ListOperatorNode
from graphon.variables.segments import ArrayFileSegment, ArrayStringSegment, FileSegment, StringSegment

from .samples import TEXT, sample_value

_SELECTORS = ("variable", "query_variable_selector", "query_attachment_selector")


def succeeded(**outputs: Any) -> NodeRunResult:
    return NodeRunResult(status=WorkflowNodeExecutionStatus.SUCCEEDED, outputs=outputs)


def failed(error: str) -> NodeRunResult:
    return NodeRunResult(status=WorkflowNodeExecutionStatus.FAILED, error=error, error_type="DryRun")


class StandIn(Node[BaseNodeData]):
    """Agent, human input, triggers, data sources: gives values of the types that the catalogue says it gives."""

    node_type = "stand-in"

    @classmethod
    def version(cls) -> str:
        return "1"

    def __init__(self, *, gives: Mapping[str, str], **rest: Any) -> None:
        super().__init__(**rest)
        self._gives = gives

    def become(self, node_type: str, *, root: bool) -> None:
        """Take the type of the node it stands for; one class serves them all."""
        self.node_type = node_type
        if root:
            self.execution_type = NodeExecutionType.ROOT
        elif node_type == "human-input":
            self.execution_type = NodeExecutionType.BRANCH
        elif node_type == "knowledge-index":
            self.execution_type = NodeExecutionType.RESPONSE

    def _run(self) -> NodeRunResult:
        missing = self._missing_variable()
        return failed(missing) if missing else succeeded(**{n: sample_value(kind) for n, kind in self._gives.items()})

    def _missing_variable(self) -> str | None:
        """Like the real agent node: a parameter bound to a variable needs that variable."""
        parameters = self.node_data.get("agent_parameters") or {}
        for name, parameter in parameters.items() if isinstance(parameters, Mapping) else ():
            bound = isinstance(parameter, Mapping) and parameter.get("type") == "variable"
            value = parameter.get("value") if bound else None
            if isinstance(value, list) and self.runtime_state.variable_pool.get([str(part) for part in value]) is None:
                return f"parameter {name!r}: variable {value} not found"
        return None
