"""Layer: tools, models and the plugins they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from dslkit.dify.check.report import named
from dslkit.dify.nodes import mappings
from dslkit.dify.tools import CHART_TOOLS, EXPORT_FORMATS, plugins_of, tool_kind

if TYPE_CHECKING:
    from dslkit.dify.check.report import Report
    from dslkit.dify.graph import Node

_IDENTIFIER_FIELDS: Final = (
    "marketplace_plugin_unique_identifier",
    "plugin_unique_identifier",
    "github_plugin_unique_identifier",
)


def check_plugins(report: Report) -> None:
    """Known tools by their names, and every plugin named among the dependencies."""
    for node in report.graph.nodes.values():
        if node.type == "tool":
            _tool(node, report)
    _dependencies(report)


def _tool(node: Node, report: Report) -> None:
    kind, name = tool_kind(node.data), node.data.get("tool_name")
    if kind is None or not isinstance(name, str) or not name:
        return
    if kind.plan_type == "markdown-exporter" and name.removeprefix("md_to_") not in EXPORT_FORMATS:
        message = f"{named(node)} cannot export to {name.removeprefix('md_to_')!r}."
        remedy = f"Use one of: {', '.join(sorted(EXPORT_FORMATS))}."
        report.error("tool-unknown", message, remedy, node, "tool_name")
    elif kind.plan_type == "echarts" and name not in CHART_TOOLS.values():
        message = f"{named(node)} cannot draw {name!r}; which chart it draws is fixed, no variable can choose it."
        remedy = "Use line, pie or bar; to let the user choose, branch to one chart node each."
        report.error("tool-unknown", message, remedy, node, "tool_name")


def _dependencies(report: Report) -> None:
    entries = mappings(report.graph.document.get("dependencies"))
    values = [entry["value"] for entry in entries if isinstance(entry.get("value"), Mapping)]
    declared = {str(value[f]).split(":")[0] for value in values for f in _IDENTIFIER_FIELDS if f in value}
    said: set[str] = set()
    for node in report.graph.nodes.values():
        for plugin in plugins_of(node.data):
            if plugin not in declared | said:
                said.add(plugin)
                message = f"{named(node)} needs the plugin {plugin}, which dependencies do not name."
                report.note("plugin-not-declared", message, "Install it in Dify before the import.", node)
