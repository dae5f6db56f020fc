"""Layer: each node by itself - its shell, its type, the fields that the engine's own model of the type demands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dslkit.dify.check.flow_nodes import FLOW_RULES
from dslkit.dify.check.report import named
from dslkit.dify.check.shape import Fields
from dslkit.dify.check.work_nodes import WORK_RULES
from dslkit.dify.nodes import (
    OLD_NAMES,
    is_one_of,
    node_kind,
)
from dslkit.dify.references import ID_PATTERN

if TYPE_CHECKING:
    from dslkit.dify.check.report import Report
    from dslkit.dify.graph import Node


def check_nodes(report: Report) -> None:
    """Every node of the graph, the malformed ones too."""
    seen: set[str] = set()
    for index, raw in enumerate(report.graph.raw_nodes):
        _shell(raw, index, seen, report)
    for node in report.graph.nodes.values():
        _type(node, report)


def _shell(raw: object, index: int, seen: set[str], report: Report) -> None:
    path = f"workflow/graph/nodes/{index}"
    if isinstance(raw, Mapping) and raw.get("type") == "custom-note":
        return
    if not isinstance(raw, Mapping) or not isinstance(raw.get("data"), Mapping):
        report.error("node-shape", f"Node {index} has no data.", "Write id, type, position and data.", path=path)
        return
    id_ = raw.get("id")
    if not isinstance(id_, str) or not id_:
        report.error(
            "node-id", f"Node {index} has no text as id ({id_!r}).", "Give it an id in quotes.", path=f"{path}/id"
        )
        return
    if id_ in seen:
        report.error(
            "node-id-twice", f"Two nodes have the id {id_}.", "Give each node an id of its own.", id_, f"{path}/id"
        )
    seen.add(id_)
    if not ID_PATTERN.fullmatch(id_):
        message = f"No text can refer to the node {id_!r}: only letters, digits and _ resolve, up to 50."
        report.warning("node-id-form", message, "Rename the node.", id_, f"{path}/id")


def _type(node: Node, report: Report) -> None:
    kind = node_kind(node.type)
    if kind is None:
        message = f"Dify has no node type {node.type!r}."
        report.error("node-type", message, "Use a type that Dify has, for instance llm or code.", node, "type")
        return
    if is_one_of(node.data.get("type"), OLD_NAMES):
        report.note("node-type-old", f"{node.data['type']} is the older name of {kind.type}.", "", node, "type")
    if node.type == "assigner" and "assigned_variable_selector" in node.data:
        report.note("assigner-old", f"{named(node)} has the form of older versions.", "", node)
        return
    missing = [name for name in kind.required if node.data.get(name) is None]
    fields = Fields(node, report, missing)
    for name in missing:
        fields.wrong(name, f"{named(node)} has no {name}.", f"Give the {kind.type} node {name}.", "node-field-missing")
    rule = FLOW_RULES.get(kind.type) or WORK_RULES.get(kind.type)
    if rule:
        rule(fields)
    _error_strategy(fields)


def _error_strategy(fields: Fields) -> None:
    data = fields.node.data
    strategy = data.get("error_strategy")
    if strategy not in (None, "", "none", "fail-branch", "default-value"):
        fields.wrong("error_strategy", f"error_strategy is {strategy!r}.", "Use fail-branch or default-value.")
    retry = data.get("retry_config")
    if retry is not None and not isinstance(retry, Mapping):
        fields.wrong("retry_config", "retry_config is not a mapping.", "Make it one, or leave it out.")
