"""A workflow as SVG: titles and types coloured by kind, containers framed, branches labelled.

It needs no script and no font file, follows light and dark, and everything that came from the document is escaped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from dslkit.dify.branches import branch_label
from dslkit.dify.draw_lanes import Lane
from dslkit.dify.graph import Edge, Graph, Node
from dslkit.dify.layout import PICTURE, Block, Link, Spot, lay_out
from dslkit.dify.nodes import handles_of, node_kind

NODE_WIDTH: Final = 172.0
NODE_HEIGHT: Final = 50.0
PORT_HEIGHT: Final = 21.0
ENTRY: Final = 26.0
GAP: Final = 36.0
MAX_LABEL: Final = 96.0
MAX_NODES: Final = 1_000
SMALLEST: Final = 0.72  # of its natural size: in a narrower column the picture is scrolled, or its text were unreadable
_STYLE: Final = Path(__file__).with_name("draw.css").read_text(encoding="utf-8")
_WIDE: Final = frozenset("WF")

_KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("start", "end", "answer", "trigger-webhook", "trigger-schedule", "trigger-plugin"), "boundary"),
    **dict.fromkeys(("llm", "question-classifier", "parameter-extractor", "agent"), "model"),
    **dict.fromkeys(
        ("if-else", "iteration", "iteration-start", "loop", "loop-start", "loop-end", "human-input"), "logic"
    ),
    **dict.fromkeys(("code", "template-transform", "variable-aggregator", "assigner", "list-operator"), "data"),
    **dict.fromkeys(
        ("tool", "http-request", "knowledge-retrieval", "document-extractor", "datasource", "knowledge-index"),
        "outside",
    ),
}


def draw(document: Mapping[str, Any]) -> str:
    """The document's graph as an SVG element of its own natural size; never raises, whatever the document holds."""
    graph = Graph(document)
    name = _name(document)
    if len(graph.nodes) > MAX_NODES:
        return _notice(name, f"{len(graph.nodes):,} nodes are too many for a picture (at most {MAX_NODES:,})")
    if not graph.nodes:
        return _notice(name, "This app has no graph.")
    return _Picture(graph).svg(name)


@dataclass(frozen=True, slots=True)
class _Port:
    """One way out of a node: its handle, and what to write at it."""

    handle: str
    label: str


