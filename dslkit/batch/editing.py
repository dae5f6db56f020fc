"""A workflow changed by a requirement: what the model is shown of it, and what stays although it was not said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dslkit.errors import UsageError

if TYPE_CHECKING:
    from dslkit.dify.plan import Plan, PlanNode
    from dslkit.dify.workflow import Workflow
    from dslkit.records import AppMode

_OF_THE_APP = ("app", "features", "environment_variables", "conversation_variables", "dependencies", "notes")


def plan_to_change(workflow: Workflow) -> Plan:
    """The plan of a workflow.  Raises UsageError when it has no graph that could be changed."""
    try:
        return workflow.plan()
    except ValueError as error:
        raise UsageError(f"There is no workflow to change: {error}") from None


def as_shown(plan: Plan) -> str:
    """The plan's graph as JSON for the prompt; the app's own settings are not the model's business."""
    return plan.model_dump_json(include={"nodes_info", "edges"}, exclude_defaults=True)


def app_mode_of(plan: Plan) -> AppMode:
    """A chatflow stays one."""
    return "advanced-chat" if plan.app.get("mode") == "advanced-chat" else "workflow"


def kept(plan: Plan, before: Plan) -> Plan:
    """The new plan with what the reply left unsaid: the app's settings, and the finer settings of nodes left alone."""
    there = {node.id: node for node in before.nodes_info}
    of_the_app: dict[str, Any] = {
        name: getattr(before, name) for name in _OF_THE_APP if name == "app" or not getattr(plan, name)
    }
    nodes = [_as_before(node, there.get(node.id)) for node in plan.nodes_info]
    return plan.model_copy(update={**of_the_app, "nodes_info": nodes})


def _as_before(node: PlanNode, before: PlanNode | None) -> PlanNode:
    """Settings that only Dify has words for stay where the short form of a node did not change."""
    if before is None or node.dify or (node.type, node.param) != (before.type, before.param):
        return node
    return node.model_copy(update={"dify": before.dify})
