"""A Dify document back to a plan, so that an existing workflow can be changed by its short form.

What the short form has words for goes into a node's ``param``; every field that compiling ``param`` would not give back
as it was goes into ``dify``.  So compiling the plan again keeps the graph, whatever the document holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from dslkit.dify.compile import compile_plan
from dslkit.dify.graph import Graph, Node, graph_of
from dslkit.dify.nodes import DEFAULT_HANDLE, handles_of, mappings
from dslkit.dify.plan import Plan, PlanEdge, PlanNode, Port
from dslkit.dify.plan_forms import PARAMETERS
from dslkit.dify.references import copy_data
from dslkit.dify.tools import CHART_TOOLS, TOOLS, dependency, plugin_of, tool_kind

_PLAIN_START: Final[Mapping[str, str]] = {
    "paragraph": "string",
    "number": "number",
    "checkbox": "boolean",
    "file": "file",
    "file-list": "array[file]",
    "json_object": "object",
}
_SHELL_FIELDS: Final = frozenset(
    {
        "type",
        "title",
        "selected",
        "isInIteration",
        "isInLoop",
        "iteration_id",
        "loop_id",
        "start_node_id",
        "width",
        "height",
    }
)
_SAYS_NOTHING: Final[tuple[Any, ...]] = (None, "", [], {}, False)


def decompile(document: Mapping[str, Any]) -> Plan:
    """The plan of a document with a graph.  Ids stay as they are, so that a change shows as a small difference.

    Raises:
        ValueError: when the document has no readable graph.
    """
    graph = Graph(document)
    if not graph.nodes:
        raise ValueError("The document has no graph to make a plan of.")
    workflow = document["workflow"]
    short = Plan(
        nodes_info=[_node(node) for node in graph.nodes.values()],
        edges=[_edge(graph, edge.source, edge.handle, edge.target) for edge in graph.edges],
    )
    given_back = Graph(compile_plan(short, name="")).nodes
    nodes = [
        found.model_copy(update={"dify": _rest(graph.nodes[found.id], given_back.get(found.id), graph)})
        for found in short.nodes_info
    ]
    return Plan(
        nodes_info=nodes,
        edges=short.edges,
        app=_mapping(document.get("app")),
        features=_mapping(workflow.get("features")),
        environment_variables=_listed(workflow.get("environment_variables")),
        conversation_variables=_listed(workflow.get("conversation_variables")),
        dependencies=_own_dependencies(document),
        notes=[copy_data(raw) for raw in mappings(graph_of(document).get("nodes")) if raw.get("type") == "custom-note"],
    )


def _mapping(value: object) -> dict[str, Any]:
    return copy_data(value) if isinstance(value, dict) else {}


def _listed(value: object) -> list[dict[str, Any]]:
    return [copy_data(entry) for entry in mappings(value)]


def _own_dependencies(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The dependencies, unless they are just what compiling finds again."""
    entries = _listed(document.get("dependencies"))
    found = [entry for plugin in _plugins(document) if (entry := dependency(plugin))]
    return [] if entries == found else entries


def _plugins(document: Mapping[str, Any]) -> list[str]:
    plugins: dict[str, None] = {}
    for node in Graph(document).nodes.values():
        model = node.data.get("model")
        providers = (node.data.get("provider_id"), model.get("provider") if isinstance(model, Mapping) else None)
        plugins |= dict.fromkeys(plugin for provider in providers if (plugin := plugin_of(provider)))
    return list(plugins)


def _edge(graph: Graph, source: str, handle: str, target: str) -> PlanEdge:
    node = graph.nodes.get(source)
    handles = handles_of(node.data) if node else ()
    port: Port = handle
    by_index = handles == (DEFAULT_HANDLE,) or (node is not None and node.type in ("if-else", "question-classifier"))
    if by_index and handle in handles:
        port = handles.index(handle)
    return (source, port, target)


def _node(node: Node) -> PlanNode:
    type_, param = _short_form(node)
    title, position = node.data.get("title"), node.raw.get("position")
    return PlanNode(
        id=node.id,
        type=type_,
        param=param,
        title=title if isinstance(title, str) else None,
        parent=node.parent or None,
        position=_place(position),
    )


