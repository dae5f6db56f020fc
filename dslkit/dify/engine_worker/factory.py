"""Builds the nodes of a dry run: graphon's own wherever they can run by themselves, with stubs at their edges."""

# mypy: ignore-missing-imports, allow-subclassing-any

# ruff: noqa: D102 -- graphon's NodeFactory says what each method is for
from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from graphon.dsl.entities import DslCodeSettings
from graphon.dsl.node_factory import _code_limits  # private, but the version is pinned
from graphon.entities.base_node_data import BaseNodeData
from graphon.enums import NodeExecutionType, WorkflowNodeExecutionStatus
from graphon.node_events.base import NodeRunResult
from graphon.nodes.answer.answer_node import AnswerNode
from graphon.nodes.code.code_node import CodeNode
from graphon.nodes.end.end_node import EndNode
from graphon.nodes.http_request.config import build_http_request_config
from graphon.nodes.http_request.node import HttpRequestNodeDependencies
from graphon.nodes.if_else.if_else_node import IfElseNode
from graphon.nodes.iteration.iteration_node import IterationNode
from graphon.nodes.iteration.iteration_start_node import IterationStartNode
from graphon.nodes.llm import LLMNode
from graphon.nodes.loop.loop_end_node import LoopEndNode
from graphon.nodes.loop.loop_node import LoopNode
from graphon.nodes.loop.loop_start_node import LoopStartNode
from graphon.nodes.parameter_extractor.parameter_extractor_node import ParameterExtractorNode
from graphon.nodes.question_classifier import QuestionClassifierNode, QuestionClassifierNodeDependencies
from graphon.nodes.start import StartNode
from graphon.nodes.template_transform.template_transform_node import TemplateTransformNode
from graphon.nodes.tool.tool_node import ToolNode
from graphon.nodes.variable_aggregator.variable_aggregator_node import VariableAggregatorNode
from graphon.nodes.variable_assigner.v1.node import VariableAssignerNode as AssignerV1
from graphon.nodes.variable_assigner.v2.node import VariableAssignerNode as AssignerV2
from pydantic import ValidationError

from . import stubs
from .rendering import BoundedRenderer
from .samples import sample_value
from .standins import DocumentExtractor, HttpRequest, LenientList, Retrieval, StandIn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from graphon.nodes.base.node import Node
    from graphon.runtime.init_params import InitParams
    from graphon.runtime.runtime_state import RuntimeState

    from .pilot import Pilot

FAIL_HANDLE: Final = "fail-branch"
_CODE_LIMITS: Final = _code_limits(DslCodeSettings())

_ROOTS: Final = frozenset({"trigger-webhook", "trigger-schedule", "trigger-plugin", "datasource"})
_UNMODELLED: Final = (*sorted(_ROOTS), "agent", "human-input", "knowledge-index")
_CLASSES: Final[Mapping[str, type[Node]]] = {
    "start": StartNode,
    "end": EndNode,
    "answer": AnswerNode,
    "if-else": IfElseNode,
    "iteration": IterationNode,
    "iteration-start": IterationStartNode,
    "loop": LoopNode,
    "loop-start": LoopStartNode,
    "loop-end": LoopEndNode,
    "variable-aggregator": VariableAggregatorNode,
    "variable-assigner": VariableAggregatorNode,  # its name in older versions
    "list-operator": LenientList,
    "document-extractor": DocumentExtractor,
    "llm": LLMNode,
    "question-classifier": QuestionClassifierNode,
    "parameter-extractor": ParameterExtractorNode,
    "tool": ToolNode,
    "http-request": HttpRequest,
    "code": CodeNode,
    "template-transform": TemplateTransformNode,
    "knowledge-retrieval": Retrieval,
    "assigner of version 1": AssignerV1,
    "assigner of version 2": AssignerV2,
    **dict.fromkeys(_UNMODELLED, StandIn),
}


