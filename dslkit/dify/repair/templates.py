"""Jinja templates: Dify's references inside them, names that a node before gives, Python's functions."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from dslkit.dify.check.templates import TemplateFaultError, names_missing
from dslkit.dify.derive import type_of
from dslkit.dify.nodes import mappings
from dslkit.dify.plan_references import split_reference
from dslkit.dify.repair import additions, dialects
from dslkit.dify.repair.references import main_output, provider_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dslkit.dify.graph import Graph, Node
    from dslkit.dify.references import Selector
    from dslkit.dify.repair.mend import Mend
    from dslkit.records import Finding

_REFERENCE: Final = re.compile(r"\{\{#([^#{}]{1,200})#\}\}")
_SET_IN_TEMPLATE: Final = re.compile(r"\{%-?\s*(?:for|set)\s+(\w+)")
_FUNCTIONS: Final = frozenset({"len", "sum", "str", "int", "float", "abs", "zip", "enumerate"})


def references(mend: Mend, findings: Sequence[Finding]) -> None:
    """``{{#node.field#}}`` -> a variable of the template and ``{{ its name }}``."""
    for node in _nodes(mend, findings):
        text = node.data["template"]
        node.data["template"] = _REFERENCE.sub(partial(_as_variable, mend, node), text)
        if node.data["template"] != text:
            mend.log("template-reference", "References in the template became variables of it.", node.id)


def _nodes(mend: Mend, findings: Sequence[Finding]) -> list[Node]:
    nodes = mend.each_node(findings)
    return [n for n in nodes if isinstance(n.data.get("template"), str) and isinstance(n.data.get("variables"), list)]


def _as_variable(mend: Mend, node: Node, match: re.Match[str]) -> str:
    parts = split_reference(match.group(1))
    own = _own_names(node) | set(_SET_IN_TEMPLATE.findall(node.data["template"]))
    if parts and parts[0] in own and parts[0] not in mend.graph.nodes and all(map(str.isidentifier, parts)):
        return "{{ " + ".".join(parts) + " }}"
    selector = _selector(mend.graph, node, parts)
    return "{{ " + _variable_for(node, selector) + " }}" if selector else match.group()


def _selector(graph: Graph, node: Node, parts: list[str]) -> Selector | None:
    if not parts or not all(parts):
        return None
    if len(parts) == 1:
        owner = provider_of(graph, node, parts[0])
        return (owner, parts[0]) if owner else None
    if parts[0] not in graph.nodes and parts[0].replace("-", "_") in graph.nodes:
        parts[0] = parts[0].replace("-", "_")
    if graph.value_type(tuple(parts)) is not None:
        return tuple(parts)
    source = graph.nodes.get(parts[0])
    name = main_output(source) if source else None
    return (parts[0], name) if name else None


def _variable_for(node: Node, selector: Selector) -> str:
    """The template's name for a value: the one it has already, or the field's name, made its own."""
    variables: list[Any] = node.data.setdefault("variables", [])
    for entry in mappings(variables):
        if entry.get("value_selector") == list(selector):
            return str(entry["variable"])
    taken = _own_names(node)
    name, number = re.sub(r"\W", "_", selector[-1]), 2
    unique = name if not name[:1].isdigit() else f"v_{name}"
    base = unique
    while unique in taken:
        unique, number = f"{base}_{number}", number + 1
    variables.append({"variable": unique, "value_selector": list(selector)})
    return unique


def unknown_names(mend: Mend, findings: Sequence[Finding]) -> None:
    """Give a template the variable it uses, where one node before gives it; ``len(x)`` is ``x|length``."""
    for node in _nodes(mend, findings):
        _calls(mend, node)
    for finding, user in mend.nodes(findings):
        name = finding.message.partition(" uses ")[2].partition(",")[0]
        if not name.isidentifier() or name in _FUNCTIONS:
            continue
        owner = provider_of(mend.graph, user, name)
        variables = user.data.setdefault("variables", [])
        if owner and isinstance(variables, list):
            variables.append({"variable": name, "value_selector": [owner, name]})
            mend.log("template-variable", f"The template is given {name} of {owner}.", user.id)
        elif name in additions.DATES and not re.search(rf"\b{name}\s*[.(\[]", user.data["template"]):
            additions.date_of_run(mend, user, name)


def faults(mend: Mend, findings: Sequence[Finding]) -> None:
    """Mend a template that then parses: put the words of its neighbours into Jinja's, one dialect after the other."""
    for node in _nodes(mend, findings):
        own, types = _own_names(node), _types(mend.graph, node)
        text = dialects.calls(dialects.plain(node.data["template"]), own)
        for candidate in (text, dialects.handlebars(text, own, partial(_is_list, types))):
            if _parses(candidate):
                node.data["template"] = candidate
                mend.log("template-fault", "The template says in Jinja's words what it said in others'.", node.id)
                break


def _parses(template: str) -> bool:
    try:
        names_missing(template, frozenset())
    except TemplateFaultError:
        return False
    return True


def _own_names(node: Node) -> set[str]:
    return {str(entry.get("variable")) for entry in mappings(node.data.get("variables"))}


def _types(graph: Graph, node: Node) -> dict[str, str]:
    variables = mappings(node.data.get("variables"))
    return {str(entry.get("variable")): type_of(graph, entry.get("value_selector")) for entry in variables}


def _is_list(types: Mapping[str, str], name: str) -> bool:
    return types.get(name, "").startswith("array[")


def _calls(mend: Mend, node: Node) -> None:
    mended = dialects.calls(node.data["template"], _own_names(node))
    if mended != node.data["template"]:
        node.data["template"] = mended
        mend.log("template-call", "Python's functions in the template became Jinja's filters and loops.", node.id)
