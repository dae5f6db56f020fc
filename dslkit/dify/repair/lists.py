"""Iterations over a text: a node in between makes a list of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dslkit.dify import layout
from dslkit.dify.nodes import mappings
from dslkit.dify.references import copy_data
from dslkit.dify.tools import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.dify.graph import Graph, Node
    from dslkit.dify.repair.mend import Mend
    from dslkit.records import Finding

LIST_NAME: Final = "entries"


def list_of_text(mend: Mend, findings: Sequence[Finding]) -> None:
    """Have a list where an iteration goes over a text: extracted as one at once, or from a model's answer."""
    for finding in findings:
        node = mend.node_of(finding)
        match mend.value_of(finding, node) if node else None:
            case [str() as source_id, str() as name]:
                source = mend.graph.nodes.get(source_id)
            case _:
                continue
        if node is None or source is None:
            continue
        if source.type == "parameter-extractor":
            _extract_as_list(mend, source, name, node)
        elif source.type == "llm" and node.type == "iteration":
            _split(mend, source, name, node)


def _extract_as_list(mend: Mend, source: Node, name: str, node: Node) -> None:
    fields = _fields_of_item(mend.graph, node)
    for parameter in mappings(source.data.get("parameters")):
        if isinstance(parameter, dict) and parameter.get("name") == name and parameter.get("type") == "string":
            parameter["type"] = "array[object]" if fields else "array[string]"
            mend.log("iterator-type", f"{name} is extracted as a list, for {node.id} takes one.", source.id)
            mend.refresh()


def _fields_of_item(graph: Graph, node: Node) -> bool:
    """Whether the steps inside ask for fields of an item, so that it is no plain text."""
    return any(
        use.node == node.id and use.field == "item" and len(use.selector) > 2  # noqa: PLR2004 a field of the item
        for child in graph.children[node.id]
        for use in graph.uses[child.id]
    )


def _split(mend: Mend, source: Node, name: str, iteration: Node) -> None:
    """Put a parameter extractor before the iteration: it takes the answer and gives its entries as a list."""
    id_ = f"{iteration.id[:40]}_list"
    if id_ in mend.graph.nodes or iteration.parent != source.parent:
        return
    model = source.data.get("model")
    entries = {
        "name": LIST_NAME,
        "type": "array[object]" if _fields_of_item(mend.graph, iteration) else "array[string]",
        "description": "Every entry of the list in the text, in order, each complete",
        "required": True,
    }
    data: dict[str, Any] = {
        "type": "parameter-extractor",
        "title": f"List for {iteration.data.get('title') or iteration.id}",
        "desc": "",
        "model": copy_data(model if isinstance(model, dict) else DEFAULT_MODEL),
        "query": [source.id, name],
        "parameters": [entries],
        "instruction": "Split the text into its entries, one for each part to be worked on.",
        "reasoning_mode": "prompt",
        "vision": {"enabled": False},
    }
    _insert_before(mend, iteration, id_, data)
    iteration.data["iterator_selector"] = [id_, LIST_NAME]
    mend.log("iterator-split", f"{id_} makes a list of {source.id}.{name}, for {iteration.id} takes one.", iteration.id)


def _insert_before(mend: Mend, node: Node, id_: str, data: dict[str, Any]) -> None:
    """Add a node that takes over the edges into another and leads on to it."""
    x, y = mend.place_of(node)
    position = {"x": x, "y": y - layout.HEIGHT - layout.ROW_GAP}
    raw = {"id": id_, "type": "custom", "data": data, "position": position, "positionAbsolute": dict(position)}
    mend.document["workflow"]["graph"]["nodes"].append({**raw, "width": layout.WIDTH, "height": layout.HEIGHT})
    for edge in mend.graph.edges:
        if edge.target == node.id:
            edge.raw["target"] = id_
            edge.raw["id"] = f"{edge.source}-{edge.handle}-{id_}-target"
    mend.refresh()
    mend.add_edge(id_, "source", node.id)
