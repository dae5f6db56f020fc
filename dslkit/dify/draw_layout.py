"""Where nodes go in a picture: left to right by rank, folded into bands, so that forty nodes stay readable."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROW_GAP: Final = 18.0
BAND_GAP: Final = 58.0
PADDING: Final = 22.0
HEADER: Final = 30.0
MARGIN: Final = 34.0
FOLD_WIDTH: Final = 1180.0
MIN_FOLD: Final = 420.0


@dataclass(frozen=True, slots=True)
class Block:
    """A node to place; ``gap`` is the room that its outgoing labels need, ``parent`` the container it stands in."""

    id: str
    parent: str
    width: float
    height: float
    gap: float


@dataclass(frozen=True, slots=True)
class Link:
    """An edge to place nodes by; ``port`` orders the edges of one source from top to bottom."""

    source: str
    target: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a node is, in absolute pixels; ``gutter`` is the free line below its band, for edges that turn back."""

    x: float
    y: float
    width: float
    height: float
    band: int
    gutter: float

    def moved(self, dx: float, dy: float) -> Spot:
        """The same spot elsewhere."""
        return replace(self, x=self.x + dx, y=self.y + dy, gutter=self.gutter + dy)


@dataclass(frozen=True, slots=True)
class Lane:
    """One of the parallel lines in a gutter; ``place`` 0 is the edge that leaves highest.

    Nested like this no two edges of a gutter cross: what leaves highest turns farthest right, runs lowest and turns
    in first.
    """

    gutter: float
    place: int
    count: int

    def path(self, x1: float, y1: float, x2: float, y2: float) -> str:
        """Out to the right, along the gutter, and in from the left, as SVG path data."""
        step = min(5.0, (BAND_GAP - 22) / self.count)
        outer = self.count - 1 - self.place
        line = self.gutter + (outer - (self.count - 1) / 2) * step
        right, left = x1 + 9 + outer * min(4.0, 24 / self.count), x2 - 9 - self.place * min(4.0, 20 / self.count)
        return _rounded([(x1, y1), (right, y1), (right, line), (left, line), (left, y2), (x2, y2)])


def _rounded(points: Sequence[tuple[float, float]], radius: float = 7.0) -> str:
    """Straight lines through the points, with their corners rounded as far as the lines are long enough."""
    path = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        (ax, ay), (bx, by) = _toward(corner, before, radius), _toward(corner, after, radius)
        path.append(f"L{ax:.1f} {ay:.1f}Q{corner[0]:.1f} {corner[1]:.1f} {bx:.1f} {by:.1f}")
    return "".join(path) + f"L{points[-1][0]:.1f} {points[-1][1]:.1f}"


def _toward(start: tuple[float, float], goal: tuple[float, float], radius: float) -> tuple[float, float]:
    length = math.dist(start, goal)
    share = min(radius, length / 2) / length if length else 0.0
    return start[0] + (goal[0] - start[0]) * share, start[1] + (goal[1] - start[1]) * share


Spots = dict[str, Spot]
_Size = tuple[float, float]


def lay_out(blocks: Sequence[Block], links: Sequence[Link]) -> tuple[Spots, float, float]:
    """Place all blocks; return their spots and the width and height of the whole."""
    known = {block.id for block in blocks}
    scopes: dict[str, list[Block]] = defaultdict(list)
    for block in blocks:
        scopes[block.parent if block.parent in known else ""].append(block)
    _bring_home(scopes)
    spots, (width, height) = _scope("", scopes, links, FOLD_WIDTH)
    return {id_: spot.moved(MARGIN, MARGIN) for id_, spot in spots.items()}, width + 2 * MARGIN, height + 2 * MARGIN


def _bring_home(scopes: dict[str, list[Block]]) -> None:
    """Containers that own each other in a circle stand in the outermost scope, or they would be nowhere."""
    seen, queue = {""}, deque([""])
    while queue:
        for block in scopes.get(queue.popleft(), ()):
            if block.id in scopes and block.id not in seen:
                seen.add(block.id)
                queue.append(block.id)
    for parent in [parent for parent in scopes if parent not in seen]:
        scopes[""].extend(scopes.pop(parent))


