"""A workflow held against what its requirement asked for: inputs, outputs, and the node types named.

Only judging reads these fields of a requirement; nothing here changes a workflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dslkit.dify.graph import Graph, Node
from dslkit.dify.nodes import mappings, node_kind
from dslkit.dify.plan_forms import OTHER_NAMES
from dslkit.dify.tools import tool_kind
from dslkit.records import Finding, Judgement, Requirement

if TYPE_CHECKING:
    from collections.abc import Mapping

CODES = frozenset({"requirement-inputs", "requirement-outputs", "requirement-node"})  # of the findings made here


def judge(document: Mapping[str, Any], requirement: Requirement) -> Judgement:
    """Whether names and node types are exactly, or at least, those asked for; None where nothing was asked.

    Names are compared without order or repetition, those of all end nodes together: how results are spread over ends is
    the author's choice.  A node type is held when a node of it can be reached and lies on a way to an end.
    """
    graph = Graph(document)
    return Judgement(
        inputs_exact=_inputs(graph) == set(requirement.inputs) if requirement.inputs is not None else None,
        outputs_exact=_outputs(graph) == _asked(requirement) if requirement.outputs is not None else None,
        related_nodes_held=not _not_held(graph, requirement) if requirement.related_nodes is not None else None,
    )


def judgement_findings(document: Mapping[str, Any], requirement: Requirement) -> tuple[Finding, ...]:
    """The same as findings (warnings: a workflow may work without being what was asked for)."""
    graph = Graph(document)
    findings = []
    if requirement.inputs is not None and _inputs(graph) != set(requirement.inputs):
        findings.append(_differs("requirement-inputs", "inputs", set(requirement.inputs), _inputs(graph)))
    if requirement.outputs is not None and _outputs(graph) != _asked(requirement):
        findings.append(_differs("requirement-outputs", "outputs", _asked(requirement), _outputs(graph)))
    findings += [
        Finding(
            code="requirement-node",
            severity="warning",
            message=f"No {name} node lies on a way from the start to an end.",
            remedy="Add one, or connect the one there is.",
        )
        for name in _not_held(graph, requirement)
    ]
    return tuple(findings)


def _differs(code: str, what: str, asked: set[str], found: set[str]) -> Finding:
    return Finding(
        code=code,
        severity="warning",
        message=f"The {what} asked for are {_listed(asked)}; the workflow's are {_listed(found)}.",
        remedy=f"Use exactly the {what} asked for.",
    )


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _inputs(graph: Graph) -> set[str]:
    starts = (node for node in graph.nodes.values() if node.type == "start")
    return {str(variable.get("variable")) for node in starts for variable in mappings(node.data.get("variables"))}


def _outputs(graph: Graph) -> set[str]:
    ends = (node for node in graph.nodes.values() if node.type == "end")
    return {str(output.get("variable")) for node in ends for output in mappings(node.data.get("outputs"))}


def _asked(requirement: Requirement) -> set[str]:
    return {name for group in requirement.outputs or () for name in group}


def _not_held(graph: Graph, requirement: Requirement) -> list[str]:
    held = {name for node in _useful(graph) for name in names_of(node)}
    wanted = dict.fromkeys(OTHER_NAMES.get(name, name) for name in requirement.related_nodes or ())
    return [name for name in wanted if name not in held]


def _useful(graph: Graph) -> list[Node]:
    """Nodes that a run can reach and that lead on to an end; inside a container, its own way on counts."""
    leading: set[str] = set()
    stack = [node.id for node in graph.nodes.values() if (kind := node_kind(node.type)) and kind.terminal]
    while stack:
        id_ = stack.pop()
        if id_ not in leading:
            leading.add(id_)
            stack += graph.predecessors.get(id_, ())
    return [
        node
        for node in graph.nodes.values()
        if node.id in graph.reachable and (node.id in leading or leading.intersection(graph.containers_of(node.id)))
    ]


def names_of(node: Node) -> tuple[str, ...]:
    """What a requirement may call a node: its Dify type, and for a tool the plan's name of it."""
    kind = tool_kind(node.data) if node.type == "tool" else None
    return (node.type, kind.plan_type) if kind else (node.type,)
