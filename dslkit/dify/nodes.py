"""The catalogue of Dify's node types: what they are called, what they give, which handles they have.

Facts of DSL 0.6.0 and of the engine ``graphon`` 0.8.0.  Value types are the engine's own words: ``string``, ``number``,
``boolean``, ``object``, ``file``, ``array[string]`` and so on; ``any`` where only a run can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Data = Mapping[str, Any]
Outputs = dict[str, str]

ANY: Final = "any"
VALUE_TYPES: Final = frozenset(
    {
        "string", "number", "integer", "float", "boolean", "object", "file", "secret", "any", "array[any]",
        "array[string]", "array[number]", "array[object]", "array[file]", "array[boolean]",
    }
)  # fmt: skip

SYSTEM_VARIABLES: Final[Mapping[str, str]] = {
    "query": "string",
    "files": "array[file]",
    "conversation_id": "string",
    "dialogue_count": "number",
    "user_id": "string",
    "app_id": "string",
    "workflow_id": "string",
    "workflow_run_id": "string",
    "timestamp": "number",
}
CHAT_ONLY_SYSTEM_VARIABLES: Final = frozenset({"query", "conversation_id", "dialogue_count"})
PREFIXES: Final = frozenset({"sys", "env", "conversation", "rag"})

FILE_ATTRIBUTES: Final[Mapping[str, str]] = {
    "type": "string",
    "size": "number",
    "name": "string",
    "mime_type": "string",
    "transfer_method": "string",
    "url": "string",
    "extension": "string",
    "related_id": "string",
}
FILE_TYPES: Final = frozenset({"image", "document", "audio", "video", "custom"})

START_VARIABLE_TYPES: Final[Mapping[str, str]] = {
    "text-input": "string",
    "paragraph": "string",
    "select": "string",
    "number": "number",
    "checkbox": "boolean",
    "file": "file",
    "file-list": "array[file]",
    "json_object": "object",
    "external_data_tool": "string",
}
CODE_OUTPUT_TYPES: Final = frozenset(
    {"string", "number", "object", "boolean", "array[string]", "array[number]", "array[object]", "array[boolean]"}
)
PARAMETER_TYPES: Final[Mapping[str, str]] = {
    "string": "string",
    "number": "number",
    "boolean": "boolean",
    "bool": "boolean",
    "select": "string",
    "array[string]": "array[string]",
    "array[number]": "array[number]",
    "array[object]": "array[object]",
    "array[boolean]": "array[boolean]",
}

DEFAULT_HANDLE: Final = "source"
ELSE_HANDLE: Final = "false"
FAIL_HANDLE: Final = "fail-branch"
TIMEOUT_HANDLE: Final = "__timeout"


def _start_outputs(data: Data) -> Outputs:
    return {
        variable["variable"]: START_VARIABLE_TYPES.get(str(variable.get("type")), ANY)
        for variable in mappings(data.get("variables"))
        if isinstance(variable.get("variable"), str)
    }


def _code_outputs(data: Data) -> Outputs:
    declared = data.get("outputs")
    if not isinstance(declared, Mapping):
        return {}
    return {str(name): str(spec.get("type", ANY)) for name, spec in declared.items() if isinstance(spec, Mapping)}


def _llm_outputs(data: Data) -> Outputs:
    outputs = {"text": "string", "usage": "object", "reasoning_content": "string"}
    if data.get("structured_output_enabled") or data.get("structured_output_switch_on"):
        outputs["structured_output"] = "object"
    return outputs


def _parameter_outputs(data: Data) -> Outputs:
    outputs = {
        str(parameter["name"]): PARAMETER_TYPES.get(str(parameter.get("type")), ANY)
        for parameter in mappings(data.get("parameters"))
        if parameter.get("name")
    }
    return {**outputs, "__is_success": "number", "__reason": "string", "__usage": "object"}


def _iteration_outputs(data: Data) -> Outputs:
    declared = data.get("output_type")
    return {"output": declared if isinstance(declared, str) and declared in VALUE_TYPES else "array[any]"}


def _loop_outputs(data: Data) -> Outputs:
    outputs = {
        str(variable["label"]): str(variable.get("var_type", ANY))
        for variable in mappings(data.get("loop_variables"))
        if variable.get("label")
    }
    return {**outputs, "loop_round": "number"}


def _aggregator_outputs(data: Data) -> Outputs:
    settings = data.get("advanced_settings")
    if isinstance(settings, Mapping) and settings.get("group_enabled"):
        groups = mappings(settings.get("groups"))
        return {str(group["group_name"]): "object" for group in groups if group.get("group_name")}
    declared = data.get("output_type")
    return {"output": declared if isinstance(declared, str) and declared in VALUE_TYPES else ANY}


def _list_outputs(data: Data) -> Outputs:
    whole, item = data.get("var_type"), data.get("item_var_type")
    whole = whole if isinstance(whole, str) and whole in VALUE_TYPES else "array[any]"
    item = item if isinstance(item, str) and item in VALUE_TYPES else element_type(whole)
    return {"result": whole, "first_record": item, "last_record": item}


def _document_outputs(data: Data) -> Outputs:
    return {"text": "array[string]" if data.get("is_array_file") else "string"}


def _tool_outputs(data: Data) -> Outputs:
    outputs = {"text": "string", "files": "array[file]", "json": "array[object]"}
    schema = data.get("output_schema")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    for name, spec in properties.items() if isinstance(properties, Mapping) else ():
        outputs.setdefault(str(name), _schema_type(spec))
    return outputs


def _schema_type(spec: object) -> str:
    """The value type of one property of a JSON Schema."""
    declared = spec.get("type") if isinstance(spec, Mapping) else None
    if declared == "array" and isinstance(spec, Mapping):
        items = _schema_type(spec.get("items"))
        return f"array[{items}]" if f"array[{items}]" in VALUE_TYPES else "array[any]"
    return declared if isinstance(declared, str) and declared in VALUE_TYPES else ANY


def _agent_outputs(data: Data) -> Outputs:
    return {**_tool_outputs(data), "usage": "object"}


def _human_outputs(data: Data) -> Outputs:
    outputs = {"__action_id": "string", "__rendered_content": "string"}
    for entry in mappings(data.get("inputs")):
        name = entry.get("output_variable_name") or entry.get("variable") or entry.get("name")
        if name:
            outputs[str(name)] = "string"
    return outputs


def _webhook_outputs(data: Data) -> Outputs:
    names = [
        str(entry.get("name"))
        for part in ("headers", "params", "body", "variables")
        for entry in mappings(data.get(part))
        if entry.get("name")
    ]
    return {**dict.fromkeys(names, ANY), "_webhook_raw": "object"}


def _nothing(_: Data) -> Outputs:
    return {}


def _fixed(**outputs: str) -> Callable[[Data], Outputs]:
    return lambda _: dict(outputs)


@dataclass(frozen=True, slots=True)
class NodeKind:
    """One node type: ``required`` names the fields of ``data`` that the engine's own model demands."""

    type: str
    title: str
    required: tuple[str, ...] = ()
    outputs: Callable[[Data], Outputs] = field(default=_nothing)
    open_outputs: bool = False  # may give more than anybody can know before a run
    root: bool = False
    terminal: bool = False
    container: bool = False
    child_entry: bool = False
    branches: bool = False


