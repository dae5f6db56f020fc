"""Containers without a start node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dslkit.dify import layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.dify.graph import Node
    from dslkit.dify.repair.mend import Mend
    from dslkit.records import Finding


def start_node(mend: Mend, findings: Sequence[Finding]) -> None:
    """Name the start node that is inside, or put one in, leading to what nothing inside leads to."""
    for finding in findings:
        node = mend.node_of(finding)
        if node is None or node.type not in ("iteration", "loop"):
            continue
        children = mend.graph.children[node.id]
        present = [child.id for child in children if child.type == f"{node.type}-start"]
        entry = present[0] if present else _add_start(mend, node)
        node.data["start_node_id"] = entry
        first = [c.id for c in children if c.id != entry and not mend.graph.predecessors.get(c.id)]
        mend.refresh()
        if not mend.graph.successors.get(entry):
            for child in first:
                mend.add_edge(entry, "source", child)
        mend.log("container-start", f"{entry} is where {node.id} starts.", node.id)


def _add_start(mend: Mend, container: Node) -> str:
    id_ = f"{container.id}start"[:50]
    while id_ in mend.graph.nodes:
        id_ = f"{id_[:49]}_"
    place = {"x": layout.PADDING // 3, "y": layout.PADDING}
    data: dict[str, Any] = {
        "type": f"{container.type}-start",
        "title": "",
        "desc": "",
        f"isIn{container.type.title()}": True,
        f"{container.type}_id": container.id,
    }
    mend.document["workflow"]["graph"]["nodes"].append(
        {
            "id": id_,
            "type": f"custom-{container.type}-start",
            "parentId": container.id,
            "data": data,
            "position": place,
            "positionAbsolute": place,
            "width": layout.ENTRY_SIZE,
            "height": layout.ENTRY_SIZE,
            "zIndex": 1002,
        }
    )
    return id_
