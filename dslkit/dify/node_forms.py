"""A plan node's parameters and Dify's ``data``: one table for both ways.

Towards Dify parameters come in the plan's own form; what ``parse_plan`` could not read stays in ``data`` as it was, for
the checks to name.  Back, what the short form has no words for is left to the caller (see ``decompile``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dslkit.dify.node_values import (
    CASES,
    CLASSES,
    CONDITIONS,
    LOOP_VARIABLES,
    NAMED,
    OUTPUTS,
    PARAMETERS,
    PLAIN,
    REFERENCE,
    START_VARIABLES,
    TEXT,
    Context,
    Data,
    Given,
    Way,
    condition_to_dify,
    is_pair,
    reference,
)  # fmt: skip
from dslkit.dify.nodes import mappings
from dslkit.dify.references import copy_data, rename_nodes
from dslkit.dify.tools import CHART_TOOLS, TOOLS, ToolKind, tool_kind

Parameter = tuple[str, str, Way, Any]  # its name in a plan, its field in ``data``, how it is written, its default


def _model(param: Given, context: Context) -> Data:
    given = param.get("model")
    return {**copy_data(context.model), **(given if isinstance(given, dict) else {})}


def _llm(param: Given, context: Context, _: str) -> Data:
    given = param.get("messages")
    spoken = given if isinstance(given, list) else [[role, param.get(role)] for role in ("system", "user")]
    messages = [
        {"id": f"{entry[0]}-{number}", "role": entry[0], "text": context.text(entry[1])}
        for number, entry in enumerate(spoken, start=1)
        if is_pair(entry) and entry[1] is not None and (entry[1] or entry[0] == "user")
    ]
    data: Data = {"prompt_template": messages, "context": {"enabled": False, "variable_selector": []}}
    if "context" in param:
        data["context"] = {"enabled": True, "variable_selector": context.selector(param["context"])}
    if isinstance(param.get("structured_output"), dict):
        data |= {"structured_output": {"schema": param["structured_output"]}, "structured_output_enabled": True}
    if isinstance(param.get("memory"), dict):
        data["memory"] = param["memory"]
    return data


def _llm_to_plan(data: Given) -> Data:
    messages = [[message.get("role"), message.get("text", "")] for message in mappings(data.get("prompt_template"))]
    if [role for role, _ in messages] in (["system", "user"], ["user"], ["system"]):
        param: Data = {str(role): text for role, text in messages}
    else:
        param = {"messages": messages}
    context = data.get("context")
    if isinstance(context, Mapping) and context.get("enabled") and context.get("variable_selector"):
        param["context"] = reference(context["variable_selector"])
    return param | ({"memory": copy_data(data["memory"])} if isinstance(data.get("memory"), dict) else {})


def _http(param: Given, context: Context, _: str) -> Data:
    return {
        "method": str(param.get("method", "get")).lower(),
        "authorization": param.get("authorization", {"type": "no-auth", "config": None}),
        "headers": _lines(param.get("headers"), context),
        "params": _lines(param.get("params"), context),
        "body": rename_nodes(param.get("body", {"type": "none", "data": []}), context.id, "http-request"),
    }


def _http_to_plan(data: Given) -> Data:
    param: Data = {"method": data.get("method", "get")}
    param |= {name: lines for name in ("headers", "params") if (lines := _pairs(data.get(name)))}
    given = (name for name in ("authorization", "body") if isinstance(data.get(name), dict))
    return param | {name: copy_data(data[name]) for name in given}


def _lines(value: Any, context: Context) -> str:
    """Headers or parameters as Dify keeps them, one ``name:value`` a line."""
    if isinstance(value, dict):
        return "\n".join(f"{name}:{context.text(text)}" for name, text in value.items())
    return context.text(value) if isinstance(value, str) else ""


def _pairs(lines: object) -> dict[str, str]:
    parts = [line.partition(":") for line in lines.splitlines()] if isinstance(lines, str) else []
    return {name: value for name, colon, value in parts if colon and name.strip()}


def _list_operation(param: Given, context: Context, _: str) -> Data:
    data: Data = {
        "filter_by": {"enabled": False, "conditions": []},
        "extract_by": {"enabled": False, "serial": "1"},
        "order_by": {"enabled": False, "key": "", "value": "asc"},
        "limit": {"enabled": False, "size": 10},
    }
    match param.get("operator"):
        case ["extract_by", serial, *_]:
            data["extract_by"] = {"enabled": True, "serial": context.text(str(serial))}
        case ["limit", size, *_]:
            data["limit"] = {"enabled": True, "size": size}
        case ["order_by", key, order]:
            data["order_by"] = {"enabled": True, "key": key, "value": order}
        case ["order_by", order]:
            data["order_by"] = {"enabled": True, "key": "", "value": order}
        case ["filter_by", str() as operator, *value]:  # the key follows from the type of list, see ``derive``
            test = condition_to_dify([[], operator, *value], context, "")
            kept = {"key": "", **{name: test[name] for name in ("comparison_operator", "value")}}
            data["filter_by"] = {"enabled": True, "conditions": [kept]}
        case other:
            data["operator"] = other
    return data


def _list_operation_to_plan(data: Given) -> Data:
    """The first operation that is switched on; the others are left to the caller."""
    parts = {name: data.get(name) for name in ("filter_by", "extract_by", "order_by", "limit")}
    match {name: part for name, part in parts.items() if isinstance(part, Mapping) and part.get("enabled")}:
        case {"extract_by": part}:
            return {"operator": ["extract_by", part.get("serial", "1")]}
        case {"filter_by": {"conditions": [{"comparison_operator": operator, "value": value}, *_]}}:
            return {"operator": ["filter_by", operator, copy_data(value)]}
        case {"order_by": part}:
            return {"operator": ["order_by", part.get("key", ""), part.get("value", "asc")]}
        case {"limit": part}:
            return {"operator": ["limit", part.get("size", 10)]}
        case _:
            return {"operator": ["none", ""]}


def _aggregator(param: Given, context: Context, id_: str) -> Data:
    entries = param.get("variables", [])
    if not isinstance(entries, list):
        return {"variables": entries}
    groups: dict[str, list[Any]] = {}
    for entry in entries:
        match entry:
            case [str() as name, [str(), str()] as reference]:
                groups.setdefault(name, []).append(context.selector(reference))
            case _:
                groups.setdefault("", []).append(context.selector(entry))
    selectors = [selector for group in groups.values() for selector in group]
    asked = context.asked.get(id_, frozenset())
    if "" in groups or "output" in asked or not asked & groups.keys():
        return {"variables": selectors}
    named = [{"group_name": name, "output_type": "any", "variables": group} for name, group in groups.items()]
    return {"variables": selectors, "advanced_settings": {"group_enabled": True, "groups": named}}


def _aggregator_to_plan(data: Given) -> Data:
    variables = data.get("variables")
    return {"variables": [reference(selector) for selector in variables] if isinstance(variables, list) else []}


def _iteration(param: Given, _: Context, __: str) -> Data:
    return {"is_parallel": True, "parallel_nums": param["parallel"]} if isinstance(param.get("parallel"), int) else {}


def _iteration_to_plan(data: Given) -> Data:
    parallel = data.get("is_parallel") and isinstance(data.get("parallel_nums"), int)
    return {"parallel": data["parallel_nums"]} if parallel else {}


def _tool(kind: ToolKind, param: Mapping[str, Any], context: Context) -> Data:
    names = dict(kind.parameters)
    chart = str(param.get("chart_type", "")).strip().lower().removesuffix("_chart")
    if chart == "pie":
        names["x_axisORcategories"] = "categories"
    tool = kind.tool.format(
        target_type=str(param.get("target_type", "")).strip().lower().lstrip("."),
        chart_type=CHART_TOOLS.get(chart, str(param.get("chart_type", ""))),
    )
    configured = _tool_model(param.get("model"))
    return {
        "provider_id": kind.provider,
        "provider_name": kind.provider,
        "provider_type": "builtin",
        "tool_name": tool,
        "tool_label": tool,
        "tool_node_version": "2",
        "tool_configurations": {
            name: {"type": "constant", "value": value} for name, value in {**kind.configurations, **configured}.items()
        },
        "tool_parameters": {
            own: {"type": "mixed", "value": context.text(param[name])} for name, own in names.items() if name in param
        },
    }


def _tool_model(model: Any) -> Data:
    """A plan's model as tools name it, ``provider#model``."""
    match model:
        case {"provider": str() as provider, "name": str() as name}:
            return {"model": f"{provider}#{name}"}
        case _:
            return {}