class NodeDataError(ValueError):
    """Nodes whose data graphon's own models refuse: (node id, what is wrong) each."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{node}: {problem}" for node, problem in problems))
        self.problems = problems


@dataclass(slots=True)
class DryRunContext:
    """What all nodes of all runs of one workflow share."""

    pilot: Pilot
    outputs: Mapping[str, Mapping[str, str]]
    announce: Callable[[str], None]
    problems: list[tuple[str, str]] = field(default_factory=list)
    handles: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class DryRunFactory:
    """A graphon NodeFactory; one copy for each execution frame."""

    graph_config: Mapping[str, Any]
    init_params: InitParams
    runtime_state: RuntimeState
    context: DryRunContext

    def with_runtime_state(self, runtime_state: RuntimeState) -> DryRunFactory:
        return replace(self, runtime_state=runtime_state)

    def with_graph_config(self, graph_config: Mapping[str, Any]) -> DryRunFactory:
        init_params = self.init_params.model_copy(update={"graph_config": graph_config})
        return replace(self, graph_config=graph_config, init_params=init_params)

    def validate_node(self, node_config: Mapping[str, Any]) -> NodeExecutionType:
        """Collect what is wrong with any node, so that one load reports all of it (see ``create_node``)."""
        node, data = str(node_config["id"]), _payload(node_config["data"])
        try:
            cls = _node_class(data)
            cls.validate_node_data(data)
        except ValidationError as error:
            self.context.problems.append((node, _explain(error)))
        except (ValueError, TypeError) as error:
            self.context.problems.append((node, str(error)))
            return NodeExecutionType.EXECUTABLE
        return NodeExecutionType.ROOT if data["type"] in _ROOTS else cls.execution_type

    def create_node(self, node_config: Mapping[str, Any]) -> Node:
        if self.context.problems:
            raise NodeDataError(self.context.problems)
        node, data = str(node_config["id"]), _payload(node_config["data"])
        cls = _node_class(data)
        built: Node = cls(
            node_id=node,
            data=cls.validate_node_data(data),
            init_params=self.init_params,
            runtime_state=self.runtime_state,
            **self._edges_of(node, data),
        )
        if isinstance(built, StandIn):
            built.become(str(data["type"]), root=data["type"] in _ROOTS)
        self._steer(built, data)
        return built

    def _edges_of(self, node: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """The stubs that stand at the edges of a node, as its constructor wants them."""
        make = _EDGES.get(data["type"])
        return make(self, node, data) if make else {}

    def _renderer(self, node: str) -> BoundedRenderer:
        return BoundedRenderer(lambda: self.context.announce(node))

    def llm(self, node: str, data: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "model_instance": stubs.StubModel(data),
            "llm_file_saver": stubs.StubFileSaver(),
            "prompt_message_serializer": stubs.StubSerializer(),
            "jinja2_template_renderer": self._renderer(node),
            "default_query_selector": ("sys", "query"),
        }

    def classifier(self, node: str, data: Mapping[str, Any]) -> dict[str, Any]:
        own = [handle for handle in self.context.handles.get(node, ()) if handle != FAIL_HANDLE]

        def answer() -> str:
            chosen = self.context.pilot.choose(node, own)
            return json.dumps({"category_id": chosen, "category_name": chosen})

        dependencies = QuestionClassifierNodeDependencies(
            model_instance=stubs.StubModel(data, answer),
            template_renderer=self._renderer(node),
            llm_file_saver=stubs.StubFileSaver(),
            prompt_message_serializer=stubs.StubSerializer(),
        )
        return {"dependencies": dependencies}

    def extractor(self, _node: str, data: Mapping[str, Any]) -> dict[str, Any]:
        model = stubs.StubModel(data, lambda: _parameters(data))
        return {"model_instance": model, "prompt_message_serializer": stubs.StubSerializer()}

    def tool(self, node: str, _data: Mapping[str, Any]) -> dict[str, Any]:
        runtime = stubs.StubToolRuntime(self.context.outputs.get(node, {}))
        return {"tool_file_manager": stubs.StubToolFiles(), "runtime": runtime}

    def http(self, _node: str, _data: Mapping[str, Any]) -> dict[str, Any]:
        dependencies = HttpRequestNodeDependencies(
            tool_file_manager_factory=stubs.StubToolFiles,
            file_manager=stubs.StubFileManager(),
            file_reference_factory=stubs.StubToolRuntime({}),
            http_client=stubs.StubHttpClient(),
        )
        return {"http_request_config": build_http_request_config(), "dependencies": dependencies}

    def code(self, _node: str, data: Mapping[str, Any]) -> dict[str, Any]:
        outputs = CodeNode.validate_node_data(data).outputs
        return {"code_executor": stubs.StubCodeExecutor(outputs), "code_limits": _CODE_LIMITS}

    def template(self, node: str, _data: Mapping[str, Any]) -> dict[str, Any]:
        return {"jinja2_template_renderer": self._renderer(node)}

    def stand_in(self, node: str, _data: Mapping[str, Any]) -> dict[str, Any]:
        return {"gives": self.context.outputs.get(node, {})}

    def _steer(self, node: Node, data: Mapping[str, Any]) -> None:
        """Let the pilot say which way a fork goes, after the node's own work has been done and found no fault."""
        handles = self.context.handles.get(node.id, ())
        own = [handle for handle in handles if handle != FAIL_HANDLE]
        pilot, run = self.context.pilot, node._run  # noqa: SLF001 -- where a node's work begins; the version is pinned
        if data["type"] in ("if-else", "human-input") and own:
            node._run = run = lambda run=run: _forked(run(), pilot.choose(node.id, own))  # noqa: SLF001 -- where a node's work begins; the version is pinned
        if FAIL_HANDLE in handles:
            node._run = lambda: _injected() if pilot.choose(node.id, _success_first(handles)) == FAIL_HANDLE else run()  # noqa: SLF001 -- where a node's work begins; the version is pinned


