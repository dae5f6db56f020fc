"""Edges: through a container's border, twice the same, out of an output that a node does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dslkit.dify.compile import make_edge
from dslkit.dify.nodes import DEFAULT_HANDLE, ELSE_HANDLE, handles_of, node_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.dify.graph import Edge
    from dslkit.dify.repair.mend import Mend
    from dslkit.records import Finding


def across_border(mend: Mend, _: Sequence[Finding]) -> None:
    """Lead an edge that crosses a border to the same place as Dify says it.

    Out of a container leads the container itself; into it, an edge to the container; from the container to a node
    inside, an edge from its start node.  What start_node_id or the end of a pass already say needs no edge.
    """
    for edge in list(mend.graph.edges):
        nodes, source, target = mend.graph.nodes, edge.source, edge.target
        if source not in nodes or target not in nodes or nodes[source].parent == nodes[target].parent:
            continue
        ends = _within_border(mend, edge)
        if ends is None or (ends[0] and mend.graph.runs_before(ends[2], ends[0])):
            continue  # unclear, or it would lead in a circle
        mend.edges.remove(edge.raw)
        mend.refresh()
        if ends[0]:
            mend.add_edge(*ends)
        where = f"is now {ends[0]} -> {ends[2]}" if ends[0] else "is what the container's start or end already says"
        mend.log("edge-across-border", f"The edge {source} -> {target} {where}.", source)


def _within_border(mend: Mend, edge: Edge) -> tuple[str, str, str] | None:
    """Source, handle and target inside one scope; an empty source when no edge is needed; None when it is unclear."""
    graph = mend.graph
    source, target = graph.nodes[edge.source], graph.nodes[edge.target]
    if target.parent == source.id:
        entry = graph.entry_of(source)
        if entry is None:
            return None
        return ("", "", "") if entry == target.id else (entry, DEFAULT_HANDLE, target.id)
    if source.parent == target.id:
        return "", "", ""
    around_source, around_target = (
        [source.id, *graph.containers_of(source.id)],
        [target.id, *graph.containers_of(target.id)],
    )
    for outer in around_source:
        for inner in around_target:
            if graph.nodes[outer].parent == graph.nodes[inner].parent and outer != inner:
                return outer, edge.handle if outer == source.id else DEFAULT_HANDLE, inner
    return None


def back_to_start(mend: Mend, _: Sequence[Finding]) -> None:
    """An edge back to the start inside a container says "next pass", which a container does by itself."""
    for edge in list(mend.graph.edges):
        source, target = mend.graph.nodes.get(edge.source), mend.graph.nodes.get(edge.target)
        kind = node_kind(target.type) if target else None
        if source and target and kind and kind.child_entry and source.parent == target.parent:
            mend.edges.remove(edge.raw)
            without = f"without the edge {source.id} -> {target.id}"
            mend.log("edge-next-pass", f"The next pass begins by itself, {without}.", source.id)


def over_nothing(mend: Mend, _: Sequence[Finding]) -> None:
    """Edges that meet in a node that is not there become one edge over the gap."""
    graph = mend.graph
    gaps = {edge.target for edge in graph.edges if edge.target not in graph.nodes and edge.source in graph.nodes}
    for gap in sorted(gaps):
        into = [edge for edge in graph.edges if edge.target == gap]
        out = [edge for edge in graph.edges if edge.source == gap and edge.target in graph.nodes]
        if len(into) != 1 or len(out) != 1 or into[0].source not in graph.nodes:
            continue
        mend.edges.remove(out[0].raw)
        into[0].raw.update(make_edge(into[0].source, into[0].handle, out[0].target, mend.raw_by_id()))
        ends = f"{into[0].source} leads straight on to {out[0].target}"
        mend.log("edge-over-gap", f"{ends}: there is no {gap}.", into[0].source)


def repeated_ids(mend: Mend, _: Sequence[Finding]) -> None:
    """Give edges ids of their own; an edge that stands twice, word for word, stands once."""
    seen: set[str] = set()
    ends_seen: set[tuple[str, str, str]] = set()
    kept: list[Any] = []
    for raw in mend.edges:
        id_ = raw.get("id") if isinstance(raw, dict) else None
        if not isinstance(id_, str) or id_ not in seen:
            kept.append(raw)
            seen.add(str(id_))
            ends_seen |= {_ends(raw)} if isinstance(raw, dict) else set()
            continue
        source, target = raw.get("source"), raw.get("target")
        if _ends(raw) in ends_seen:
            mend.log("edge-repeated", f"The edge {source} -> {target} stood twice.", str(source))
            continue
        raw["id"] = _fresh(id_, seen)
        seen.add(raw["id"])
        ends_seen.add(_ends(raw))
        kept.append(raw)
        mend.log("edge-id", f"The edge {source} -> {target} has an id of its own.", str(source))
    mend.edges[:] = kept
    mend.refresh()


def _ends(raw: dict[str, Any]) -> tuple[str, str, str]:
    return str(raw.get("source")), str(raw.get("sourceHandle", "source")), str(raw.get("target"))


def _fresh(id_: str, taken: set[str]) -> str:
    number = 2
    while f"{id_}-{number}" in taken:
        number += 1
    return f"{id_}-{number}"


def wrong_handles(mend: Mend, findings: Sequence[Finding]) -> None:
    """Use the one output a node has, or the one branch left over where one edge has none."""
    for node in mend.each_node(findings):
        handles = handles_of(node.data)
        here = [edge for edge in mend.graph.edges if edge.source == node.id]
        wrong = [edge for edge in here if edge.handle not in handles]
        used = {edge.handle for edge in here}
        free = [handle for handle in handles if handle not in used]
        kind = node_kind(node.type)
        if handles == (DEFAULT_HANDLE,) and kind and not kind.branches:
            for edge in wrong:
                _use(mend, edge, DEFAULT_HANDLE)
        elif len({edge.handle for edge in wrong}) == len(free) == 1:
            for edge in wrong if _may_take(wrong[0].handle, free[0], len(handles)) else ():
                _use(mend, edge, free[0])


def _may_take(written: str, free: str, count: int) -> bool:
    """Whether the free branch is the one meant: any for Dify's default output, ELSE for a port just past the last."""
    return written == DEFAULT_HANDLE or (free == ELSE_HANDLE and written.isdecimal() and int(written) >= count)


def _use(mend: Mend, edge: Edge, handle: str) -> None:
    fresh = make_edge(edge.source, handle, edge.target, mend.raw_by_id())
    edge.raw["sourceHandle"] = handle
    edge.raw["id"] = fresh["id"]
    mend.log("edge-handle", f"The edge to {edge.target} leaves by {handle!r}, not {edge.handle!r}.", edge.source)