def _rest(node: Node, compiled: Node | None, graph: Graph) -> dict[str, Any]:
    """The fields that compiling the short form alone does not give back."""
    rebuilt = compiled.data if compiled else {}
    rest = {
        key: copy_data(value)
        for key, value in node.data.items()
        if key not in _SHELL_FIELDS and not _is_given_back(value, rebuilt.get(key))
    }
    start = graph.nodes.get(str(node.data.get("start_node_id")))
    if start is not None and start.type != f"{node.type}-start":  # older documents start at a plain node
        rest["start_node_id"] = start.id
    return rest


def _is_given_back(value: Any, compiled: Any) -> bool:
    """Whether a compiled value says the same: fields that it adds, or that say nothing, make no difference."""
    if compiled is None:
        return value in _SAYS_NOTHING
    if isinstance(value, Mapping) and isinstance(compiled, Mapping):
        return all(_is_given_back(entry, compiled.get(key)) for key, entry in value.items())
    if isinstance(value, list) and isinstance(compiled, list):
        return len(value) == len(compiled) and all(map(_is_given_back, value, compiled))
    return bool(value == compiled and isinstance(value, bool) == isinstance(compiled, bool))


def _place(position: object) -> tuple[float, float] | None:
    match position:
        case {"x": int() | float() as x, "y": int() | float() as y}:
            return (float(x), float(y))
        case _:
            return None


def _short_form(node: Node) -> tuple[str, dict[str, Any]]:
    """The plan's type and parameters of a node; a type without a short form keeps Dify's own fields."""
    kind = tool_kind(node.data) if node.type == "tool" else None
    if kind:
        return kind.plan_type, _tool(kind.plan_type, node.data)
    reader = _READERS.get(node.type)
    if reader:
        return node.type, reader(node.data)
    if node.type in PARAMETERS:
        return node.type, {}
    return node.type, {key: copy_data(value) for key, value in node.data.items() if key not in _SHELL_FIELDS}


def _reference(selector: object) -> Any:
    """``["1", "file", "type"]`` -> ``["file.type", "1"]``; what is no selector stays as it is."""
    if isinstance(selector, list) and len(selector) > 1 and all(isinstance(part, str) for part in selector):
        return [".".join(selector[1:]), selector[0]]
    return copy_data(selector)


def _named(entries: object) -> Any:
    return [
        [entry["variable"], _reference(entry.get("value_selector"))] if "variable" in entry else copy_data(entry)
        for entry in mappings(entries)
    ]


def _start(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"variables": [_start_variable(variable) for variable in mappings(data.get("variables"))]}


def _start_variable(variable: Mapping[str, Any]) -> list[Any]:
    name, type_ = str(variable.get("variable", "")), str(variable.get("type", ""))
    settings = {key: copy_data(value) for key, value in variable.items() if key not in ("variable", "type")}
    return [name, _PLAIN_START.get(type_, type_), settings]


def _end(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"outputs": _named(data.get("outputs"))}


def _answer(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"answer": data.get("answer", "")}