_KINDS: Final = (
    NodeKind("start", "Start", outputs=_start_outputs, root=True),
    NodeKind("end", "End", ("outputs",), terminal=True),
    NodeKind("answer", "Answer", ("answer",), outputs=_fixed(answer="string", files="array[file]"), terminal=True),
    NodeKind("llm", "LLM", ("model", "prompt_template", "context"), outputs=_llm_outputs),
    NodeKind("code", "Code", ("variables", "code_language", "code", "outputs"), outputs=_code_outputs),
    NodeKind("template-transform", "Template", ("variables", "template"), outputs=_fixed(output="string")),
    NodeKind(
        "http-request",
        "HTTP Request",
        ("method", "url", "authorization", "headers", "params"),
        outputs=_fixed(body="string", status_code="number", headers="object", files="array[file]"),
    ),
    NodeKind("if-else", "IF/ELSE", outputs=_fixed(result="boolean", selected_case_id="string"), branches=True),
    NodeKind(
        "question-classifier",
        "Question Classifier",
        ("query_variable_selector", "model", "classes"),
        outputs=_fixed(class_name="string", class_id="string", class_label="string", usage="object"),
        branches=True,
    ),
    NodeKind(
        "parameter-extractor",
        "Parameter Extractor",
        ("model", "query", "parameters", "reasoning_mode"),
        outputs=_parameter_outputs,
    ),
    NodeKind(
        "iteration",
        "Iteration",
        ("start_node_id", "iterator_selector", "output_selector"),
        outputs=_iteration_outputs,
        container=True,
    ),
    NodeKind("iteration-start", "Iteration Start", child_entry=True),
    NodeKind(
        "loop",
        "Loop",
        ("start_node_id", "loop_count", "break_conditions", "logical_operator"),
        outputs=_loop_outputs,
        container=True,
    ),
    NodeKind("loop-start", "Loop Start", child_entry=True),
    NodeKind("loop-end", "Exit Loop"),
    NodeKind("variable-aggregator", "Variable Aggregator", ("output_type", "variables"), outputs=_aggregator_outputs),
    NodeKind("assigner", "Variable Assigner", ("items",)),
    NodeKind("list-operator", "List Operator", ("filter_by", "order_by", "limit"), outputs=_list_outputs),
    NodeKind("document-extractor", "Doc Extractor", ("variable_selector",), outputs=_document_outputs),
    NodeKind(
        "tool",
        "Tool",
        (
            "provider_id",
            "provider_type",
            "provider_name",
            "tool_name",
            "tool_label",
            "tool_configurations",
            "tool_parameters",
        ),
        outputs=_tool_outputs,
        open_outputs=True,
    ),
    NodeKind(
        "knowledge-retrieval",
        "Knowledge Retrieval",
        ("dataset_ids", "retrieval_mode"),
        outputs=_fixed(result="array[object]", files="array[file]"),
    ),
    NodeKind(
        "agent",
        "Agent",
        ("agent_strategy_provider_name", "agent_strategy_name", "agent_strategy_label", "agent_parameters"),
        outputs=_agent_outputs,
        open_outputs=True,
    ),
    NodeKind("human-input", "Human Input", outputs=_human_outputs, open_outputs=True, branches=True),
    NodeKind("trigger-webhook", "Webhook", outputs=_webhook_outputs, open_outputs=True, root=True),
    NodeKind("trigger-schedule", "Schedule", open_outputs=True, root=True),
    NodeKind("trigger-plugin", "Trigger", open_outputs=True, root=True),
    NodeKind("datasource", "Data Source", open_outputs=True, root=True),
    NodeKind("knowledge-index", "Knowledge Index", terminal=True),
)

