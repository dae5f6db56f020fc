"""Layer: references - that they resolve, to something that has run before, gives that output, of a fitting type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dslkit.dify.check.report import named
from dslkit.dify.nodes import ANY, CHAT_ONLY_SYSTEM_VARIABLES, PREFIXES
from dslkit.dify.references import FIELD_PATTERN, ID_PATTERN

if TYPE_CHECKING:
    from dslkit.dify.check.report import Report
    from dslkit.dify.graph import Node
    from dslkit.dify.references import Use

_SHOWN: Final = 12


def check_references(report: Report) -> None:
    """Every reference of every node; those of nodes that no run reaches are warnings at most."""
    for id_, uses in report.graph.uses.items():
        node = report.graph.nodes[id_]
        for use in uses:
            _check(node, use, report)
    _types(report)


def _check(node: Node, use: Use, report: Report) -> None:
    if not use.exact or not use.field:
        _malformed(node, use, report)
    elif use.node in PREFIXES:
        _prefixed(node, use, report)
    elif use.node not in report.graph.nodes:
        _say(
            report,
            node,
            use,
            "reference-node",
            f"{named(node)} refers to {_shown(use)}, and there is no node {use.node}.",
            "Refer to a node that exists.",
        )
    else:
        _existing(node, use, report)


def _say(report: Report, node: Node, use: Use, code: str, message: str, remedy: str) -> None:
    """An error, unless no run ever reaches the node."""
    say = report.error if node.id in report.graph.reachable or not report.graph.roots else report.warning
    say(code, message, remedy, node, "/".join(map(str, use.path)))


def _shown(use: Use) -> str:
    return use.written or ".".join(use.selector)


def _malformed(node: Node, use: Use, report: Report) -> None:
    if use.node in report.graph.nodes and use.field and not ID_PATTERN.fullmatch(use.node):
        reason = "node ids in text may hold letters, digits and _ only"
    elif use.field and not all(FIELD_PATTERN.fullmatch(part) for part in use.selector[1:]):
        reason = "names in text may hold letters, digits and _, up to 30, no digit first"
    else:
        reason = "a reference in text is {{#node id.output#}}"
    _say(
        report,
        node,
        use,
        "reference-form",
        f"Dify will not replace {_shown(use)} in {named(node)}: {reason}.",
        "Write {{#node id.output#}} with an existing node and output.",
    )


def _prefixed(node: Node, use: Use, report: Report) -> None:
    graph = report.graph
    if graph.value_type(use.selector) is None:
        _say(
            report,
            node,
            use,
            "reference-variable",
            f"{named(node)} refers to {_shown(use)}, and there is no such {use.node} variable.",
            f"Declare {use.field} or refer to something that exists.",
        )
    elif use.node == "sys" and use.field in CHAT_ONLY_SYSTEM_VARIABLES and graph.mode == "workflow":
        _say(
            report,
            node,
            use,
            "reference-chat-only",
            f"{named(node)} refers to sys.{use.field}, which only chatflows have.",
            "Declare a start variable and refer to that.",
        )


def _existing(node: Node, use: Use, report: Report) -> None:
    graph = report.graph
    source = graph.nodes[use.node]
    if source.id == node.id:
        if node.type not in ("iteration", "loop", "assigner"):
            _say(
                report,
                node,
                use,
                "reference-self",
                f"{named(node)} refers to its own {use.field}.",
                "Refer to a node before it.",
            )
        return
    if _is_own_output(node, use, report):
        return
    if graph.value_type(use.selector) is None:
        _unknown_output(node, use, source, report)
    elif _from_inside(node, source, report):
        _say(
            report,
            node,
            use,
            "reference-into-container",
            f"{named(node)} refers to {_shown(use)} inside the container {source.parent}, which it cannot see.",
            f"Refer to what the container gives: {source.parent}.output.",
        )
    elif not graph.runs_before(source.id, node.id):
        _say(
            report,
            node,
            use,
            "reference-not-before",
            f"{named(node)} refers to {_shown(use)}, but no path leads from {named(source)} to it.",
            f"Lead an edge on from {source.id}, or refer to a node before this one.",
        )
    elif source.id not in graph.reachable and node.id in graph.reachable:
        _say(
            report,
            node,
            use,
            "reference-unreachable",
            f"{named(node)} refers to {_shown(use)}, which no run reaches.",
            f"Lead an edge to {source.id}.",
        )


def _is_own_output(node: Node, use: Use, report: Report) -> bool:
    """Whether a container names, as it must, what a node inside it gives."""
    inside = use.path[:1] == ("output_selector",) or "break_conditions" in use.path
    if not inside or node.id not in report.graph.containers_of(use.node):
        return False
    if report.graph.value_type(use.selector) is None:
        _unknown_output(node, use, report.graph.nodes[use.node], report)
    return True


def _from_inside(node: Node, source: Node, report: Report) -> bool:
    """Whether the source is inside a container that the node is not in."""
    around = {node.id, *report.graph.containers_of(node.id)}
    return bool(source.parent) and source.parent in report.graph.nodes and source.parent not in around


def _unknown_output(node: Node, use: Use, source: Node, report: Report) -> None:
    given = [name for name in report.graph.outputs(source.id) if not name.startswith("__")]
    gives = ", ".join(given[:_SHOWN]) or "nothing"
    _say(
        report,
        node,
        use,
        "reference-output",
        f"{named(node)} refers to {_shown(use)}, but {named(source)} gives {gives}.",
        f"Refer to one of its outputs: {gives}.",
    )


def _types(report: Report) -> None:
    """Nodes that can take one type of value only."""
    for node in report.graph.nodes.values():
        match node.type:
            case "iteration":
                _must_be(node, "iterator_selector", "array", "iterator-type", report)
            case "list-operator":
                _must_be(node, "variable", "array", "list-type", report)
            case "document-extractor":
                _must_be(node, "variable_selector", "file", "document-type", report)
            case _:
                pass


_NEEDS: Final = {
    "array": "a list; turn the text into one first, for instance with a parameter-extractor or code node",
    "file": "a file or a list of files",
}


def _must_be(node: Node, field: str, wanted: str, code: str, report: Report) -> None:
    selector = node.data.get(field)
    if not isinstance(selector, list) or not all(isinstance(part, str) for part in selector):
        return
    found = report.graph.value_type(tuple(selector))
    if found is None or found == ANY:
        return
    fits = found.startswith("array[") if wanted == "array" else found in ("file", "array[file]", "array[any]")
    if not fits:
        say = report.error if node.id in report.graph.reachable else report.warning
        say(code, f"{named(node)} is given a {found}.", f"Give it {_NEEDS[wanted]}.", node, field)