def _model(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": copy_data(data["model"])} if isinstance(data.get("model"), dict) else {}


def _llm(data: Mapping[str, Any]) -> dict[str, Any]:
    template = mappings(data.get("prompt_template"))
    messages = [[message.get("role"), message.get("text", "")] for message in template]
    param = _model(data)
    if [role for role, _ in messages] in (["system", "user"], ["user"], ["system"]):
        param |= {str(role): text for role, text in messages}
    else:
        param["messages"] = messages
    context = data.get("context")
    if isinstance(context, Mapping) and context.get("enabled") and context.get("variable_selector"):
        param["context"] = _reference(context["variable_selector"])
    if isinstance(data.get("memory"), dict):
        param["memory"] = copy_data(data["memory"])
    return param


def _classifier(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "query_variable_selector": _reference(data.get("query_variable_selector")),
        "classes": [str(entry.get("name", "")) for entry in mappings(data.get("classes"))],
        "instruction": data.get("instruction") or "",
        **_model(data),
    }


def _code(data: Mapping[str, Any]) -> dict[str, Any]:
    outputs = data.get("outputs")
    declared = outputs.items() if isinstance(outputs, Mapping) else ()
    return {
        "variables": _named(data.get("variables")),
        "outputs": [[name, spec.get("type", "string")] for name, spec in declared if isinstance(spec, Mapping)],
        "code": data.get("code", ""),
        "language": data.get("code_language", "python3"),
    }


def _document(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"variable_selector": _reference(data.get("variable_selector"))}


def _http(data: Mapping[str, Any]) -> dict[str, Any]:
    param = {"method": data.get("method", "get"), "url": data.get("url", "")}
    for name in ("headers", "params"):
        lines = _pairs(data.get(name))
        param |= {name: lines} if lines else {}
    return param | {
        name: copy_data(data[name]) for name in ("authorization", "body") if isinstance(data.get(name), dict)
    }


def _pairs(lines: object) -> dict[str, str]:
    found = {}
    for line in lines.splitlines() if isinstance(lines, str) else ():
        name, colon, value = line.partition(":")
        if colon and name.strip():
            found[name] = value
    return found


def _if_else(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"cases": [_case(case) for case in mappings(data.get("cases"))]}


def _case(case: Mapping[str, Any]) -> list[Any]:
    return [case.get("logical_operator"), [_condition(condition) for condition in mappings(case.get("conditions"))]]


def _condition(condition: Mapping[str, Any]) -> list[Any]:
    value = condition.get("value")
    compared = [] if value in (None, "") else [copy_data(value)]
    return [_reference(condition.get("variable_selector")), condition.get("comparison_operator"), *compared]


def _list(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"variable": _reference(data.get("variable")), "operator": _operation(data)}


def _operation(data: Mapping[str, Any]) -> list[Any]:
    """The first operation that is switched on; the others stay in ``dify``."""
    parts = {name: data.get(name) for name in ("filter_by", "extract_by", "order_by", "limit")}
    on = {name: part for name, part in parts.items() if isinstance(part, Mapping) and part.get("enabled")}
    match on:
        case {"extract_by": part}:
            return ["extract_by", part.get("serial", "1")]
        case {"filter_by": {"conditions": [{"comparison_operator": operator, "value": value}, *_]}}:
            return ["filter_by", operator, copy_data(value)]
        case {"order_by": part}:
            return ["order_by", part.get("key", ""), part.get("value", "asc")]
        case {"limit": part}:
            return ["limit", part.get("size", 10)]
        case _:
            return ["none", ""]


def _extractor(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "query": _reference(data.get("query")),
        "parameters": [_parameter(parameter) for parameter in mappings(data.get("parameters"))],
        "instruction": data.get("instruction") or "",
        **_model(data),
    }


def _parameter(parameter: Mapping[str, Any]) -> list[Any]:
    known = ("description", "name", "type")
    settings = {key: copy_data(value) for key, value in parameter.items() if key not in known}
    return [*(str(parameter.get(key, "")) for key in known), *([settings] if settings else [])]


def _template(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"variables": _named(data.get("variables")), "template": data.get("template", "")}


def _aggregator(data: Mapping[str, Any]) -> dict[str, Any]:
    variables = data.get("variables")
    return {"variables": [_reference(selector) for selector in variables] if isinstance(variables, list) else []}


def _iteration(data: Mapping[str, Any]) -> dict[str, Any]:
    param = {name: _reference(data.get(name)) for name in ("iterator_selector", "output_selector")}
    if data.get("is_parallel") and isinstance(data.get("parallel_nums"), int):
        param["parallel"] = data["parallel_nums"]
    return param | ({"on_error": data["error_handle_mode"]} if data.get("error_handle_mode") else {})


def _loop(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "count": data.get("loop_count", 1),
        "break_conditions": [_condition(condition) for condition in mappings(data.get("break_conditions"))],
        "variables": copy_data(data.get("loop_variables") or []),
        "logical_operator": data.get("logical_operator", "and"),
    }


def _tool(plan_type: str, data: Mapping[str, Any]) -> dict[str, Any]:
    given = data.get("tool_parameters")
    inputs = given if isinstance(given, Mapping) else {}
    own = {"categories": "x_axisORcategories", **{tool: plan for plan, tool in TOOLS[plan_type].parameters.items()}}
    param = {
        own[name]: entry["value"]
        for name, entry in inputs.items()
        if name in own and isinstance(entry, Mapping) and isinstance(entry.get("value"), str)
    }
    name = str(data.get("tool_name", ""))
    if plan_type == "markdown-exporter":
        param["target_type"] = name.removeprefix("md_to_")
    elif plan_type == "echarts":
        param["chart_type"] = next((chart for chart, tool in CHART_TOOLS.items() if tool == name), name)
    return param


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "start": _start,
    "end": _end,
    "answer": _answer,
    "llm": _llm,
    "question-classifier": _classifier,
    "code": _code,
    "document-extractor": _document,
    "http-request": _http,
    "if-else": _if_else,
    "list-operator": _list,
    "parameter-extractor": _extractor,
    "template-transform": _template,
    "variable-aggregator": _aggregator,
    "iteration": _iteration,
    "loop": _loop,
}
