"""Nodes that are missing: what a reference asks for exists only once another node makes it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from dslkit.dify.compile import make_edge
from dslkit.dify.nodes import DEFAULT_HANDLE, ELSE_HANDLE, mappings, outputs_of
from dslkit.dify.references import TEXT_REFERENCE, as_selector, copy_data, replace_use, value_at
from dslkit.dify.repair.references import WHOLE, fields_of_item
from dslkit.dify.tools import CHART_TOOLS, DEFAULT_MODEL, tool_kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dslkit.dify.graph import Graph, Node
    from dslkit.dify.references import Use
    from dslkit.dify.repair.mend import Mend
    from dslkit.records import Finding

LIST_NAME: Final = "entries"
# Names that say which value is meant though nobody gives it, and how it is written (strftime).
DATES: Final[Mapping[str, str]] = {
    "current_date": "%Y-%m-%d",
    "today": "%Y-%m-%d",
    "current_time": "%H:%M",
    "current_datetime": "%Y-%m-%d %H:%M",
    "now": "%Y-%m-%d %H:%M",
    "current_year": "%Y",
}
_JOINABLE: Final = ("parameter-extractor", "code")


def result_as_text(mend: Mend, findings: Sequence[Finding]) -> None:
    """An extractor or code asked for its whole result: a template makes one text of all that it gives."""
    for node, use in mend.uses(findings):
        source = mend.graph.nodes.get(use.node)
        if source and source.type in _JOINABLE and use.field in WHOLE:
            whole = _template_of(mend, source)
            replace_use(node.data, use, (whole, "output"))
            for edge in mend.graph.edges:
                if (edge.source, edge.handle, edge.target) == (source.id, DEFAULT_HANDLE, node.id):
                    edge.raw.update(make_edge(whole, DEFAULT_HANDLE, node.id, mend.raw_by_id()))
            mend.log("extracted-as-one", f"{whole} makes one text of what {source.id} gives.", node.id)


def _template_of(mend: Mend, source: Node) -> str:
    """The id of the template that makes JSON of all that a node gives; added when it is not there yet."""
    id_ = f"{source.id[:40]}_all"
    if id_ in mend.graph.nodes:
        return id_
    own = {name: re.sub(r"\W", "_", name) for name in outputs_of(source.data) if not name.startswith("__")}
    lines = ",\n".join(f'  "{name}": {{{{ {variable} | tojson }}}}' for name, variable in own.items())
    data = {
        "type": "template-transform",
        "title": f"All of {source.data.get('title') or source.id}",
        "variables": [{"variable": variable, "value_selector": [source.id, name]} for name, variable in own.items()],
        "template": "{\n" + lines + "\n}",
    }
    mend.add_node(id_, data, source)
    mend.add_edge(source.id, DEFAULT_HANDLE, id_)
    return id_


def list_of_text(mend: Mend, findings: Sequence[Finding]) -> None:
    """Have a list where an iteration goes over a text: extracted as one at once, or taken out of the text before."""
    for finding, node in mend.nodes(findings):
        selector = as_selector(value_at(node.data, mend.field_of(finding, node)))
        source = mend.graph.nodes.get(selector[0]) if selector and len(selector) == 2 else None  # noqa: PLR2004 node, name
        if selector is None or source is None:
            continue
        if source.type == "parameter-extractor":
            _extract_as_list(mend, source, selector[1], node)
        elif node.type == "iteration" and mend.graph.value_type(selector) == "string":
            _split(mend, source, selector[1], node)


def _extract_as_list(mend: Mend, source: Node, name: str, node: Node) -> None:
    for parameter in mappings(source.data.get("parameters")):
        if isinstance(parameter, dict) and parameter.get("name") == name and parameter.get("type") == "string":
            parameter["type"] = _entries(mend.graph, node)["type"]
            mend.log("iterator-type", f"{name} is extracted as a list, for {node.id} takes one.", source.id)


def _entries(graph: Graph, iteration: Node) -> dict[str, Any]:
    """A list parameter: of objects where the steps inside ask for fields of an entry, else of texts."""
    fields = sorted(fields_of_item(graph, iteration))
    objects = len(fields) > 1 or any(len(use.selector) > 2 for use in _item_uses(graph, iteration))  # noqa: PLR2004 a field
    return {
        "name": LIST_NAME,
        "type": "array[object]" if objects else "array[string]",
        "description": "Every entry of the list in the text, in order, each "
        + (f"an object with {', '.join(fields)}" if objects else "complete"),
        "required": True,
    }


def _item_uses(graph: Graph, iteration: Node) -> list[Use]:
    uses = (use for child in graph.children[iteration.id] for use in graph.uses[child.id])
    return [use for use in uses if use.selector[:2] == (iteration.id, "item")]


def _split(mend: Mend, source: Node, name: str, iteration: Node) -> None:
    """Put a parameter extractor before the iteration: it takes the text and gives its entries as a list."""
    model = source.data.get("model")
    data: dict[str, Any] = {
        "type": "parameter-extractor",
        "title": f"List for {iteration.data.get('title') or iteration.id}",
        "model": copy_data(model if isinstance(model, dict) else DEFAULT_MODEL),
        "query": [source.id, name],
        "parameters": [_entries(mend.graph, iteration)],
        "instruction": "Split the text into its entries, one for each part to be worked on.",
        "reasoning_mode": "prompt",
        "vision": {"enabled": False},
    }
    id_ = mend.put_before(iteration, "list", data)
    iteration.data["iterator_selector"] = [id_, LIST_NAME]
    mend.log("iterator-split", f"{id_} makes a list of {source.id}.{name}, for {iteration.id} takes one.", iteration.id)


def date_of_run(mend: Mend, node: Node, name: str) -> None:
    """Give a template the date or time that it prints by a common name, from a code node put before it."""
    value = f'datetime.now().strftime("{DATES[name]}")'
    data: dict[str, Any] = {
        "type": "code",
        "title": name.replace("_", " ").capitalize(),
        "variables": [],
        "code_language": "python3",
        "code": f'from datetime import datetime\n\n\ndef main():\n    return {{"{name}": {value}}}\n',
        "outputs": {name: {"type": "string", "children": None}},
    }
    id_ = mend.put_before(node, name, data)
    node.data["variables"].append({"variable": name, "value_selector": [id_, name]})
    mend.log("template-date", f"{id_} gives the template {name}.", node.id)


def chart_by_variable(mend: Mend, findings: Sequence[Finding]) -> None:
    """A chart whose kind a variable names: a branch to one chart node each, and their results joined again."""
    for _, node in mend.nodes(findings):
        kind = tool_kind(node.data)
        chosen = TEXT_REFERENCE.fullmatch(str(node.data.get("tool_name")).strip())
        readers = [(id_, use) for id_, uses in mend.graph.uses.items() for use in uses if use.node == node.id]
        if chosen and kind and kind.plan_type == "echarts" and all(use.field == "text" for _, use in readers):
            joined = _branch_charts(mend, node, chosen.group(1).split("."))
            for id_, use in readers:
                replace_use(mend.graph.nodes[id_].data, use, (joined, "output"))
            mend.log("chart-by-variable", f"The kind of chart is chosen by a branch before {node.id}.", node.id)


def _branch_charts(mend: Mend, node: Node, chosen: list[str]) -> str:
    choice, joined = f"{node.id[:40]}_kind", f"{node.id[:40]}_joined"
    charts = {name: node.id if name == "line" else f"{node.id[:40]}_{name}" for name in CHART_TOOLS}
    title = node.data.get("title") or node.id
    for row, (name, id_) in enumerate(charts.items()):
        if id_ != node.id:
            mend.add_node(id_, _chart(node.data, name), node, row)
    node.data.update(_chart(node.data, "line"))
    mend.add_node(choice, {"type": "if-else", "title": f"Kind of {title}", "cases": _cases(chosen)}, node, -1)
    variables = [[id_, "text"] for id_ in charts.values()]
    together = {"type": "variable-aggregator", "output_type": "string", "variables": variables}
    mend.add_node(joined, {"title": f"The {title}", **together}, node, len(charts))
    for edge in mend.graph.edges:
        if edge.target == node.id:
            edge.raw.update(make_edge(edge.source, edge.handle, choice, mend.raw_by_id()))
        elif edge.source == node.id:
            edge.raw.update(make_edge(joined, DEFAULT_HANDLE, edge.target, mend.raw_by_id()))
    for name, id_ in charts.items():
        mend.add_edge(choice, _chart_handle(name), id_)
        mend.add_edge(id_, DEFAULT_HANDLE, joined)
    mend.add_edge(choice, ELSE_HANDLE, joined)
    return joined


def _chart_handle(name: str) -> str:
    return "true" if name == "line" else name


def _chart(data: dict[str, Any], name: str) -> dict[str, Any]:
    """The chart node for one kind; a pie has categories where others have an x axis."""
    chart: dict[str, Any] = copy_data(data)
    chart |= {"tool_name": CHART_TOOLS[name], "tool_label": CHART_TOOLS[name], "title": f"{data.get('title')} ({name})"}
    inputs = chart.get("tool_parameters")
    if isinstance(inputs, dict):
        axis = inputs.pop("x_axis", None) or inputs.pop("categories", None)
        inputs |= {"categories" if name == "pie" else "x_axis": axis} if axis else {}
    return chart


def _cases(chosen: list[str]) -> list[dict[str, Any]]:
    test = {"variable_selector": chosen, "comparison_operator": "contains"}
    return [
        {
            "id": handle,
            "case_id": handle,
            "logical_operator": "and",
            "conditions": [{"id": f"{handle}-1", **test, "value": name}],
        }
        for name, handle in ((name, _chart_handle(name)) for name in CHART_TOOLS)
    ]
