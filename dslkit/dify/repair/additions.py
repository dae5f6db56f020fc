"""Nodes that are missing: what a reference asks for exists only once another node makes it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dslkit.dify import layout
from dslkit.dify.compile import make_edge
from dslkit.dify.nodes import DEFAULT_HANDLE, ELSE_HANDLE, outputs_of
from dslkit.dify.references import TEXT_REFERENCE, copy_data, replace_use
from dslkit.dify.repair.references import WHOLE
from dslkit.dify.tools import CHART_TOOLS, tool_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.dify.graph import Node
    from dslkit.dify.repair.mend import Mend
    from dslkit.records import Finding


def extracted_as_one(mend: Mend, findings: Sequence[Finding]) -> None:
    """An extractor or code asked for its whole result: a template makes one text of all that it gives."""
    for finding in findings:
        node = mend.node_of(finding)
        for use in mend.use_of(finding, node) if node else ():
            source = mend.graph.nodes.get(use.node)
            if node and source and source.type in ("parameter-extractor", "code") and use.field in WHOLE:
                whole = _template_of(mend, source)
                replace_use(node.data, use, (whole, "output"))
                if mend.has_edge(source.id, DEFAULT_HANDLE, node.id):
                    _reroute(mend, source.id, DEFAULT_HANDLE, node.id, whole)
                mend.log("extracted-as-one", f"{whole} makes one text of what {source.id} gives.", node.id)
                mend.refresh()


def _template_of(mend: Mend, source: Node) -> str:
    """The id of the template that makes JSON of all that a node gives; added when it is not there yet."""
    id_ = f"{source.id[:40]}_all"
    if id_ in mend.graph.nodes:
        return id_
    names = [name for name in outputs_of(source.data) if not name.startswith("__")]
    own = {name: re.sub(r"\W", "_", name) for name in names}
    lines = ",\n".join(f'  "{name}": {{{{ {own[name]} | tojson }}}}' for name in names)
    data = {
        "type": "template-transform",
        "title": f"All of {source.data.get('title') or source.id}",
        "desc": "",
        "variables": [{"variable": own[name], "value_selector": [source.id, name]} for name in names],
        "template": "{\n" + lines + "\n}",
    }
    _add(mend, source, id_, data)
    mend.add_edge(source.id, DEFAULT_HANDLE, id_)
    return id_


def _add(mend: Mend, beside: Node, id_: str, data: dict[str, Any]) -> None:
    """A node in the same scope as another, placed below it."""
    x, y = mend.place_of(beside)
    below = y + (layout.HEIGHT + layout.ROW_GAP) * (1 + len(mend.graph.nodes) % 4)
    raw = {**copy_data(beside.raw), "id": id_, "data": data, "position": {"x": x, "y": below}}
    data |= {
        key: beside.data[key] for key in ("isInIteration", "iteration_id", "isInLoop", "loop_id") if key in beside.data
    }
    mend.document["workflow"]["graph"]["nodes"].append({**raw, "positionAbsolute": dict(raw["position"])})
    mend.refresh()


def _reroute(mend: Mend, source: str, handle: str, target: str, by: str) -> None:
    """Make an edge leave from another node."""
    for edge in mend.graph.edges:
        if (edge.source, edge.handle, edge.target) == (source, handle, target):
            edge.raw.update(make_edge(by, DEFAULT_HANDLE, target, mend.raw_by_id()))
    mend.refresh()


def chart_by_variable(mend: Mend, findings: Sequence[Finding]) -> None:
    """A chart whose kind a variable names: a branch to one chart node each, and their results joined again."""
    for finding in findings:
        node = mend.node_of(finding)
        kind = tool_kind(node.data) if node else None
        chosen = TEXT_REFERENCE.fullmatch(str(node.data.get("tool_name")).strip()) if node else None
        if node is None or kind is None or kind.plan_type != "echarts" or chosen is None:
            continue
        others = [use for uses in mend.graph.uses.values() for use in uses if use.node == node.id]
        if any(use.field != "text" for use in others):
            continue
        _branch_charts(mend, node, chosen.group(1).split("."))
        mend.log("chart-by-variable", f"The kind of chart is chosen by a branch before {node.id}.", node.id)


def _branch_charts(mend: Mend, node: Node, chosen: list[str]) -> None:
    choice, joined = f"{node.id[:40]}_kind", f"{node.id[:40]}_joined"
    charts = {name: node.id if name == "line" else f"{node.id[:40]}_{name}" for name in CHART_TOOLS}
    readers = [(id_, use) for id_, uses in mend.graph.uses.items() for use in uses if use.node == node.id]
    for id_, use in readers:
        replace_use(mend.graph.nodes[id_].data, use, (joined, "output"))
    incoming = [edge for edge in mend.graph.edges if edge.target == node.id]
    outgoing = [edge for edge in mend.graph.edges if edge.source == node.id]
    for name, id_ in charts.items():
        data = _chart(node.data, name)
        if id_ == node.id:
            node.data.update(data)
        else:
            _add(mend, node, id_, data)
    _add(mend, node, choice, _choice(node, chosen))
    _add(mend, node, joined, _joined(node, list(charts.values())))
    for edge in incoming:
        edge.raw.update(make_edge(edge.source, edge.handle, choice, mend.raw_by_id()))
    for edge in outgoing:
        edge.raw.update(make_edge(joined, DEFAULT_HANDLE, edge.target, mend.raw_by_id()))
    for handle, id_ in zip(_handles(), charts.values(), strict=True):
        mend.add_edge(choice, handle, id_)
        mend.add_edge(id_, DEFAULT_HANDLE, joined)
    mend.add_edge(choice, ELSE_HANDLE, joined)


def _handles() -> list[str]:
    return ["true" if name == "line" else name for name in CHART_TOOLS]


def _chart(data: dict[str, Any], name: str) -> dict[str, Any]:
    """The chart node for one kind; a pie has categories where others have an x axis."""
    chart: dict[str, Any] = copy_data(data)
    chart |= {"tool_name": CHART_TOOLS[name], "tool_label": CHART_TOOLS[name], "title": f"{data.get('title')} ({name})"}
    inputs = chart.get("tool_parameters")
    if isinstance(inputs, dict):
        axis = inputs.pop("x_axis", None) or inputs.pop("categories", None)
        inputs |= {"categories" if name == "pie" else "x_axis": axis} if axis else {}
    return chart


def _choice(node: Node, chosen: list[str]) -> dict[str, Any]:
    cases = [
        {
            "id": handle,
            "case_id": handle,
            "logical_operator": "and",
            "conditions": [
                {"id": f"{handle}-1", "variable_selector": chosen, "comparison_operator": "contains", "value": name}
            ],
        }
        for handle, name in zip(_handles(), CHART_TOOLS, strict=True)
    ]
    return {"type": "if-else", "title": f"Kind of {node.data.get('title') or node.id}", "desc": "", "cases": cases}


def _joined(node: Node, charts: list[str]) -> dict[str, Any]:
    return {
        "type": "variable-aggregator",
        "title": f"The {node.data.get('title') or node.id}",
        "desc": "",
        "output_type": "string",
        "variables": [[id_, "text"] for id_ in charts],
    }
