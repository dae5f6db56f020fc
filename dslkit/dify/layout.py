"""Where nodes stand in Dify's editor and in a picture: left to right by rank, containers as large as what they hold."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH: Final = 244
HEIGHT: Final = 90
ENTRY_SIZE: Final = 44
COLUMN_GAP: Final = 60
ROW_GAP: Final = 40
PADDING: Final = 60
_MIN_FOLD: Final = 420.0


@dataclass(frozen=True, slots=True)
class Spacing:
    """Room to leave, in pixels; what is wider than ``fold`` is broken into bands, one below the other."""

    row_gap: float
    band_gap: float
    padding: float
    header: float
    margin: float
    fold: float = math.inf


EDITOR: Final = Spacing(row_gap=ROW_GAP, band_gap=ROW_GAP, padding=PADDING, header=PADDING, margin=80)
PICTURE: Final = Spacing(row_gap=18, band_gap=58, padding=22, header=30, margin=30, fold=1160)


@dataclass(frozen=True, slots=True)
class Block:
    """A node to place; ``gap`` is the room that its outgoing labels need, ``parent`` the container it stands in."""

    id: str
    parent: str = ""
    width: float = WIDTH
    height: float = HEIGHT
    gap: float = COLUMN_GAP


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


Spots = dict[str, Spot]
_Size = tuple[float, float]


def lay_out(blocks: Sequence[Block], links: Sequence[Link], spacing: Spacing) -> tuple[Spots, float, float]:
    """Place all blocks without overlaps; return their spots and the width and height of the whole."""
    known = {block.id for block in blocks}
    scopes: dict[str, list[Block]] = defaultdict(list)
    for block in blocks:
        scopes[block.parent if block.parent in known else ""].append(block)
    folds = _bring_home(scopes, spacing)
    here: dict[str, str] = {block.id: scope for scope in folds for block in scopes[scope]}
    inner: dict[str, list[Link]] = defaultdict(list)
    for link in links:
        if link.source in here and here[link.source] == here.get(link.target):
            inner[here[link.source]].append(link)
    placed: dict[str, Spots] = {}
    sizes: dict[str, _Size] = {}
    for scope in reversed(folds):  # what is inside gives a container its size
        sized = [_grown(block, sizes.get(block.id), spacing) for block in scopes[scope]]
        placed[scope], sizes[scope] = _place(_columns(sized, inner[scope]), spacing, folds[scope])
    spots: Spots = {}
    for scope in folds:
        dx, dy = (spots[scope].x + spacing.padding, spots[scope].y + spacing.header) if scope else (spacing.margin,) * 2
        spots |= {id_: spot.moved(dx, dy) for id_, spot in placed[scope].items()}
    return spots, sizes[""][0] + 2 * spacing.margin, sizes[""][1] + 2 * spacing.margin


def _bring_home(scopes: dict[str, list[Block]], spacing: Spacing) -> dict[str, float]:
    """Each scope's width to fold at, outer ones first.

    Containers that own each other in a circle stand in the outermost scope, or they would be nowhere.
    """
    folds, queue = {"": spacing.fold}, deque([""])
    while queue:
        scope = queue.popleft()
        for block in scopes.get(scope, ()):
            if block.id in scopes and block.id not in folds:
                folds[block.id] = max(_MIN_FOLD, folds[scope] - 2 * spacing.padding)
                queue.append(block.id)
    for parent in [parent for parent in scopes if parent not in folds]:
        scopes[""].extend(scopes.pop(parent))
    return folds


def _grown(block: Block, size: _Size | None, spacing: Spacing) -> Block:
    if size is None:
        return block
    return replace(block, width=size[0] + 2 * spacing.padding, height=size[1] + spacing.header + spacing.padding)


def _columns(blocks: Sequence[Block], links: Sequence[Link]) -> list[list[Block]]:
    """Blocks by rank; within a rank in the order of where their edges come from."""
    here = {block.id: block for block in blocks}
    inward: dict[str, list[Link]] = defaultdict(list)
    for link in links:
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


def _place(columns: Sequence[list[Block]], spacing: Spacing, fold: float) -> tuple[Spots, _Size]:
    """Columns side by side, broken into bands of about equal width."""
    spots: Spots = {}
    widest, top = 0.0, 0.0
    for number, band in enumerate(_bands(columns, fold)):
        heights = [sum(block.height + spacing.row_gap for block in column) - spacing.row_gap for column in band]
        tallest, x = max(heights), 0.0
        for column, height in zip(band, heights, strict=True):
            y = top + (tallest - height) / 2
            for block in column:
                gutter = top + tallest + spacing.band_gap / 2
                spots[block.id] = Spot(x, y, block.width, block.height, number, gutter)
                y += block.height + spacing.row_gap
            widest = max(widest, x + _width(column))
            x += _width(column) + _gap(column)
        top += tallest + spacing.band_gap
    return spots, (widest, max(0.0, top - spacing.band_gap))


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


def _width(column: Sequence[Block]) -> float:
    return max(block.width for block in column)


def _gap(column: Sequence[Block]) -> float:
    return max(block.gap for block in column)
