"""What a reader calls the branches of a node: IF, a class by its name, an action by its title."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslkit.dify.nodes import DEFAULT_HANDLE, ELSE_HANDLE, FAIL_HANDLE, TIMEOUT_HANDLE, handles_of, mappings

if TYPE_CHECKING:
    from dslkit.dify.graph import Node


def branch_label(node: Node, handle: str) -> str:
    """The name of one branch; empty for the ordinary way out, the bare handle where nothing better is known."""
    fixed = {DEFAULT_HANDLE: "", "success-branch": "", FAIL_HANDLE: "on error", TIMEOUT_HANDLE: "timeout"}
    names = {**fixed, **_own_labels(node)}
    return names.get(handle, handle)


def _own_labels(node: Node) -> dict[str, str]:
    data = node.data
    match node.type:
        case "if-else":
            cases = [handle for handle in handles_of(data) if handle not in (ELSE_HANDLE, FAIL_HANDLE)]
            labels = {handle: "IF" if index == 0 else f"ELIF {index}" for index, handle in enumerate(cases)}
            return {**labels, ELSE_HANDLE: "ELSE"}
        case "question-classifier":
            return {str(c.get("id")): str(c.get("name") or c.get("id")) for c in mappings(data.get("classes"))}
        case "human-input":
            actions = mappings(data.get("user_actions") or data.get("actions"))
            return {str(each.get("id")): str(each.get("title") or each.get("id")) for each in actions}
        case _:
            return {}