NODE_KINDS: Final[Mapping[str, NodeKind]] = {kind.type: kind for kind in _KINDS}
OLD_NAMES: Final[Mapping[str, str]] = {"variable-assigner": "variable-aggregator"}


def node_kind(type_: object) -> NodeKind | None:
    """The catalogue's entry of a Dify node type, also of an older name; None when there is no such type."""
    return NODE_KINDS.get(OLD_NAMES.get(type_, type_)) if isinstance(type_, str) else None


def outputs_of(data: Data) -> Outputs:
    """What a node gives, by its ``data``: output name to value type.  Never raises on malformed data.

    Loop variables and a parameter extractor's parameters are among them; what an iteration gives its children
    (``item``, ``index``) is not, see ``inner_outputs``.
    """
    kind = node_kind(data.get("type"))
    outputs = kind.outputs(data) if kind else {}
    if data.get("error_strategy") in ("fail-branch", "default-value"):
        outputs = {**outputs, "error_message": "string", "error_type": "string"}
    return outputs


def inner_outputs(data: Data) -> Outputs:
    """What a container gives to the nodes inside it, beyond its own outputs."""
    if data.get("type") == "iteration":
        return {"item": ANY, "index": "number"}
    if data.get("type") == "loop":
        return {**_loop_outputs(data), "index": "number"}
    return {}


def handles_of(data: Data) -> tuple[str, ...]:
    """The source handles of a node, in port order (the last of an if-else is its ELSE)."""
    handles = _branch_handles(data)
    return (*handles, FAIL_HANDLE) if data.get("error_strategy") == FAIL_HANDLE else handles


def _branch_handles(data: Data) -> tuple[str, ...]:
    match data.get("type"):
        case "if-else":
            cases = data.get("cases")
            ids = [case.get("case_id") or case.get("id") for case in mappings(cases)] if cases is not None else ["true"]
            return (*(i for i in ids if isinstance(i, str)), ELSE_HANDLE)
        case "question-classifier":
            return tuple(str(c["id"]) for c in mappings(data.get("classes")) if c.get("id") is not None)
        case "human-input":
            actions = mappings(data.get("user_actions") or data.get("actions"))
            return (*(str(action["id"]) for action in actions if action.get("id")), TIMEOUT_HANDLE)
        case "end" | "loop-end" | "knowledge-index":
            return ()
        case _:
            return (DEFAULT_HANDLE,)


def element_type(array: str) -> str:
    """``array[file]`` -> ``file``; ``any`` for everything whose elements are not known."""
    return array[6:-1] if array.startswith("array[") and array.endswith("]") else ANY


def array_of(element: str) -> str:
    """``file`` -> ``array[file]``; ``array[any]`` where Dify has no such array."""
    candidate = f"array[{element}]"
    return candidate if candidate in VALUE_TYPES else "array[any]"


def is_one_of(value: object, words: Container[str]) -> bool:
    """Whether a value is one of some words; False for anything that is no text."""
    return isinstance(value, str) and value in words


def mappings(value: object) -> list[Data]:
    """The mappings in a list; nothing for anything else."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