def _tool_to_plan(kind: ToolKind, data: Given) -> Data:
    given = data.get("tool_parameters")
    own = {"categories": "x_axisORcategories", **{tool: plan for plan, tool in kind.parameters.items()}}
    param: Data = {
        own[name]: entry["value"]
        for name, entry in (given.items() if isinstance(given, Mapping) else ())
        if name in own and isinstance(entry, Mapping) and isinstance(entry.get("value"), str)
    }
    name = str(data.get("tool_name", ""))
    if kind.plan_type == "markdown-exporter":
        param["target_type"] = name.removeprefix("md_to_")
    elif kind.plan_type == "echarts":
        param["chart_type"] = next((chart for chart, tool in CHART_TOOLS.items() if tool == name), name)
    return param


@dataclass(frozen=True, slots=True)
class NodeForm:
    """A node type: (parameter, its field in ``data``, how, default), fields that are always so, and the rest."""

    fields: tuple[Parameter, ...] = ()
    fixed: Data = field(default_factory=dict)
    has_model: bool = False
    to_dify: Callable[[Given, Context, str], Data] = lambda _, __, ___: {}
    to_plan: Callable[[Given], Data] = lambda _: {}


_BLIND: Final = {"vision": {"enabled": False}}
_VARIABLES: Final[Parameter] = ("variables", "variables", NAMED, [])
_INSTRUCTION: Final[Parameter] = ("instruction", "instruction", TEXT, "")
_FORMS: Final[Mapping[str, NodeForm]] = {
    "start": NodeForm((("variables", "variables", START_VARIABLES, []),)),
    "end": NodeForm((("outputs", "outputs", NAMED, []),)),
    "answer": NodeForm((("answer", "answer", TEXT, ""),), {"variables": []}),
    "llm": NodeForm((), {**_BLIND, "variables": []}, has_model=True, to_dify=_llm, to_plan=_llm_to_plan),
    "question-classifier": NodeForm(
        (
            ("query_variable_selector", "query_variable_selector", REFERENCE, []),
            ("classes", "classes", CLASSES, []),
            _INSTRUCTION,
        ),
        {**_BLIND, "topics": []},
        has_model=True,
    ),
    "code": NodeForm(
        (
            _VARIABLES,
            ("outputs", "outputs", OUTPUTS, []),
            ("code", "code", PLAIN, ""),
            ("language", "code_language", PLAIN, "python3"),
        )
    ),
    "document-extractor": NodeForm(
        (("variable_selector", "variable_selector", REFERENCE, []),), {"is_array_file": False}
    ),
    "http-request": NodeForm(
        (("url", "url", TEXT, ""),),
        {
            "variables": [],
            "timeout": {"max_connect_timeout": 0, "max_read_timeout": 0, "max_write_timeout": 0},
            "retry_config": {"retry_enabled": True, "max_retries": 3, "retry_interval": 100},
        },
        to_dify=_http,
        to_plan=_http_to_plan,
    ),
    "if-else": NodeForm((("cases", "cases", CASES, []),)),
    "list-operator": NodeForm(
        (("variable", "variable", REFERENCE, []),), to_dify=_list_operation, to_plan=_list_operation_to_plan
    ),
    "parameter-extractor": NodeForm(
        (
            ("query", "query", REFERENCE, []),
            ("parameters", "parameters", PARAMETERS, []),
            _INSTRUCTION,
        ),
        {**_BLIND, "reasoning_mode": "prompt"},
        has_model=True,
    ),
    "template-transform": NodeForm((_VARIABLES, ("template", "template", PLAIN, ""))),
    "variable-aggregator": NodeForm(to_dify=_aggregator, to_plan=_aggregator_to_plan),
    "iteration": NodeForm(
        (
            ("iterator_selector", "iterator_selector", REFERENCE, []),
            ("output_selector", "output_selector", REFERENCE, []),
            ("on_error", "error_handle_mode", PLAIN, "terminated"),
        ),
        {"is_parallel": False, "parallel_nums": 10, "flatten_output": True},
        to_dify=_iteration,
        to_plan=_iteration_to_plan,
    ),
    "iteration-start": NodeForm(),
    "loop": NodeForm(
        (
            ("count", "loop_count", PLAIN, 1),
            ("break_conditions", "break_conditions", CONDITIONS, []),
            ("variables", "loop_variables", LOOP_VARIABLES, []),
            ("logical_operator", "logical_operator", PLAIN, "and"),
        ),
        {"error_handle_mode": "terminated"},
    ),
    "loop-start": NodeForm(),
    "loop-end": NodeForm(),
}


