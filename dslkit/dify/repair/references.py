"""References: to an output of another name, to an iteration's item by way of its start, to a bare name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dslkit.dify.nodes import ANY, inner_outputs, node_kind, outputs_of
from dslkit.dify.references import as_selector, replace_use
from dslkit.dify.tools import tool_kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dslkit.dify.graph import Graph, Node
    from dslkit.dify.references import Selector, Use
    from dslkit.dify.repair.mend import Mend
    from dslkit.records import Finding

    _Readers = list[tuple[str, Use]]

_MAIN: Final[Mapping[str, str]] = {
    "llm": "text",
    "template-transform": "output",
    "variable-aggregator": "output",
    "iteration": "output",
    "document-extractor": "text",
    "http-request": "body",
    "question-classifier": "class_name",
    "knowledge-retrieval": "result",
    "agent": "text",
    "list-operator": "result",
}
_NAMING: Final = frozenset({"start", "code", "parameter-extractor"})  # types whose outputs an author names
# Names for all that a node gives.
WHOLE: Final = frozenset(
    {"output", "outputs", "out", "result", "results", "text", "json", "data", "parameters", "extracted"}
)

_LIST: Final = {"type": "array", "items": {"type": "string"}}
_FIELD: Final = re.compile("[a-zA-Z_][a-zA-Z0-9_]{0,29}")  # what Dify resolves behind a dot


def main_output(node: Node) -> str | None:
    """The output that people mean when they name a node; None where it has several of equal standing."""
    if node.type == "tool":
        kind = tool_kind(node.data)
        return kind.gives if kind else None
    if node.type in _MAIN:
        name = _MAIN[node.type]
        return name if name in outputs_of(node.data) else None
    own = [name for name in outputs_of(node.data) if not name.startswith("__")]
    return own[0] if len(own) == 1 and node.type in ("code", "start", "parameter-extractor") else None


def unknown_output(mend: Mend, findings: Sequence[Finding]) -> None:
    """Refer to what the node does give, where only one thing can be meant."""
    for node, use in mend.uses(findings):
        if mend.graph.value_type(use.selector) is None:
            selector = _meant(mend.graph, use, node) or _given_elsewhere(mend.graph, use, node)
            if selector:
                _refer(mend, node, use, selector)


def _given_elsewhere(graph: Graph, use: Use, node: Node) -> Selector | None:
    """The output of that very name that one other node before gives, where a name says more than "the result"."""
    owner = provider_of(graph, node, use.field) if use.node in graph.nodes and use.field not in WHOLE else None
    return (owner, use.field) if owner and graph.nodes[owner].type in _NAMING else None


def _meant(graph: Graph, use: Use, node: Node) -> Selector | None:
    source = graph.nodes.get(use.node)
    if source is None:
        return None
    if source.id in graph.containers_of(node.id):
        return _of_the_pass(graph, source, use)
    kind = node_kind(source.type)
    if kind and kind.child_entry and source.parent in graph.nodes:
        return _of_the_pass(graph, graph.nodes[source.parent], use)
    if source.type == "variable-aggregator" and len(_not_given(graph, source)) > 1:
        return None  # it joins one value
    same = [name for name in outputs_of(source.data) if name.casefold() == use.field.casefold()]
    name = same[0] if len(same) == 1 else main_output(source)
    return (source.id, name) if name and name != use.field else None


def _not_given(graph: Graph, source: Node) -> set[str]:
    """The names asked of a node that it does not give."""
    asked = {use.field for uses in graph.uses.values() for use in uses if use.node == source.id}
    return asked - set(outputs_of(source.data))


def _of_the_pass(graph: Graph, owner: Node, use: Use) -> Selector | None:
    """What a reference to a container's start means: the pass's own values, or a field of its item.

    A single name that the container does not give is the item itself, several are its fields.
    """
    if use.field in inner_outputs(owner.data):
        return (owner.id, *use.selector[1:])
    if owner.type != "iteration":
        return None
    item = graph.value_type((owner.id, "item"))
    has_fields = item == "object" or (item == ANY and len(fields_of_item(graph, owner)) > 1)
    return (owner.id, "item", *use.selector[1:]) if has_fields else (owner.id, "item")


def fields_of_item(graph: Graph, iteration: Node) -> set[str]:
    """The fields that the steps inside ask of an item, by ``item`` or by a name that the iteration does not give."""
    entry = graph.entry_of(iteration)
    uses = [use for child in graph.children[iteration.id] for use in graph.uses[child.id]]
    asked = {use.field for use in uses if use.node in (iteration.id, entry)} - set(inner_outputs(iteration.data))
    return asked | {use.selector[2] for use in uses if use.selector[:2] == (iteration.id, "item") and use.selector[2:]}


def _asked_by_name(mend: Mend, findings: Sequence[Finding], type_: str) -> Iterator[tuple[Node, list[str], _Readers]]:
    """Nodes of a type that are asked for several values which they do not give, these, and all who read the node."""
    names: dict[str, dict[str, None]] = {}
    for _, use in mend.uses(findings):
        source = mend.graph.nodes.get(use.node)
        if source and source.type == type_ and _FIELD.fullmatch(use.field) and use.field not in WHOLE:
            names.setdefault(source.id, {})[use.field] = None
    for id_, fields in names.items():
        readers = [(reader, use) for reader, uses in mend.graph.uses.items() for use in uses if use.node == id_]
        if len(fields) > 1 and all(use.field in fields for _, use in readers):
            yield mend.graph.nodes[id_], list(fields), readers


def fields_of_answer(mend: Mend, findings: Sequence[Finding]) -> None:
    """A model asked for several values by name, and never for its text, answers with just these: structured output."""
    for model, fields, readers in _asked_by_name(mend, findings, "llm"):
        gone_over = {use.field for _, use in readers if use.path == ("iterator_selector",)}
        properties = {name: _LIST if name in gone_over else {"type": "string"} for name in fields}
        schema = {"type": "object", "properties": properties, "required": fields, "additionalProperties": False}
        model.data.update(structured_output={"schema": schema}, structured_output_enabled=True)
        for id_, use in readers:
            replace_use(mend.graph.nodes[id_].data, use, (model.id, "structured_output", use.field))
        mend.log("answer-fields", f"It answers with {', '.join(fields)} as structured output.", model.id)


def groups_joined(mend: Mend, findings: Sequence[Finding]) -> None:
    """An aggregator asked for several values by the names that its variables have joins those of each name."""
    for node, fields, readers in _asked_by_name(mend, findings, "variable-aggregator"):
        variables = node.data.get("variables")
        given = [entry for entry in map(as_selector, variables if isinstance(variables, list) else ()) if entry]
        joined = {name: [list(entry) for entry in given if entry[-1] == name] for name in fields}
        if not all(joined.values()):
            continue
        groups = [
            {"groupId": f"{node.id}-{name}", "group_name": name, "output_type": ANY, "variables": entries}
            for name, entries in joined.items()
        ]
        node.data["advanced_settings"] = {"group_enabled": True, "groups": groups}
        for id_, use in readers:
            replace_use(mend.graph.nodes[id_].data, use, (node.id, use.field, "output"))
        mend.log("aggregator-groups", f"It joins {', '.join(fields)}, each by itself.", node.id)


def _refer(mend: Mend, node: Node, use: Use, selector: Selector, code: str = "reference-output") -> None:
    replace_use(node.data, use, selector)
    was = use.written or ".".join(use.selector)
    mend.log(code, f"{was} is now {'.'.join(selector)}.", node.id)


def malformed(mend: Mend, findings: Sequence[Finding]) -> None:
    """Complete a bare name that exactly one node before gives, or a container around."""
    for node, use in mend.uses(findings):
        if not use.exact or not use.field or not use.node or use.node not in mend.graph.nodes:
            selector = _completed(mend.graph, node, use)
            if selector:
                _refer(mend, node, use, selector, "reference-form")


def _completed(graph: Graph, node: Node, use: Use) -> Selector | None:
    parts = [part for part in use.selector if part]
    if not parts:
        return None
    if parts[0] in graph.nodes:  # a node and nothing else
        name = main_output(graph.nodes[parts[0]]) if len(parts) == 1 else None
        return (parts[0], name) if name else None
    owner = provider_of(graph, node, parts[0])
    selector = (owner, *parts) if owner else None
    if selector and graph.value_type(selector) is None:
        selector = selector[:2]
    return selector


def provider_of(graph: Graph, node: Node, name: str) -> str | None:
    """The one node that gives ``name`` to ``node``: a container around it first, else a node that runs before."""
    for around in graph.containers_of(node.id):
        if name in inner_outputs(graph.nodes[around].data):
            return around
    givers = [
        other.id
        for other in graph.nodes.values()
        if other.id != node.id and name in outputs_of(other.data) and graph.runs_before(other.id, node.id)
        and not (other.parent and other.parent not in {node.id, *graph.containers_of(node.id)})
    ]  # fmt: skip
    return givers[0] if len(givers) == 1 else None


def meant_by(graph: Graph, use: Use, node: Node) -> Selector | None:
    """What a node's reference names, or what is meant by it when there is no such output."""
    return use.selector if graph.value_type(use.selector) else _meant(graph, use, node)