class _Picture:
    """One drawing under way."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.edges = [edge for edge in graph.edges if edge.source in graph.nodes and edge.target in graph.nodes]
        self.containers = {node.parent for node in graph.nodes.values() if node.parent in graph.nodes}
        used: dict[str, list[str]] = {}
        for edge in self.edges:
            used.setdefault(edge.source, []).append(edge.handle)
        self.ports = {id_: _ports(node, used.get(id_, [])) for id_, node in graph.nodes.items()}
        blocks = [self._block(node) for node in graph.nodes.values()]
        links = [Link(edge.source, edge.target, self._port(edge)) for edge in self.edges]
        self.spots, self.width, self.height = lay_out(blocks, links, PICTURE)
        self.lanes = self._detours()

    def svg(self, name: str) -> str:
        """The whole element: edges first, so that nodes lie on top of them."""
        frames = [id_ for id_ in self.spots if id_ in self.containers]
        frames.sort(key=lambda id_: -self.spots[id_].width * self.spots[id_].height)
        parts = [
            *(self._frame(id_) for id_ in frames),
            *map(self._edge, self.edges),
            *(self._node(id_) for id_ in self.spots if id_ not in self.containers),
            *(label for id_ in self.spots for label in self._labels(id_)),
        ]
        count = f"{len(self.graph.nodes)} nodes, {len(self.edges)} edges: "
        titles = ", ".join(_title(node) for node in self.graph.nodes.values())
        return _element(self.width, self.height, name, count + titles, "\n".join(parts))

    def _block(self, node: Node) -> Block:
        ports = self.ports[node.id]
        room = max((_text_width(port.label, 11) for port in ports), default=0.0)
        gap = GAP + min(room, MAX_LABEL)
        if _is_entry(node):
            return Block(node.id, node.parent, ENTRY, ENTRY, GAP)
        height = max(NODE_HEIGHT, 8 + PORT_HEIGHT * len(ports)) if len(ports) > 1 else NODE_HEIGHT
        return Block(node.id, node.parent, NODE_WIDTH, height, gap)

    def _port(self, edge: Edge) -> int:
        handles = [port.handle for port in self.ports[edge.source]]
        return handles.index(edge.handle)

    def _out(self, id_: str, index: int) -> tuple[float, float]:
        """Where an edge leaves: beside its port, the ports of a node spread over its height."""
        spot, count = self.spots[id_], len(self.ports[id_])
        if id_ in self.containers:
            return spot.x + spot.width, spot.y + spot.height / 2
        step = min(PORT_HEIGHT, spot.height / count)
        return spot.x + spot.width, spot.y + spot.height / 2 + (index - (count - 1) / 2) * step

    def _edge(self, edge: Edge) -> str:
        x1, y1 = self._out(edge.source, self._port(edge))
        end = self.spots[edge.target]
        x2, y2 = end.x - 3, end.y + end.height / 2
        lane = self.lanes.get(edge.index)
        path = _curve(x1, y1, x2, y2) if lane is None else lane.path(x1, y1, x2, y2)
        tip = f"M{x2 + 3:.1f} {y2:.1f}l-7 -4v8z"
        return f'<path class="edge" d="{path}"/><path class="tip" d="{tip}"/>'

    def _detours(self) -> dict[int, Lane]:
        """A lane for each edge that turns back, goes to another band, or would run behind a node."""
        gutters: dict[float, list[Edge]] = {}
        for edge in self.edges:
            start, end = self.spots[edge.source], self.spots[edge.target]
            if start.band != end.band or end.x <= start.x or self._hidden(edge):
                gutters.setdefault(min(start.gutter, end.gutter), []).append(edge)
        lanes: dict[int, Lane] = {}
        for gutter, edges in gutters.items():
            edges.sort(key=lambda edge: (self._out(edge.source, self._port(edge))[1], edge.index))
            lanes |= {edge.index: Lane(gutter, place, len(edges)) for place, edge in enumerate(edges)}
        return lanes

    def _hidden(self, edge: Edge) -> bool:
        """Whether a straight edge would pass behind another node of its scope."""
        x1, y1 = self._out(edge.source, self._port(edge))
        end = self.spots[edge.target]
        slope = (end.y + end.height / 2 - y1) / max(1.0, end.x - x1)
        for sibling in self.graph.children[self.graph.nodes[edge.source].parent]:
            spot = self.spots[sibling.id]
            if x1 < spot.x and spot.x + spot.width < end.x:
                y = y1 + slope * (spot.x + spot.width / 2 - x1)
                if spot.y - 4 < y < spot.y + spot.height + 4:
                    return True
        return False

    def _labels(self, id_: str) -> Iterator[str]:
        for index, port in enumerate(self.ports[id_]):
            if port.label:
                x, y = self._out(id_, index)
                yield f'<text class="label" x="{x + 7:.1f}" y="{y - 3:.1f}">{_clip(port.label, 11, MAX_LABEL)}</text>'

    def _node(self, id_: str) -> str:
        node, spot = self.graph.nodes[id_], self.spots[id_]
        if _is_entry(node):
            return _entry(node, spot)
        x, middle, room = spot.x + 16, spot.y + spot.height / 2, spot.width - 24
        bar = Spot(spot.x + 5, spot.y + 7, 4, spot.height - 14, spot.band, spot.gutter)
        lines = [
            f'<text class="title" x="{x:.1f}" y="{middle - 2:.1f}">{_clip(_title(node), 13, room)}</text>',
            f'<text class="type" x="{x:.1f}" y="{middle + 14:.1f}">{_clip(_subtitle(node), 11, room)}</text>',
        ]
        return _group(node, _rect("box", spot, 8), _rect("bar", bar, 2), *lines)

    def _frame(self, id_: str) -> str:
        node, spot = self.graph.nodes[id_], self.spots[id_]
        title = _clip(_title(node), 13, spot.width / 2)
        type_ = f'<tspan class="type" dx="8">{_text(node.type)}</tspan>'
        text = f'<text class="title" x="{spot.x + 12:.1f}" y="{spot.y + 20:.1f}">{title}{type_}</text>'
        return _group(node, _rect("frame", spot, 10), text)


def _group(node: Node, *parts: str) -> str:
    """What belongs to one node, with everything about it in a tooltip."""
    return f'<g class="{_kind(node)}"><title>{_text(_tooltip(node))}</title>{"".join(parts)}</g>'


def _rect(style: str, spot: Spot, radius: int) -> str:
    place = f'x="{spot.x:.1f}" y="{spot.y:.1f}" width="{spot.width:.1f}" height="{spot.height:.1f}"'
    return f'<rect class="{style}" {place} rx="{radius}"/>'


def _ports(node: Node, used: list[str]) -> tuple[_Port, ...]:
    """The ways out that are connected, in the order of the node's own handles; never none."""
    own = [handle for handle in handles_of(node.data) if handle in used]
    handles = dict.fromkeys([*own, *used]) or {"source": None}
    return tuple(_Port(handle, branch_label(node, handle)) for handle in handles)


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    bend = max(18.0, min(70.0, (x2 - x1) / 2))
    return f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"