def build_data(type_: str, param: Given, context: Context, id_: str) -> Data:
    """The node's ``data`` but for title and container fields.  Types without a short form keep Dify's own fields."""
    tool, form = TOOLS.get(type_), _FORMS.get(type_)
    if tool:
        return {"type": "tool", **_tool(tool, param, context)}
    if form is None:
        return {**rename_nodes(dict(param), context.id, type_), "type": type_}
    given = {key: way.to_dify(param.get(name, default), context, id_) for name, key, way, default in form.fields}
    model = {"model": _model(param, context)} if form.has_model else {}
    return {"type": type_, **copy_data(form.fixed), **model, **given, **form.to_dify(param, context, id_)}


def short_form(type_: str, data: Given) -> tuple[str, Data] | None:
    """The plan's type and parameters of a Dify node; None for a type without a short form."""
    kind = tool_kind(data) if type_ == "tool" else None
    if kind:
        return kind.plan_type, _tool_to_plan(kind, data)
    form = _FORMS.get(type_)
    if form is None:
        return None
    param = {name: way.to_plan(data.get(key, default)) for name, key, way, default in form.fields}
    model = {"model": copy_data(data["model"])} if form.has_model and isinstance(data.get("model"), dict) else {}
    return type_, {**param, **model, **form.to_plan(data)}
