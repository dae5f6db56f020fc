"""Two workflows compared as a reviewer would: nodes, prompts, wiring and variables, not YAML lines or positions."""

from __future__ import annotations

import difflib
import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from dslkit.dify.branches import branch_label
from dslkit.dify.diff_match import matched, renamed
from dslkit.dify.graph import Edge, Graph, Node
from dslkit.dify.nodes import mappings

Kind = Literal["added", "removed", "changed"]
Area = Literal["app", "variables", "nodes", "edges", "features", "dependencies"]

NOTHING: Final = "No difference that matters: only positions, sizes or ids may differ.\n"
MAX_DEPTH: Final = 12
MAX_VALUE: Final = 120
_SENTENCE_END: Final = re.compile(r"(?<=[.!?;。！？；])\s*(?=\S)")
_MARKS: Final[Mapping[Kind, str]] = {"added": "+", "removed": "-", "changed": "~"}
_AREAS: Final[tuple[Area, ...]] = ("app", "variables", "nodes", "edges", "features", "dependencies")
# What the editor keeps for itself, or derives from what is compared anyway.
_NOISE: Final = frozenset(
    {
        "selected",
        "type",
        "isInIteration",
        "isInLoop",
        "iteration_id",
        "loop_id",
        "start_node_id",
        "height",
        "width",
        "id",
    }
)
_NAMES: Final = ("variable", "name", "case_id", "id", "key", "label", "group_name", "role")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference.  ``subject`` is what it is about (a node, an edge, a variable), ``field`` the path within it.

    ``before`` and ``after`` are texts for reading; None where there was or is nothing.  ``node`` is the id of the node,
    in the new workflow unless it was removed.
    """

    area: Area
    kind: Kind
    subject: str
    field: str = ""
    before: str | None = None
    after: str | None = None
    node: str | None = None


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """Every difference that matters to a reviewer, in the order in which one reads a workflow.

    Nodes are matched by id, else by type, title and content, so that renumbering is no difference.
    """
    before, after = Graph(old), Graph(new)
    pairs = matched(before, after)
    names = {**_fresh_names(before, after, pairs), **pairs}
    return (
        *_app(old, new),
        *_variables(old, new),
        *_nodes(before, after, pairs, names),
        *_edges(before, after, pairs),
        *_fields("features", "features", _part(old, "features"), _part(new, "features")),
        *_dependencies(old, new),
    )


def render(changes: Sequence[Change]) -> str:
    """The changes as indented text, by area; long texts line by line."""
    if not changes:
        return NOTHING
    lines: list[str] = []
    for area in _AREAS:
        here = [change for change in changes if change.area == area]
        if here:
            lines += [area, *_area_lines(here)]
    return "\n".join(lines) + "\n"


def _area_lines(changes: Sequence[Change]) -> Iterator[str]:
    said = ""
    for change in changes:
        if not change.field:
            detail = change.after if change.kind == "added" else change.before
            yield f"  {_MARKS[change.kind]} {change.subject}" + (f": {_short(detail)}" if detail else "")
            continue
        if change.subject != said:
            said = change.subject
            yield f"  ~ {said}"
        yield from (f"      {line}" for line in _field_lines(change))


def _field_lines(change: Change) -> Iterator[str]:
    before, after = change.before or "", change.after or ""
    if "\n" in before + after or (change.before and change.after and max(len(before), len(after)) > MAX_VALUE):
        yield f"{change.field}:"
        lines = difflib.unified_diff(_wrapped(before), _wrapped(after), lineterm="", n=1)
        yield from (f"  {line}" for line in lines if not line.startswith(("---", "+++")))
    elif change.before is None:
        yield f"{change.field}: added {_short(after)}"
    elif change.after is None:
        yield f"{change.field}: removed {_short(before)}"
    else:
        yield f"{change.field}: {_short(before)} → {_short(after)}"


def _wrapped(text: str) -> list[str]:
    """Lines, the long ones cut at sentences, so that one word more does not move all that follows."""
    lines: list[str] = []
    for line in text.splitlines():
        sentences = _SENTENCE_END.split(line) if len(line) > MAX_VALUE else [line]
        lines += [piece for each in sentences for piece in textwrap.wrap(each, MAX_VALUE) or [""]]
    return lines


def _short(text: str) -> str:
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"


def _app(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    keep = ("name", "mode", "description")
    before, after = ({key: _mapping(each.get("app")).get(key) for key in keep} for each in (old, new))
    before["version"], after["version"] = old.get("version"), new.get("version")
    yield from _fields("app", "app", before, after)


def _variables(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for key, word in (("environment_variables", "environment"), ("conversation_variables", "conversation")):
        before, after = (
            {str(each.get("name")): each for each in mappings(_workflow(document).get(key))} for document in (old, new)
        )
        for name in dict.fromkeys([*before, *after]):
            subject = f"{word} variable {name}"
            if name not in after:
                yield Change(area="variables", kind="removed", subject=subject, before=_type_of(before[name]))
            elif name not in before:
                yield Change(area="variables", kind="added", subject=subject, after=_type_of(after[name]))
            else:
                yield from _fields("variables", subject, before[name], after[name])


def _type_of(variable: Mapping[str, Any]) -> str:
    return str(variable.get("value_type") or "")


def _nodes(before: Graph, after: Graph, pairs: Mapping[str, str], names: Mapping[str, str]) -> Iterator[Change]:
    kept = set(pairs.values())
    for id_, node in before.nodes.items():
        if id_ not in kept:
            yield Change(area="nodes", kind="removed", subject=_called(node), before=_wiring(before, node), node=id_)
    for id_, node in after.nodes.items():
        if id_ not in pairs:
            yield Change(area="nodes", kind="added", subject=_called(node), after=_wiring(after, node), node=id_)
    for id_, node in after.nodes.items():
        if id_ in pairs:
            yield from _node_fields(before, after, before.nodes[pairs[id_]], node, names)


def _node_fields(before: Graph, after: Graph, old: Node, new: Node, names: Mapping[str, str]) -> Iterator[Change]:
    titles = {id_: _title(node) for id_, node in before.nodes.items()}
    titles |= {names[id_]: _title(node) for id_, node in after.nodes.items()}
    places = ({"container": _place(graph, node)} for graph, node in ((before, old), (after, new)))
    pairs = ((old.data, renamed(new.data, names)), tuple(places))
    for one, other in pairs:
        for change in _fields("nodes", _called(new), one, other, titles):
            yield Change(**{**_as_fields(change), "node": new.id})


def _as_fields(change: Change) -> dict[str, Any]:
    return {name: getattr(change, name) for name in Change.__dataclass_fields__}


def _place(graph: Graph, node: Node) -> str | None:
    parent = graph.nodes.get(node.parent)
    return _title(parent) if parent else None


def _wiring(graph: Graph, node: Node) -> str:
    """Where a node stands: what comes before it and what after."""
    parts = []
    for word, ids in (("after", graph.predecessors.get(node.id)), ("before", graph.successors.get(node.id))):
        if ids:
            parts.append(f"{word} {', '.join(_title(graph.nodes[id_]) for id_ in dict.fromkeys(ids))}")
    if place := _place(graph, node):
        parts.append(f"in {place}")
    return "; ".join(parts)


def _edges(before: Graph, after: Graph, pairs: Mapping[str, str]) -> Iterator[Change]:
    """Edges between nodes that both workflows have; those of added and removed nodes are told with the nodes."""
    kept = set(pairs.values())
    old = {_key(edge, {}): edge for edge in before.edges if {edge.source, edge.target} <= kept}
    new = {_key(edge, pairs): edge for edge in after.edges if edge.source in pairs and edge.target in pairs}
    for key in dict.fromkeys([*old, *new]):
        if key not in new:
            yield Change(area="edges", kind="removed", subject=_arrow(before, old[key]))
        elif key not in old:
            yield Change(area="edges", kind="added", subject=_arrow(after, new[key]))


def _key(edge: Edge, names: Mapping[str, str]) -> tuple[str, str, str]:
    return names.get(edge.source, edge.source), edge.handle, names.get(edge.target, edge.target)


def _arrow(graph: Graph, edge: Edge) -> str:
    source = graph.nodes[edge.source]
    label = branch_label(source, edge.handle)
    return f"{_title(source)}{f' [{label}]' if label else ''} → {_title(graph.nodes[edge.target])}"


def _dependencies(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = (
        [_plain(_mapping(each.get("value")) or each) for each in mappings(d.get("dependencies"))] for d in (old, new)
    )
    for text in dict.fromkeys([*before, *after]):
        if text not in after:
            yield Change(area="dependencies", kind="removed", subject=text)
        elif text not in before:
            yield Change(area="dependencies", kind="added", subject=text)


def _fields(
    area: Area, subject: str, old: object, new: object, titles: Mapping[str, str] | None = None
) -> Iterator[Change]:
    """The leaves in which two values differ."""
    for path, before, after in _leaves(old, new, "", 0):
        yield Change(
            area=area,
            kind="changed",
            subject=subject,
            field=path,
            before=None if before is None else _plain(before, titles),
            after=None if after is None else _plain(after, titles),
        )


def _leaves(old: Any, new: Any, path: str, depth: int) -> Iterator[tuple[str, Any, Any]]:
    if old == new or (_is_empty(old) and _is_empty(new)):
        return
    if depth < MAX_DEPTH and isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            if key not in _NOISE and not str(key).startswith("_"):
                yield from _leaves(old.get(key), new.get(key), f"{path}.{key}" if path else str(key), depth + 1)
    elif depth < MAX_DEPTH and (keyed := _keyed(old, new)):
        before, after = keyed
        for key in dict.fromkeys([*before, *after]):
            yield from _leaves(before.get(key), after.get(key), f"{path}[{key}]", depth + 1)
        if list(before) != list(after) and set(before) == set(after):
            yield f"{path} order", list(before), list(after)
    else:
        yield path or "value", old, new


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [], {})


def _keyed(old: object, new: object) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Two lists of mappings as mappings by the name that tells their entries apart, if one does."""
    if not isinstance(old, list) or not isinstance(new, list) or not (old or new):
        return None
    for name in _NAMES:
        keys = [[each.get(name) if isinstance(each, Mapping) else None for each in side] for side in (old, new)]
        if all(None not in side and len(set(map(str, side))) == len(side) for side in keys):
            return dict(zip(map(str, keys[0]), old, strict=True)), dict(zip(map(str, keys[1]), new, strict=True))
    return None


