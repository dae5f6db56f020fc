"""Layer: where a run begins, what it can reach, and that it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslkit.dify.check.report import named
from dslkit.dify.nodes import node_kind

if TYPE_CHECKING:
    from dslkit.dify.check.report import Report
    from dslkit.dify.graph import Graph


def check_reach(report: Report) -> None:
    """One start, a result that can be reached, nothing left over."""
    graph = report.graph
    _roots(report)
    reached = graph.reachable
    for node in graph.nodes.values():
        if node.id not in reached and graph.roots:
            report.warning("node-unreachable", f"Nothing leads to {named(node)}.", "Connect it or remove it.", node)
    _terminals(report)


def _roots(report: Report) -> None:
    roots = report.graph.roots
    starts = [node for node in roots if node.type == "start"]
    if not roots:
        report.error("start-missing", "There is no start node.", "Add one and lead an edge from it.")
    for extra in starts[1:]:
        report.error("start-twice", f"{named(extra)} is a second start node.", "Keep one start node.", extra)


def _terminals(report: Report) -> None:
    graph = report.graph
    wanted = "answer" if graph.mode == "advanced-chat" else "end"
    found = [node for node in graph.nodes.values() if node.type == wanted]
    others = [node for node in graph.nodes.values() if node.type in ("end", "answer") and node.type != wanted]
    for node in others:
        message = f"{named(node)} does not belong in {graph.mode}."
        report.error("terminal-mode", message, f"Use {wanted} nodes in this mode.", node)
    if not found and not others and not _ends_elsewhere(graph):
        report.error(
            "terminal-missing", f"There is no {wanted} node, so no run gives a result.", f"Add one {wanted} node."
        )
    elif found and graph.roots and not any(node.id in graph.reachable for node in found):
        report.error(
            "terminal-unreachable", f"No {wanted} node can be reached from the start.", "Lead an edge to it.", found[0]
        )


def _ends_elsewhere(graph: Graph) -> bool:
    """Whether a run may well end in something else: a knowledge pipeline, or what a trigger sets off."""
    kinds = [node_kind(node.type) for node in graph.nodes.values()]
    return any(kind and kind.terminal for kind in kinds) or any(
        node.type.startswith("trigger-") for node in graph.roots
    )