def joined_without_node(mend: Mend, findings: Sequence[Finding]) -> None:
    """An aggregator that names outputs but no nodes joins those of the nodes that lead to it, one each."""
    for node in mend.each_node(findings, "variable-aggregator"):
        variables = node.data.get("variables")
        if not isinstance(variables, list):
            continue
        before = list(dict.fromkeys(mend.graph.predecessors.get(node.id, ())))
        words = {word for entry in variables for word in as_selector(entry) or ()}
        nameless = not words & set(mend.graph.nodes)
        given = [next((w for w in sorted(words) if w in outputs_of(mend.graph.nodes[i].data)), None) for i in before]
        if nameless and len(before) == len(variables) and all(given):
            node.data["variables"] = [[i, name] for i, name in zip(before, given, strict=True)]
            mend.log("aggregator-nodes", f"It joins what {', '.join(before)} give.", node.id)


def into_container(mend: Mend, findings: Sequence[Finding]) -> None:
    """From outside, refer to the container where it collects just that output."""
    for node, use in mend.uses(findings):
        source = mend.graph.nodes.get(use.node)
        owner = mend.graph.nodes.get(source.parent) if source else None
        if owner and owner.type == "iteration" and owner.data.get("output_selector") == list(use.selector):
            _refer(mend, node, use, (owner.id, "output"))