def _plain(value: Any, titles: Mapping[str, str] | None = None) -> str:
    """A value as a person reads it: a selector as ``title.output``, a text as it is, the rest as JSON."""
    readable = _readable(value, titles or {})
    return readable if isinstance(readable, str) else json.dumps(readable, ensure_ascii=False, default=str)


def _readable(value: Any, titles: Mapping[str, str], depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): _readable(each, titles, depth + 1) for key, each in value.items() if not _is_empty(each)}
    if not isinstance(value, list):
        return value
    if len(value) > 1 and all(isinstance(each, str) for each in value) and value[0] in titles:
        return ".".join([titles[value[0]], *value[1:]])
    return [_readable(each, titles, depth + 1) for each in value]


def _fresh_names(before: Graph, after: Graph, pairs: Mapping[str, str]) -> dict[str, str]:
    """New nodes whose ids meant another node before get a name of their own, lest a reference look unchanged."""
    return {id_: f"{id_} (new)" if id_ in before.nodes else id_ for id_ in after.nodes if id_ not in pairs}


def _called(node: Node) -> str:
    return f"{_title(node)} ({node.type})"


def _title(node: Node) -> str:
    return str(node.data.get("title") or node.id)


def _workflow(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(document.get("workflow"))


def _part(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return _mapping(_workflow(document).get(key))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
