"""Nodes of our own for what graphon cannot run without a Dify behind it."""

# mypy: ignore-missing-imports, allow-subclassing-any

# ruff: noqa: D102 -- graphon's Node says what each method is for
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphon.entities.base_node_data import BaseNodeData
from graphon.enums import NodeExecutionType, WorkflowNodeExecutionStatus
from graphon.node_events.base import NodeRunResult
from graphon.nodes.base.node import Node
from graphon.nodes.http_request.node import HttpRequestNode
from graphon.nodes.list_operator.node import ListOperatorNode
from graphon.variables.segments import ArrayFileSegment, ArrayStringSegment, FileSegment
from graphon.variables.template_resolution import convert_template

from .samples import TEXT, sample_value

_UNREADABLE = frozenset({"image", "audio", "video"})


def succeeded(**outputs: Any) -> NodeRunResult:
    """A node that did its work."""
    return NodeRunResult(status=WorkflowNodeExecutionStatus.SUCCEEDED, outputs=outputs)


def failed(error: str) -> NodeRunResult:
    """A node that refuses, and why."""
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


class Retrieval(StandIn):
    """Knowledge retrieval: two documents in the shape that LLM contexts expect."""

    def _run(self) -> NodeRunResult:
        selector = self.node_data.get("query_variable_selector")
        if selector and self.runtime_state.variable_pool.get(selector) is None:
            return failed(f"query variable {selector} not found")
        document = {
            "title": TEXT,
            "content": TEXT,
            "url": "",
            "icon": "",
            "metadata": {"_source": "knowledge"},
            "files": [],
        }
        return succeeded(result=[document, document])


class DocumentExtractorData(BaseNodeData):
    """As graphon's own, whose module wants the packages of every document format."""

    variable_selector: Sequence[str]


class DocumentExtractor(Node[DocumentExtractorData]):
    """Takes and refuses what the real one does, without opening a file."""

    node_type = "document-extractor"

    @classmethod
    def version(cls) -> str:
        return "1"

    def _run(self) -> NodeRunResult:
        selector = self.node_data.variable_selector
        variable = self.runtime_state.variable_pool.get(selector)
        if variable is None:
            return failed(f"File variable not found for selector: {selector}")
        if variable.value and not isinstance(variable, ArrayFileSegment | FileSegment):
            return failed(f"Variable {selector} is not a file or a list of files")
        files = variable.value if isinstance(variable.value, list) else [variable.value]
        if files and all(file and str(file.type) in _UNREADABLE for file in files):
            return failed(f"Unsupported file type: {files[0].type}")
        if isinstance(variable.value, list) or not variable.value:
            return succeeded(text=ArrayStringSegment(value=[TEXT] * len(variable.value or ())))
        return succeeded(text=TEXT)


class LenientList(ListOperatorNode):
    """The real one; where its filter or index leaves nothing of invented data, what follows gets the data whole."""

    def _run(self) -> NodeRunResult:
        variable = self.runtime_state.variable_pool.get(self.node_data.variable)
        result = super()._run()
        beyond = result.error.startswith("Invalid serial index: must be <=")
        if variable is None or not isinstance(variable.value, list) or not variable.value:
            return result
        emptied = result.status == WorkflowNodeExecutionStatus.SUCCEEDED and not result.outputs["result"].value
        return succeeded(**self._build_outputs(variable)) if emptied or beyond else result


class HttpRequest(HttpRequestNode):
    """The real one on a stub client; an address or a key that only a user or a model can know is made up."""

    def _run(self) -> NodeRunResult:
        data, pool = self.node_data, self.runtime_state.variable_pool
        address = convert_template(pool, data.url).text
        if data.url.startswith("{{#") and not address.startswith(("{{#", "http://", "https://")):
            data.url = f"https://sample.invalid/{data.url}"
        key = data.authorization.config
        if key is not None and not key.api_key.strip():
            key.api_key = "sample-key"
        return super()._run()
