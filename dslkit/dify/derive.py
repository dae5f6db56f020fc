"""Fields of Dify's ``data`` that follow from what other nodes give: value types, vision, filters of files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from dslkit.dify.graph import Graph, Node
from dslkit.dify.nodes import ANY, array_of, is_one_of, mappings

FILES: Final = ("file", "array[file]")
_OF_TYPE: Final = frozenset({"in", "not in"})
_LEGACY_FILES: Final = ["sys", "files"]


def derive(document: dict[str, Any], only: Collection[str] | None = None) -> None:
    """Fill in the derivable fields of a document's nodes (all, or those with the ids in ``only``), in place."""
    graph = Graph(document)
    for node in graph.nodes.values():
        rule = _RULES.get(node.type)
        if rule and (only is None or node.id in only):
            rule(graph, node)


def type_of(graph: Graph, selector: object) -> str:
    """The value type behind a selector; ``any`` when it is not known or there is no such value."""
    if isinstance(selector, list) and all(isinstance(part, str) for part in selector):
        return graph.value_type(tuple(selector)) or ANY
    return ANY


def _end(graph: Graph, node: Node) -> None:
    for output in mappings(node.data.get("outputs")):
        if isinstance(output, dict):
            output.setdefault("value_type", type_of(graph, output.get("value_selector")))


def _llm(graph: Graph, node: Node) -> None:
    """Files in a prompt reach the model only with vision on."""
    shown = any(graph.value_type(use.selector) in FILES for use in graph.uses[node.id] if use.kind == "text")
    if shown and node.data.get("vision") == {"enabled": False}:
        node.data["vision"] = {"enabled": True, "configs": {"detail": "high", "variable_selector": list(_LEGACY_FILES)}}


def _document(graph: Graph, node: Node) -> None:
    source = type_of(graph, node.data.get("variable_selector"))
    if source in FILES:
        node.data["is_array_file"] = source == "array[file]"


def _list(graph: Graph, node: Node) -> None:
    array = type_of(graph, node.data.get("variable"))
    if not array.startswith("array["):
        return
    node.data["var_type"] = array
    node.data["item_var_type"] = array[6:-1]
    filters = node.data.get("filter_by")
    for condition in mappings(filters.get("conditions")) if isinstance(filters, Mapping) else ():
        if array == "array[file]" and isinstance(condition, dict) and not condition.get("key"):
            _file_filter(condition)
    order = node.data.get("order_by")
    if array == "array[file]" and isinstance(order, dict) and order.get("enabled") and not order.get("key"):
        order["key"] = "name"


def _file_filter(condition: dict[str, Any]) -> None:
    """Files are compared by type when asked whether they are in a list, else by name."""
    if not is_one_of(condition.get("comparison_operator"), _OF_TYPE):
        condition["key"] = "name"
        return
    condition["key"] = "type"
    if isinstance(condition.get("value"), str):
        condition["value"] = [part.strip() for part in condition["value"].split(",")]


def _aggregator(graph: Graph, node: Node) -> None:
    node.data.setdefault("output_type", type_of(graph, [node.id, "output"]))
    settings = node.data.get("advanced_settings")
    for group in mappings(settings.get("groups")) if isinstance(settings, Mapping) else ():
        types = [type_of(graph, selector) for selector in group.get("variables") or ()]
        if isinstance(group, dict) and group.get("output_type") in (None, ANY):
            group["output_type"] = next((found for found in types if found != ANY), "string")


def _iteration(graph: Graph, node: Node) -> None:
    node.data.setdefault("iterator_input_type", type_of(graph, node.data.get("iterator_selector")))
    output = type_of(graph, node.data.get("output_selector"))
    node.data.setdefault("output_type", output if output.startswith("array[") else array_of(output))


_RULES: Final[Mapping[str, Callable[[Graph, Node], None]]] = {
    "end": _end,
    "llm": _llm,
    "document-extractor": _document,
    "list-operator": _list,
    "variable-aggregator": _aggregator,
    "iteration": _iteration,
}