def _success_first(handles: tuple[str, ...]) -> list[str]:
    return sorted(handles, key=lambda handle: handle == FAIL_HANDLE)


def _forked(result: NodeRunResult, handle: str | None) -> NodeRunResult:
    if handle is None or result.status != WorkflowNodeExecutionStatus.SUCCEEDED:
        return result
    outputs = {**result.outputs, "selected_case_id": handle} if "selected_case_id" in result.outputs else result.outputs
    return result.model_copy(update={"edge_source_handle": handle, "outputs": outputs})


def _injected() -> NodeRunResult:
    """A failure made on purpose, so that the branch behind it is visited."""
    return NodeRunResult(
        status=WorkflowNodeExecutionStatus.FAILED, error="a failure, to try the fail branch", error_type="DryRun"
    )


def _payload(data: BaseNodeData | Mapping[str, Any]) -> dict[str, Any]:
    return data.model_dump(mode="python") if isinstance(data, BaseNodeData) else dict(data)


def _node_class(data: Mapping[str, Any]) -> type[Node]:
    kind = str(data["type"])
    if kind == "assigner":
        second = "items" in data or str(data.get("version")) == "2"
        kind = "assigner of version 2" if second else "assigner of version 1"
    if kind not in _CLASSES:
        raise ValueError(f"the engine has no node type {kind!r}")
    return _CLASSES[kind]


def _parameters(data: Mapping[str, Any]) -> str:
    """What a model would extract: each parameter by its type, the first of its options where it has any."""
    values: dict[str, Any] = {}
    for parameter in data.get("parameters") or ():
        kind = {"bool": "boolean", "select": "string"}.get(parameter["type"], parameter["type"])
        values[parameter["name"]] = (parameter.get("options") or [None])[0] or sample_value(kind)
    return json.dumps(values, default=str)


def _explain(error: ValidationError) -> str:
    """The first faults, each as ``field: what is wrong``."""
    details = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in details[:5]]
    return "; ".join(lines)


_EDGES: Final[Mapping[str, Callable[[DryRunFactory, str, Mapping[str, Any]], dict[str, Any]]]] = {
    "llm": DryRunFactory.llm,
    "question-classifier": DryRunFactory.classifier,
    "parameter-extractor": DryRunFactory.extractor,
    "tool": DryRunFactory.tool,
    "http-request": DryRunFactory.http,
    "code": DryRunFactory.code,
    "template-transform": DryRunFactory.template,
    **dict.fromkeys(("knowledge-retrieval", *_UNMODELLED), DryRunFactory.stand_in),
}