def _scope(name: str, scopes: Mapping[str, list[Block]], links: Sequence[Link], fold: float) -> tuple[Spots, _Size]:
    """Spots of one scope and all inside it, from its own corner, and the size it needs."""
    inner: Spots = {}
    blocks = []
    for block in scopes.get(name, ()):
        if block.id in scopes:
            spots, (width, height) = _scope(block.id, scopes, links, max(MIN_FOLD, fold - 2 * PADDING))
            inner |= {id_: spot.moved(PADDING, HEADER) for id_, spot in spots.items()}
            blocks.append(replace(block, width=width + 2 * PADDING, height=height + HEADER + PADDING))
        else:
            blocks.append(block)
    placed, size = _place(_columns(blocks, links), fold)
    owners = {child.id: block.id for block in blocks for child in _descendants(block.id, scopes)}
    nested = {id_: spot.moved(placed[owners[id_]].x, placed[owners[id_]].y) for id_, spot in inner.items()}
    return {**placed, **nested}, size


def _descendants(name: str, scopes: Mapping[str, list[Block]]) -> list[Block]:
    found = list(scopes.get(name, ()))
    return found + [deeper for child in found for deeper in _descendants(child.id, scopes)]


def _columns(blocks: Sequence[Block], links: Sequence[Link]) -> list[list[Block]]:
    """Blocks by rank; within a rank in the order of where their edges come from."""
    here = {block.id: block for block in blocks}
    inward: dict[str, list[Link]] = defaultdict(list)
    for link in links:
        if link.source in here and link.target in here:
            inward[link.target].append(link)
    columns: dict[int, list[Block]] = defaultdict(list)
    for id_, rank in _ranks(list(here), inward).items():
        columns[rank].append(here[id_])
    rows: dict[str, float] = {}
    for rank in sorted(columns):
        weights = {block.id: _weight(inward[block.id], rows) for block in columns[rank]}
        columns[rank].sort(key=lambda block: weights[block.id])
        rows |= {block.id: float(row) for row, block in enumerate(columns[rank])}
    return [columns[rank] for rank in sorted(columns)]


def _weight(inward: Sequence[Link], rows: Mapping[str, float]) -> float:
    known = [rows[link.source] + link.port / 50 for link in inward if link.source in rows]
    return sum(known) / len(known) if known else 0.0


def _ranks(ids: list[str], inward: Mapping[str, list[Link]]) -> dict[str, int]:
    """The longest way from a beginning; nodes of a cycle keep the rank they have when it is met."""
    waiting = {id_: len(inward.get(id_, ())) for id_ in ids}
    onward: dict[str, list[str]] = defaultdict(list)
    for links in inward.values():
        for link in links:
            onward[link.source].append(link.target)
    ranks = dict.fromkeys(ids, 0)
    queue = deque(id_ for id_ in ids if not waiting[id_])
    while queue:
        id_ = queue.popleft()
        for target in onward[id_]:
            ranks[target] = max(ranks[target], ranks[id_] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                queue.append(target)
    return ranks


def _place(columns: Sequence[list[Block]], fold: float) -> tuple[Spots, _Size]:
    """Columns side by side, broken into bands of about equal width."""
    spots: Spots = {}
    widest, top = 0.0, 0.0
    for number, band in enumerate(_bands(columns, fold)):
        tallest = max(_height(column) for column in band)
        x = 0.0
        for column in band:
            y = top + (tallest - _height(column)) / 2
            for block in column:
                gutter = top + tallest + BAND_GAP / 2
                spots[block.id] = Spot(x, y, block.width, block.height, number, gutter)
                y += block.height + ROW_GAP
            widest = max(widest, x + _width(column))
            x += _width(column) + _gap(column)
        top += tallest + BAND_GAP
    return spots, (widest, max(0.0, top - BAND_GAP))


def _bands(columns: Sequence[list[Block]], fold: float) -> list[list[list[Block]]]:
    total = sum(_width(column) + _gap(column) for column in columns)
    share = total / max(1, math.ceil(total / fold))
    bands: list[list[list[Block]]] = []
    used = math.inf
    for column in columns:
        if used + _width(column) / 2 > share:
            bands.append([])
            used = 0.0
        bands[-1].append(column)
        used += _width(column) + _gap(column)
    return bands


def _height(column: Sequence[Block]) -> float:
    return sum(block.height for block in column) + ROW_GAP * (len(column) - 1)


def _width(column: Sequence[Block]) -> float:
    return max(block.width for block in column)


def _gap(column: Sequence[Block]) -> float:
    return max(block.gap for block in column)