def _entry(node: Node, spot: Spot) -> str:
    x, y, radius = spot.x + spot.width / 2, spot.y + spot.height / 2, spot.width / 2
    circle = f'<circle class="entry" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>'
    return _group(node, circle, f'<path class="play" d="M{x - 4:.1f} {y - 6:.1f}l10 6l-10 6z"/>')


def _is_entry(node: Node) -> bool:
    kind = node_kind(node.type)
    return bool(kind and kind.child_entry)


def _kind(node: Node) -> str:
    return _KINDS.get(node.type, "unknown")


def _title(node: Node) -> str:
    return str(node.data.get("title") or node.type or node.id)


def _subtitle(node: Node) -> str:
    """The type, and where one word more says what the node does, that word."""
    model = node.data.get("model")
    detail = model.get("name") if isinstance(model, Mapping) else node.data.get("tool_label") or node.data.get("method")
    return f"{node.type} · {detail}" if detail and isinstance(detail, str) else node.type


def _tooltip(node: Node) -> str:
    description = node.data.get("desc")
    more = f": {description}" if isinstance(description, str) and description else ""
    return f"{_title(node)} ({node.type}, {node.id}){more}"


def _name(document: Mapping[str, Any]) -> str:
    app = document.get("app")
    return str(app.get("name") or "Workflow") if isinstance(app, Mapping) else "Workflow"


def _notice(name: str, message: str) -> str:
    text = f'<text class="title" x="20" y="34">{_text(message)}</text>'
    return _element(_text_width(message, 13) + 60, 56, name, message, text)


def _element(width: float, height: float, name: str, description: str, body: str) -> str:
    style = f"max-width:100%;min-width:{SMALLEST * width:.0f}px;height:auto"
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dslkit-workflow" role="img" {size} '
        f'style="{style}"><title>{_text(name)}</title><desc>{_text(description)}</desc>'
        f"<style>\n{_STYLE}</style>"
        f'<rect class="page" width="100%" height="100%" rx="8"/>\n{body}\n</svg>\n'
    )


def _text(value: object) -> str:
    """Escaped, without the control characters that XML cannot hold."""
    return escape("".join(c for c in str(value) if c in "\t\n" or unicodedata.category(c) not in ("Cc", "Cs", "Cn")))


def _clip(text: str, size: float, room: float) -> str:
    """Escaped, on one line, cut with an ellipsis where it would be wider than ``room`` pixels."""
    line = " ".join(text.split())
    if _text_width(line, size) <= room:
        return _text(line)
    while line and _text_width(line + "…", size) > room:
        line = line[: -max(1, len(line) // 20)]
    return _text(line.rstrip() + "…")


def _text_width(text: str, size: float) -> float:
    """A careful guess: East Asian wide characters take the whole size, others a little more than half."""
    return sum(size if unicodedata.east_asian_width(character) in _WIDE else size * 0.57 for character in text)
